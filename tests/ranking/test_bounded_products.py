"""Ranking by 8-bit products first: the bounds hold, nothing that belongs to the best is lost, whatever the vectors."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_matrix
from support.reference_rankings import INF, NAN, assert_equal_to_reference, seen_matrix

from movierec_bench.errors import ModelError
from movierec_bench.ranking.bounded_products import ProductRanking, _bounds, _product, rounded
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.top_k import Candidates, top_k


@pytest.fixture(autouse=True)
def any_processor(monkeypatch):
    """Integer products are right on every processor, if slow on some."""
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def products_of(users, items, bias):
    """``Products`` whose first row of users is user_ix 1."""
    vectors = torch.from_numpy(users)
    return Products(
        lambda user_ix: vectors[torch.from_numpy(user_ix - 1)], torch.from_numpy(items), torch.from_numpy(bias)
    )


def float32_scores(users, items, bias):
    """[B, n], summed as the ranking sums; ``test_a_product_is...`` checks the sums themselves."""
    with np.errstate(invalid="ignore"):
        return np.array([[_product(user, item) + add for item, add in zip(items, bias)] for user in users], np.float32)


ODD = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-126, 2.0**-65, 2.0**-100, 2.0**127, -(2.0**127), NAN, INF, -INF])


@st.composite
def cases(draw):
    """(users, items, bias): small whole numbers, any float32, or odd ones."""
    n_users, n, f = draw(st.integers(1, 3)), draw(st.integers(1, 30)), draw(st.integers(1, 9))
    kinds = [st.integers(-3, 3).map(float), st.floats(width=32, allow_subnormal=False), ODD]
    kinds += [st.floats(-2, 2, width=32, allow_subnormal=False)]
    values = kinds[draw(st.integers(0, len(kinds) - 1))]
    users, items, bias = (
        draw(arrays.arrays(np.float32, shape, elements=values, fill=st.just(0.0)))
        for shape in ((n_users, f), (n, f), (n,))
    )
    return users, items, bias


@settings(deadline=None, max_examples=200)
@given(case=cases(), k=st.integers(1, 35), seed=st.integers(0, 99), filtered=st.booleans())
def test_the_ranking_is_that_of_all_float32_scores(case, k, seed, filtered):
    users, items, bias = case
    rng = np.random.default_rng(seed)
    seen = csr_matrix(rng.random((len(users) + 1, len(items))) < 0.2)
    allowed = None
    if filtered:
        keys = rng.choice(np.array([-INF, 1990, 2000, INF], dtype=np.float32), len(items))
        allowed = Candidates(keys, np.full(len(users) + 1, 1995, np.float32), at_least=int(rng.integers(0, 11)))
    user_ix = np.arange(1, len(users) + 1)
    topk = top_k(products_of(users, items, bias), user_ix, seen, k, block_bytes=8 * len(items), allowed=allowed)
    assert_equal_to_reference(topk, float32_scores(users, items, bias), seen, k, allowed)


@settings(deadline=None, max_examples=200)
@given(case=cases())
def test_the_bounds_hold(case):
    users, items, bias = case
    with np.errstate(all="ignore"):
        exact = users.astype(np.float64) @ items.astype(np.float64).T + bias
    found = float32_scores(users, items, bias)
    rounded_users, rounded_items = rounded(users), rounded(items)
    sums = rounded_users.integers.astype(np.int32) @ rounded_items.integers.astype(np.int32).T
    for user in range(len(users)):
        lower, width = _bounds(sums[user], user, rounded_users, rounded_items, bias)
        for score in (exact[user], found[user]):
            assert not (score < np.where(lower == np.finfo(np.float32).min, -INF, lower)).any()
            with np.errstate(all="ignore"):
                assert not (score > lower.astype(np.float64) + width).any()


def vectors(n_users=40, n=3000, f=64):
    rng = np.random.default_rng(7)
    users, items = rng.standard_normal((n_users, f)), 0.1 * rng.standard_normal((n, f))
    return users.astype(np.float32), items.astype(np.float32), rng.standard_normal(n).astype(np.float32)


def test_a_product_is_the_one_of_float64_but_for_rounding():
    users, items, bias = vectors()
    exact = users.astype(np.float64) @ items.astype(np.float64).T + bias
    np.testing.assert_allclose(float32_scores(users[:5], items, bias), exact[:5], rtol=0, atol=1e-5)


@pytest.mark.parametrize("k", [10, 100])
def test_long_rows(k):
    users, items, bias = vectors()
    seen = csr_matrix(np.random.default_rng(0).random((len(users) + 1, len(items))) < 0.1)
    topk = top_k(products_of(users, items, bias), np.arange(1, len(users) + 1), seen, k)
    assert_equal_to_reference(topk, float32_scores(users, items, bias), seen, k)


def test_few_movies_need_their_float32_score():
    users, items, bias = vectors()
    rounded_users, rounded_items = rounded(users), rounded(items)
    sums = rounded_users.integers.astype(np.int32) @ rounded_items.integers.astype(np.int32).T
    candidates = []
    for user in range(len(users)):
        lower, width = _bounds(sums[user], user, rounded_users, rounded_items, bias)
        candidates.append((lower + width >= np.sort(lower)[-10]).sum())
    assert 10 <= np.mean(candidates) < 15  # of 3,000


def test_equal_movies_rank_by_their_number():
    users, items = np.ones((1, 3), np.float32), np.full((6, 3), 0.1, np.float32)
    topk = top_k(products_of(users, items, np.zeros(6, np.float32)), np.array([1]), seen_matrix(2, 6, [(1, 2)]), 3)
    assert topk.item_ix.tolist() == [[1, 3, 4]]


def test_a_processor_without_8_bit_products_gives_the_same(monkeypatch):
    users, items, bias = vectors()
    user_ix, seen = np.arange(1, len(users) + 1), seen_matrix(len(users) + 1, len(items), [])
    quick = top_k(products_of(users, items, bias), user_ix, seen, 10)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    assert not ProductRanking.suits(products_of(users, items, bias))
    multiplied = top_k(products_of(users, items, bias), user_ix, seen, 10)
    np.testing.assert_array_equal(quick.item_ix, multiplied.item_ix)
    np.testing.assert_allclose(quick.scores, multiplied.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "users, items, bias, message",
    [
        ((2, 3), (5, 3), (5,), r"movies' embeddings are torch.float32 \[5, 3\]; expected float32 \[6, 3\]"),
        ((2, 3), (6, 3), (5,), r"movies' biases are torch.float32 \[5\]; expected float32 \[6\]"),
        ((2, 4), (6, 3), (6,), r"embeddings of a block of users are torch.float32 \[2, 4\]; expected float32 \[2, 3\]"),
    ],
)
def test_vectors_of_another_form_are_refused(users, items, bias, message):
    shapes = (np.zeros(shape, np.float32) for shape in (users, items, bias))
    with pytest.raises(ModelError, match=message):
        top_k(products_of(*shapes), np.array([1, 2]), seen_matrix(3, 6, []), 2)
