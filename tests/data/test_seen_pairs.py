"""The table of seen pairs says of every pair what the matrix of the history says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from movierec_bench.data.interactions import Interactions
from movierec_bench.data.seen_pairs import is_seen, seen_pairs, which_are_seen


@settings(deadline=None)  # the kernels are compiled once
@given(st.integers(2, 20), st.sets(st.tuples(st.integers(1, 4), st.integers(1, 19)), max_size=30))
def test_every_pair_is_told(n_items: int, pairs: set[tuple[int, int]]) -> None:
    seen = sorted((user, item) for user, item in pairs if item < n_items)
    user_ix, item_ix = np.array(seen, dtype=np.int64).reshape(-1, 2).T
    rows = Interactions(user_ix, item_ix, np.zeros(len(seen), dtype=np.int64), 5, n_items)
    bits = seen_pairs(rows)
    users, items = (index.ravel() for index in np.indices((5, n_items)))
    expected = rows.csr.toarray().astype(bool)
    assert np.array_equal(which_are_seen(bits, users, items).reshape(5, n_items), expected)
    assert all(is_seen(bits, user, item) == expected[user, item] for user, item in zip(users, items))
