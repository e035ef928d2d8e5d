"""The protocols that divide the whole log: given, time, users; and what every protocol needs of the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.log_split import split_data
from movierec_bench.data.split import read_known, read_split, write_split
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError
from movierec_bench.schema import DATES, ITEM, NO_TIMES, POSITIONS, TIME, USER
from movierec_bench.settings.protocol import Protocol, load_protocol
from movierec_bench.settings.yaml_files import packaged_configs

RULES = load_protocol(packaged_configs() / "protocol.yaml")


def data_of(rows: list[tuple[Any, Any, int]], times: str = DATES, parts: Optional[list[int]] = None) -> AtomicData:
    frame = pd.DataFrame(rows, columns=[USER, ITEM, TIME])
    ids = [np.sort(np.asarray(frame[column].unique())) for column in (USER, ITEM)]
    numbers = None if parts is None else np.array(parts, dtype=np.int8)
    movies = pd.DataFrame({ITEM: ids[1]})
    return AtomicData("x", Path(), frame, movies, pd.DataFrame(), Vocabulary(*ids), "0", times, numbers)


def pairs(rows: pd.DataFrame) -> list[tuple[Any, Any]]:
    return list(zip(rows[USER], rows[ITEM]))


def under(name: str, **settings: Any) -> Protocol:
    return replace(RULES, name=name, **settings)


def test_time_is_one_cut_for_all_users() -> None:
    # ten rows, times 10 to 17 with three of 17: the share of 0.2 points at the ninth row, whose time is 17
    rows = [(1, n, 10 + n) for n in range(7)] + [(2, 1, 17), (3, 1, 17), (1, 9, 17)]
    split = split_data(data_of(rows), under("time", ratio_test=0.2, ratio_valid=0.2))
    assert pairs(split.test) == [(2, 1), (3, 1), (1, 9)]
    assert pairs(split.valid) == [(1, 6)]
    assert pairs(split.train) == [(1, n) for n in range(6)]
    assert split.shown is None


@pytest.mark.parametrize("times", [NO_TIMES, POSITIONS])
def test_time_needs_dates(times: str) -> None:
    with pytest.raises(ConfigError, match="--protocol"):
        split_data(data_of([(1, 1, 1), (1, 2, 2), (1, 3, 3)], times), under("time"))


def test_time_needs_several_times() -> None:
    with pytest.raises(ConfigError, match="leaves no row of x to train on"):
        split_data(data_of([(user, 1, 10**9) for user in range(20)]), under("time"))


@pytest.mark.parametrize("name", ["competition", "last", "ratio", "halves", "time"])
def test_protocols_that_need_an_order_name_the_one_that_does_not(name: str) -> None:
    with pytest.raises(ConfigError, match="x has no times, and the protocol .* --protocol random"):
        split_data(data_of([("a", item, 0) for item in range(20)], NO_TIMES), under(name))


def test_random_needs_no_times() -> None:
    split = split_data(data_of([("a", item, 0) for item in range(20)], NO_TIMES), under("random"))
    assert [len(part) for part in (split.train, split.valid, split.test)] == [16, 2, 2]


@given(st.lists(st.integers(1, 12), min_size=40, max_size=60), st.integers(0, 5))
def test_users_are_held_out_whole(lengths: list[int], seed: int) -> None:
    rows = [(user, item, 0) for user, length in enumerate(lengths) for item in range(length)]
    if sum(length >= 5 for length in lengths) < 10:
        return
    split = split_data(data_of(rows, NO_TIMES), under("users", seed=seed))
    assert split.shown is not None
    parts = (split.train, split.valid, split.test, split.shown)
    assert sorted(pair for part in parts for pair in pairs(part)) == sorted((user, item) for user, item, _ in rows)
    trained, valid, test = (set(part[USER]) for part in parts[:3])
    assert not trained & valid and not trained & test and not valid & test
    assert set(split.shown[USER]) == valid | test
    eligible = sum(length >= 5 for length in lengths)
    assert len(test) == len(valid) == int(0.1 * eligible + 0.5)
    for part in (split.valid, split.test):
        for user, hidden in part.groupby(USER).size().items():
            assert hidden == max(1, int(0.2 * lengths[user] + 0.5)) and lengths[user] >= 5
    assert set(pairs(split.seen("valid"))) == set(pairs(split.train)) | {p for p in pairs(split.shown) if p[0] in valid}
    assert set(pairs(split.fitted("valid"))) == set(pairs(split.train))
    assert not set(split.fitted("test")[USER]) & test
    assert not set(pairs(split.seen("test"))) & set(pairs(split.test))
    assert len(split.seen("full")) == len(split.fitted("full")) == len(rows)


def test_shown_rows_are_kept(tmp_path: Path) -> None:
    split = split_data(data_of([(user, item, 0) for user in range(20) for item in range(6)], NO_TIMES), under("users"))
    write_split(split, tmp_path)
    back = read_split(tmp_path)
    assert split.shown is not None and back.shown is not None
    pd.testing.assert_frame_equal(back.shown, split.shown)
    assert len(read_known(tmp_path)) == len(split.train) + len(split.shown)


def test_a_given_split_is_used_as_it_came() -> None:
    rows = [("a", "x", 0), ("b", "x", 0), ("a", "y", 0), ("c", "x", 0)]
    split = split_data(data_of(rows, NO_TIMES, [0, 0, 1, 2]), under("given"))
    assert pairs(split.train) == [("a", "x"), ("b", "x")]
    assert pairs(split.valid) == [("a", "y")] and pairs(split.test) == [("c", "x")]


def test_validation_rows_that_a_given_split_lacks_are_drawn_as_a_competitions_test() -> None:
    rows = [(1, item, item) for item in range(20)] + [(1, 99, 99), (2, 5, 5)]
    split = split_data(data_of(rows, parts=[0] * 20 + [2, 2]), under("given"))
    assert len(split.valid) == 2 and 19 in set(split.valid[ITEM])  # a tenth of twenty, half of them the last
    assert pairs(split.test) == [(1, 99), (2, 5)]
    assert len(split.train) == 18


def test_given_needs_a_split() -> None:
    with pytest.raises(ConfigError, match="did not come split.*convert --train FILE --test FILE"):
        split_data(data_of([(1, 1, 1)]), under("given"))


def test_leave_one_out_is_last_with_one_row() -> None:
    rows = [("a", f"i{n}", n) for n in range(1, 31)]
    split = split_data(data_of(rows, POSITIONS), under("last", held_out_max=1, min_rows=3))
    assert pairs(split.test) == [("a", "i30")] and pairs(split.valid) == [("a", "i29")]
