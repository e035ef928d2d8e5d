"""Means of a few repetitions, by hand."""

from __future__ import annotations

import math

import pytest

from movierec_bench.errors import DataError
from movierec_bench.evaluation.statistics import mean_interval


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert (found.count, found.mean, found.deviation) == (3, 2.0, 1.0)
    reach = 4.302653 / math.sqrt(3)  # t of 2 degrees of freedom at .975, from a table
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach), abs=1e-6)


def test_one_result_has_no_spread() -> None:
    found = mean_interval([0.25])
    assert (found.count, found.mean) == (1, 0.25)
    assert all(math.isnan(value) for value in (found.deviation, found.low, found.high))


def test_nothing_has_no_mean() -> None:
    with pytest.raises(DataError, match="no result to take the mean of"):
        mean_interval([])
