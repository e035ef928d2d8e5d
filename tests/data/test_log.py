"""A log as positions in sorted ids: repeated pairs, k-cores, united ids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movierec_bench.data.log import Log, as_ids, unite_ids, unite_logs
from movierec_bench.schema import DATES, ITEM, NO_TIMES, TIME, USER

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40, unique=True)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 9)), max_size=30))
def test_first_of_each_pair_equals_pandas(rows: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=[USER, ITEM, TIME], dtype=np.int64)
    before = frame.copy()
    expected = frame.drop_duplicates([USER, ITEM], keep="first", ignore_index=True)
    log = Log.from_frame(frame)
    pd.testing.assert_frame_equal(log.rows(log.first_of_each_pair()).to_frame(), expected)
    pd.testing.assert_frame_equal(frame, before)


def test_pairs_of_huge_ids_are_told_apart() -> None:
    big = 2**63 - 1
    frame = pd.DataFrame([(big, big, 1), (big, 0, 2), (0, big, 3), (big, big, 4)], columns=[USER, ITEM, TIME])
    assert Log.from_frame(frame).first_of_each_pair().tolist() == [True, True, True, False]


@given(ROWS, st.integers(1, 4), st.integers(1, 4))
def test_the_core_equals_a_naive_one(rows: list[tuple[int, int]], min_rows: int, min_item_rows: int) -> None:
    log = _log(rows)
    left = list(rows)
    while True:  # what has too few rows goes, one row after the other
        few = [
            (user, item)
            for user, item in left
            if sum(user == other for other, _ in left) < min_rows
            or sum(item == other for _, other in left) < min_item_rows
        ]
        if not few:
            break
        left.remove(few[0])
    kept = log.core(min_rows, min_item_rows)
    assert [row for row, keep in zip(rows, kept) if keep] == left
    inside = log.rows(kept)
    assert set(inside.users.tolist()) == {user for user, _ in left}
    assert list(zip(inside.users[inside.user].tolist(), inside.items[inside.item].tolist())) == left


@pytest.mark.parametrize(
    "texts, ids",
    [
        (["3", "10", "0"], np.array([3, 10, 0])),
        (["9223372036854775807"], np.array([2**63 - 1])),
        (["9223372036854775808"], np.array(["9223372036854775808"], dtype=object)),
        (["007", "7"], np.array(["007", "7"], dtype=object)),
        (["-1"], np.array(["-1"], dtype=object)),
        (["1.0", "2"], np.array(["1.0", "2"], dtype=object)),
        (["\u0663"], np.array(["\u0663"], dtype=object)),  # a digit, but not one of ours
        (["ab", "cd"], np.array(["ab", "cd"], dtype=object)),
    ],
)
def test_ids_are_numbers_only_if_all_are_written_as_such(texts: list[str], ids: np.ndarray) -> None:
    found = as_ids(texts)
    assert found.dtype == ids.dtype and found.tolist() == ids.tolist()


def test_numbers_beside_strings_become_strings_in_their_order() -> None:
    ids, places = unite_ids([np.array([2, 10]), np.array(["b", "10"], dtype=object)])
    assert ids.tolist() == ["10", "2", "b"]
    assert [place.tolist() for place in places] == [[1, 0], [2, 0]]


def test_logs_are_united_under_common_ids() -> None:
    first = Log(np.array([5]), np.array([1, 9]), np.array([0, 0]), np.array([1, 0]), np.array([7, 8]), None, DATES)
    second = Log(np.array([4, 5]), np.array([9]), np.array([1, 0]), np.array([0, 0]), np.array([9, 6]), None, DATES)
    both = unite_logs([first, second])
    assert both.to_frame().to_numpy().tolist() == [[5, 9, 7], [5, 1, 8], [5, 9, 9], [4, 9, 6]]
    assert both.times == DATES


def _log(rows: list[tuple[int, int]]) -> Log:
    frame = pd.DataFrame(rows, columns=[USER, ITEM], dtype=np.int64).assign(**{TIME: np.int64(0)})
    return Log.from_frame(frame, NO_TIMES)
