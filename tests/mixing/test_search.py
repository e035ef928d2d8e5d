"""Searches for mixes: what they find where it is known, and that they judge on users they did not choose on."""

from __future__ import annotations

import numpy as np
import pytest

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.rules import RULES, Rule, mix
from movierec_bench.mixing.search import (
    AUTO_RULES,
    Objective,
    Validation,
    best_step,
    cross_validate,
    fitted_weights,
    folds_of,
    greedy,
    greedy_weights,
    without_idle,
)

N_ITEMS = 200
HELD = 6


def oracles(*skills: tuple[float, int | None], n_users: int = 300, seed: int = 0) -> Validation:
    """Models that rank by noise and by the held-out movies: (strength, parity of the movies known, None: all)."""
    rng = np.random.default_rng(seed)
    held = np.stack([rng.choice(N_ITEMS, HELD, replace=False) + 1 for _ in range(n_users)])
    items, scores = [], []
    for strength, parity in skills:
        score = rng.normal(size=(n_users, N_ITEMS + 1))
        score[:, 0] = -np.inf
        known = held if parity is None else np.where(held % 2 == parity, held, 0)
        np.add.at(score, (np.arange(n_users)[:, None], known), strength)
        order = np.argsort(-score, axis=1)[:, :100]
        items.append(order)
        scores.append(np.take_along_axis(score, order, axis=1))
    return Validation(
        np.array(items, dtype=np.int32),
        np.array(scores, dtype=np.float32),
        np.arange(n_users + 1) * HELD,
        held.ravel().astype(np.int32),
    )


def everybody(validation: Validation) -> np.ndarray:
    return np.ones(validation.n_users, dtype=bool)


def recall(validation: Validation, rule: Rule, weights: tuple[float, ...]) -> float:
    """Mean Recall@10 by ``mix`` and plain counting."""
    best, _ = mix(rule, validation.items, np.array(weights), validation.scores, k=10)
    held = validation.held_items.reshape(-1, HELD)
    return float(np.mean([len(set(best[user]) & set(held[user])) / HELD for user in range(len(held))]))


def test_the_objective_is_recall_of_the_mix() -> None:
    validation = oracles((1, None), (1.5, 0))
    for name in RULES:
        objective = Objective(validation, Rule.of(name))
        found = objective.per_user((2.0, 0.0), [(1, 1.0), (0, 1.0)]).mean(axis=1)
        expected = [recall(validation, Rule.of(name), weights) for weights in ((2, 1), (3, 0))]
        assert found == pytest.approx(expected)


def test_recall_divides_by_ten_at_most() -> None:
    # twelve held-out movies, ten of them recommended
    items = np.arange(1, 101, dtype=np.int32)[None, None]
    validation = Validation(items, None, np.array([0, 12]), np.arange(1, 13, dtype=np.int32))
    assert Objective(validation, Rule.of("rrf")).per_user((0.0,), [(0, 1.0)]).tolist() == [[1.0]]


def test_greedy_takes_the_best_model_first_and_then_the_one_that_adds_to_it() -> None:
    validation = oracles((2.5, 0), (2.4, 0), (2.2, 1), (0, None))
    objective = Objective(validation, Rule.of("linear"))
    path = greedy(objective, everybody(validation), 6)
    assert path[0].weights == (1, 0, 0, 0)
    assert path[1].weights == (1, 0, 1, 0)
    assert [sum(step.weights) for step in path] == [1, 2, 3, 4, 5, 6]
    for step in path:
        assert step.per_user.mean() == pytest.approx(recall(validation, Rule.of("linear"), step.weights))


def test_greedy_weights_are_the_best_on_the_way() -> None:
    validation = oracles((2.5, 0), (2.2, 1), (0.5, None))
    objective = Objective(validation, Rule.of("rrf"))
    path = greedy(objective, everybody(validation), 8)
    weights = greedy_weights(objective, everybody(validation), 8)
    assert recall(validation, Rule.of("rrf"), weights) >= max(step.per_user.mean() for step in path) - 1e-12


def test_fitted_weights_beat_equal_ones_and_silence_noise() -> None:
    validation = oracles((2.5, 0), (2.2, 1), (0, None), (0, None))
    for name in ("linear", "zscore"):
        rule = Rule.of(name)
        weights = fitted_weights(Objective(validation, rule), everybody(validation))
        assert recall(validation, rule, weights) > recall(validation, rule, (1, 1, 1, 1)) + 0.02
        assert min(weights[0], weights[1]) > max(weights[2], weights[3])


