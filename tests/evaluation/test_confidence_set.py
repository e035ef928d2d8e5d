"""Which models may be the best: against the t test, by simulation, and at the edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.equal_models import MODELS, equal_models, told_apart, told_apart_by_holm
from movierec_bench.errors import DataError
from movierec_bench.evaluation.confidence_set import LEVEL, compare_with_best, confidence_set

REPEATS = 150


@pytest.mark.parametrize("models", MODELS)
def test_equal_models_are_told_apart_in_one_case_of_twenty(models: int) -> None:
    most = stats.binom.ppf(0.999, REPEATS, LEVEL) / REPEATS  # .11 of 150
    assert told_apart(models, REPEATS, users=200) <= most
    if models >= 46:  # so that the bound can be missed: the test of before misses it
        assert told_apart_by_holm(models, REPEATS, users=200) > most


def test_the_rate_is_not_reached_by_telling_nobody_apart() -> None:
    assert told_apart(17, 400, users=200) >= stats.binom.ppf(0.001, 400, LEVEL) / 400  # .0175


def test_two_models_are_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    one = rng.binomial(10, 0.3, 80) / 10
    other = np.clip(one + rng.choice([-0.1, 0, 0, 0.1, 0.2], 80), 0, 1)
    found = confidence_set(np.column_stack([one, other]), seed=1, draws=200_000)
    test = stats.ttest_rel(one, other)
    assert found.best == 1
    assert found.p_best[0] == pytest.approx(test.pvalue, abs=0.002)
    interval = test.confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(interval), abs=3e-4)
    assert (found.p_best[1], found.difference[1], found.low[1], found.high[1]) == (1, 0, 0, 0)


def test_worse_models_go_and_their_number_costs_the_good_ones_nothing() -> None:
    """A hundred bad models do not hide that one of the two good ones is better."""
    rng = np.random.default_rng(3)
    chance = rng.beta(2, 5, 2000)
    best, second = (rng.binomial(10, chance * share) / 10 for share in (1.0, 0.94))
    bad = rng.binomial(10, chance[:, None] * 0.3, (2000, 100)) / 10
    alone = confidence_set(np.column_stack([best, second]), seed=0)
    crowd = confidence_set(np.column_stack([bad, second, best]), seed=0)
    assert crowd.best == 101
    assert (crowd.p_best[:100] == 0).all()
    assert alone.p_best[1] < LEVEL
    assert crowd.p_best[100] == pytest.approx(alone.p_best[1], abs=0.01)
    assert crowd.p_best[101] == 1


def test_intervals_hold_for_whichever_model_came_first() -> None:
    """Equal models differ by 0; the first one is chosen by luck, and the intervals still hold 0."""
    outside = 0
    for repeat in range(200):
        recall = equal_models(np.random.default_rng([7, repeat]), 200, 10)
        found = confidence_set(recall, repeat, 1000)
        outside += bool(((found.low > 0) | (found.high < 0)).any())
    assert outside / 200 <= stats.binom.ppf(0.999, 200, LEVEL) / 200


def test_the_order_of_the_models_changes_nothing_but_the_draws() -> None:
    recall = equal_models(np.random.default_rng(1), 300, 6)
    recall[:, 2] *= 0.8
    turned = confidence_set(recall[:, ::-1], seed=0, draws=50_000)
    found = confidence_set(recall, seed=0, draws=50_000)
    assert found.best == 5 - turned.best
    np.testing.assert_allclose(found.p_best, turned.p_best[::-1], atol=0.02)
    np.testing.assert_array_equal(confidence_set(recall, seed=0, draws=50_000).p_best, found.p_best)


def test_models_that_differ_by_a_constant_or_not_at_all() -> None:
    rng = np.random.default_rng(0)
    one = rng.binomial(8, 0.4, 50) / 16
    found = confidence_set(np.column_stack([one, one, one + 0.125]), seed=0)
    assert found.best == 2
    assert found.p_best.tolist() == [0, 0, 1]  # nobody is an exception
    same = confidence_set(np.column_stack([one, one]), seed=0)
    assert same.p_best.tolist() == [1, 1] and same.difference.tolist() == [0, 0]


def test_few_users_and_few_models() -> None:
    assert confidence_set(np.array([[0.1, 0.9]]), seed=0).p_best.tolist() == [1, 1]
    assert confidence_set(np.array([[0.1], [0.2]]), seed=0).p_best.tolist() == [1]
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(DataError, match="expected at least one of both"):
            confidence_set(np.empty(shape), seed=0)


def scored(recall: np.ndarray, users: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"user": users, "recall@10": recall})


def test_users_are_paired_by_their_id() -> None:
    best, other = np.array([0.1, 0.5, 0.3, 0.9]), np.array([0.1, 0.4, 0.3, 0.7])
    order = [2, 0, 3, 1]
    tests = compare_with_best({"A": scored(other[order], order), "B": scored(best, [0, 1, 2, 3])}, seed=0)
    assert tests.columns.tolist() == ["model", "difference", "difference_low", "difference_high", "p_best"]
    assert tests["model"].tolist() == ["A", "B"]
    assert tests["difference"].tolist() == pytest.approx([-0.075, 0])
    assert tests["p_best"][0] == pytest.approx(stats.ttest_rel(other, best).pvalue, abs=0.02)


@pytest.mark.parametrize("users", [[0, 7], [0, 1, 2]])
def test_models_scored_on_other_users_cannot_be_compared(users: list[int]) -> None:
    with pytest.raises(DataError, match="B was scored on .* users and A on 2, not all the same"):
        compare_with_best({"A": scored(np.zeros(2), [0, 1]), "B": scored(np.zeros(len(users)), users)}, seed=0)


def test_no_models_are_an_empty_table() -> None:
    assert compare_with_best({}, seed=0).empty