def test_searches_look_only_at_the_users_they_are_given() -> None:
    validation = oracles((1.5, 0), (1.5, 1), (1, None), n_users=100)
    users = np.arange(100) < 60
    changed = validation.held_items.copy()
    changed.reshape(-1, HELD)[~users] = np.random.default_rng(9).integers(1, N_ITEMS, ((~users).sum(), HELD))
    other = Validation(validation.items, validation.scores, validation.held_start, changed)
    rule = Rule.of("rrf")
    for search in (lambda o: [s.weights for s in greedy(o, users, 5)], lambda o: fitted_weights(o, users)):
        assert search(Objective(validation, rule)) == search(Objective(other, rule))
    assert not np.array_equal(changed, validation.held_items)


def test_without_idle_drops_what_adds_nothing_and_keeps_one() -> None:
    validation = oracles((2.5, None), (2.5, None))
    twice = Validation(validation.items[[0, 0]], None, validation.held_start, validation.held_items)
    objective = Objective(twice, Rule.of("rrf"))
    assert without_idle(objective, (2.0, 3.0), everybody(twice)) == (0, 3)


def test_cross_validation_mixes_the_models_that_add_to_each_other() -> None:
    validation = oracles((2.2, 0), (0, None), (2.0, 1), (0, None))
    fold = folds_of(validation.n_users, 5, seed=1)
    judged = [cross_validate(validation, rule, fold, steps=6) for rule in AUTO_RULES]
    best = max(judged, key=lambda each: each.recall)
    assert best.recall > best.single_recall + 0.05
    assert best.weights[0] > 0
    assert best.weights[2] > 0
    assert best.weights[1] == best.weights[3] == 0


def test_cross_validation_does_not_believe_in_luck() -> None:
    """Forty models of pure noise: the best mix on the users looked at is a promise that others do not keep."""
    validation = oracles(*[(0.0, None)] * 40, n_users=120)
    rule = Rule.of("rrf")
    chance = 10 / N_ITEMS
    in_sample = recall(validation, rule, greedy_weights(Objective(validation, rule), everybody(validation), 10))
    assert in_sample > 1.5 * chance
    drawn_otherwise = [cross_validate(validation, rule, folds_of(120, 5, seed), steps=10) for seed in range(6)]
    assert np.mean([trial.recall for trial in drawn_otherwise]) == pytest.approx(chance, abs=0.25 * chance)


def test_each_user_is_judged_by_a_mix_chosen_without_it() -> None:
    validation = oracles((1.0, 0), (1.0, 1), (1.0, None), n_users=60)
    rule, fold = Rule.of("linear"), folds_of(60, 3, seed=0)
    trial = cross_validate(validation, rule, fold, steps=3)
    objective = Objective(validation, rule)
    expected, expected_single = np.empty(60), np.empty(60)
    for number in range(3):
        others, judged = fold != number, fold == number
        path = greedy(objective, others, 3)
        best = max(path, key=lambda step: step.per_user[others].mean())
        expected[judged] = best.per_user[judged]
        expected_single[judged] = path[0].per_user[judged]
    assert trial.recall == pytest.approx(expected.mean())
    assert trial.single_recall == pytest.approx(expected_single.mean())


def test_folds_are_even_and_drawn() -> None:
    fold = folds_of(103, 5, seed=3)
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]
    assert fold.tolist() == folds_of(103, 5, seed=3).tolist()
    assert fold.tolist() != folds_of(103, 5, seed=4).tolist()


@pytest.mark.parametrize("folds", [1, 0, 11])
def test_folds_without_users_are_refused(folds: int) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 10"):
        folds_of(10, folds, seed=0)


def test_the_mix_is_the_sum_of_all_folds_mixes() -> None:
    validation = oracles((1.5, 0), (1.5, 1), (0.5, None), n_users=80, seed=2)
    rule, fold = Rule.of("vote"), folds_of(80, 4, seed=1)
    objective = Objective(validation, rule)
    trial = cross_validate(validation, rule, fold, steps=5)
    assert trial.recall > trial.single_recall
    mixes = [best_step(greedy(objective, fold != number, 5), fold != number).weights for number in range(4)]
    assert trial.weights == without_idle(objective, tuple(np.sum(mixes, axis=0).tolist()), everybody(validation))


def test_where_mixing_does_not_help_the_best_single_models_are_mixed() -> None:
    validation = oracles((3.0, None), *[(0.0, None)] * 5, n_users=60)
    trial = cross_validate(validation, Rule.of("vote"), folds_of(60, 3, seed=0), steps=4)
    assert trial.weights == (3.0,) + (0.0,) * 5
    assert trial.recall == trial.single_recall
