"""Stacking: its features by hand, that it learns whom to trust, and that it is judged by users it did not see."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.mix_runs import Oracle, write_run

from movierec_bench.data.split import read_known
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.mixing.members import read_rankings
from movierec_bench.mixing.mix import Mix
from movierec_bench.mixing.recipe import Recipe
from movierec_bench.mixing.search import Validation, folds_of
from movierec_bench.mixing.stack_rankings import Stack
from movierec_bench.mixing.stacking import (
    LEARNERS,
    Facts,
    StackSettings,
    fitted_scores,
    left_out_scores,
    pairs_of,
)
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.folder import RunFolder

SETTINGS = StackSettings("logistic", 0.01, 50, seed=0)


def facts(users: int, items: int) -> Facts:
    """Nothing known of anybody."""
    return Facts(
        popularity=np.zeros(items, dtype=np.float32),
        length=np.zeros(users, dtype=np.float32),
        taste=np.zeros(users, dtype=np.float32),
        year=np.full(items, np.nan, dtype=np.float32),
        own_year=np.full(users, np.nan, dtype=np.float32),
        genre=np.zeros((items, 1), dtype=np.float32),
        own_genre=np.zeros((users, 1), dtype=np.float32),
    )


def test_features_by_hand() -> None:
    """Two models list 5, 2 and 2, 7 for the one user."""
    items = np.array([[[5, 2, 0]], [[2, 7, 0]]], dtype=np.int32)
    scores = np.array([[[3.0, 1.0, np.nan]], [[0.5, 0.1, np.nan]]], dtype=np.float32)
    there = dataclasses.replace(
        facts(1, 8),
        popularity=np.array([0, 0, 4, 0, 0, 1, 0, 2], dtype=np.float32),
        taste=np.array([3], dtype=np.float32),
        length=np.array([1.5], dtype=np.float32),
        year=np.array([0, 0, 1990, 0, 0, 2000, 0, np.nan], dtype=np.float32),
        own_year=np.array([2000], dtype=np.float32),
        genre=np.array([[0, 0]] * 2 + [[0.5, 0.5]] + [[0, 0]] * 2 + [[1, 0]] + [[0, 0]] + [[0, 1]], dtype=np.float32),
        own_genre=np.array([[0.75, 0.25]], dtype=np.float32),
    )
    pairs = pairs_of(items, scores, there, depth=3)
    assert pairs.item.tolist() == [2, 5, 7]
    second = 10 / 11
    expected = [
        # rank and score of each model, share of lists, popularity, its distance, length, year, genres
        [second, 0, 1, 1, 1.0, 4, -1, 1.5, 0.5, 0.5],
        [1, 1, 0, 0, 0.5, 1, -2, 1.5, 1.0, 0.75],
        [0, 0, second, 0, 0.5, 2, -1, 1.5, 0.0, 0.25],
    ]
    np.testing.assert_allclose(pairs.features, expected, rtol=1e-6)
    ranked, found = pairs.ranked(np.array([0.5, np.nan, 0.5]), k=3)
    assert ranked.tolist() == [[2, 7, 0]]  # equal scores by movie, none for what is left out
    assert found[0, :2].tolist() == [0.5, 0.5] and np.isnan(found[0, 2])


def planted(users: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Validation]:
    """Two models: the first puts a user's held-out movie among its first three, the second nowhere in particular."""
    rng = np.random.default_rng(seed)
    items = np.array([[rng.permutation(60)[:20] + 1 for _ in range(users)] for _ in range(2)], dtype=np.int32)
    held = items[0, np.arange(users), rng.integers(0, 3, users)]
    scores = -np.sort(-rng.random(items.shape)).astype(np.float32)
    return items, scores, Validation(items, scores, np.arange(users + 1), held)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_stack_learns_whom_to_trust(learner: str) -> None:
    items, scores, validation = planted()
    pairs = pairs_of(items, scores, facts(200, 61))
    score = fitted_scores(
        pairs, pairs.held(validation), np.ones(200, dtype=bool), dataclasses.replace(SETTINGS, learner=learner)
    )
    new_items, new_scores, new_validation = planted(seed=1)
    new = pairs_of(new_items, new_scores, facts(200, 61))
    first = new.ranked(score(new.features), k=3)[0]
    found = (first == new_validation.held_items[:, None]).any(axis=1).mean()
    assert found > 0.9  # the second model alone would find 3 of 60


def test_users_are_scored_by_learners_that_did_not_see_them() -> None:
    items, scores, validation = planted()
    pairs = pairs_of(items, scores, facts(200, 61))
    held, fold = pairs.held(validation), folds_of(200, 4, seed=0)
    found = left_out_scores(pairs, held, fold, SETTINGS)
    flipped = held.copy()
    flipped[pairs.of_users(fold == 2)] ^= True  # what is held out of the users of a fold does not touch their scores
    again = left_out_scores(pairs, flipped, fold, SETTINGS)
    own = pairs.of_users(fold == 2)
    np.testing.assert_array_equal(found[own], again[own])
    assert not np.allclose(found[~own], again[~own])


def test_nothing_to_learn_from_is_said() -> None:
    items, scores, _ = planted()
    pairs = pairs_of(items, scores, facts(200, 61))
    with pytest.raises(ConfigError, match="no held-out movie is on any member's list"):
        fitted_scores(pairs, np.zeros(len(pairs.user), dtype=bool), np.ones(200, dtype=bool), SETTINGS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    names = {"Even": Oracle(3.0, "even"), "Odd": Oracle(2.0, "odd"), "Noise": Oracle(0.0)}
    return write_run(tmp_path_factory.mktemp("stack"), names)


def test_facts_are_those_of_the_rows_seen(run: RunFolder) -> None:
    data, known = read_data(run), read_known(run.split)
    users = np.unique(known["user"])
    found = Facts.of(data, known, users)
    own = known[known["user"] == users[3]]
    assert found.length[3] == pytest.approx(np.log1p(len(own)))
    movie = int(own["item"].iloc[0])
    rows = (known["item"] == movie).sum()
    assert found.popularity[data.vocabulary.item_ix(np.array([movie]))[0]] == pytest.approx(np.log1p(rows))
    years = data.movies.set_index("item")["year"].reindex(own["item"]).dropna()
    assert found.own_year[3] == pytest.approx(years.mean(), rel=1e-4)
    assert found.own_genre[3].sum() == pytest.approx(1.0, rel=1e-5)


def test_a_stack_beats_its_members_and_is_the_same_in_blocks(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ensemble(run.path, method="stack")
    assert isinstance(made, Mix)
    assert made.difference > 0.03 and made.best_single == "Even"
    assert "logistic stack" in made.describe() and "out of fold" in made.describe()
    stack = Stack.of(run, read_data(run), made.recipe.members, made.recipe.stack_settings())
    users = np.unique(pd.read_parquet(run.split / "test.parquet")["user"])
    whole = stack.rank("test", users)
    monkeypatch.setattr("movierec_bench.mixing.stack_rankings._BLOCK_USERS", 7)
    np.testing.assert_array_equal(stack.rank("test", users)[0], whole[0])


def test_auto_takes_the_best_single_model_where_mixing_is_not_shown_to_help(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"Good": Oracle(3.0), "Noise": Oracle(0.0), "More": Oracle(0.0)}, users=60)
    made = ensemble(run.path, folds=3, steps=3)
    assert isinstance(made, Mix)
    assert made.recipe.weights == {"Good": 100.0}
    assert (made.recipe.search or {})["share_of_mix"] == 0


def test_auto_takes_half_a_stack_beside_the_best_single_model_where_its_gain_may_be_luck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path)
    monkeypatch.setattr("movierec_bench.mixing.settling._SURE", float("inf"))
    monkeypatch.setattr("movierec_bench.mixing.settling._best", lambda candidates, users: len(candidates) - 1)
    made = ensemble(run.path, folds=3, steps=3)
    assert isinstance(made, Mix)
    assert (made.recipe.learner, made.recipe.share, made.recipe.beside) == ("logistic", 0.5, "Even")
    assert "50% of it beside Even" in made.describe()
    again = ensemble(run.path, recipe=made.folder.params, name="again")
    assert isinstance(again, Mix)
    assert again.status.metrics == made.status.metrics
    users = np.unique(pd.read_parquet(run.split / "test.parquet")["user"])
    stack = Stack.of(run, read_data(run), made.recipe.members, made.recipe.stack_settings())
    items, scores = stack.rank("test", users)
    single = read_rankings(run, ["Even"], "test", users, read_data(run).vocabulary, with_scores=True)

    def sizes(scores: np.ndarray) -> np.ndarray:
        """By hand: above the lowest listed one, in standard deviations."""
        return (scores - np.nanmin(scores)) / np.nanstd(scores)

    totals: dict[int, float] = {}
    for listed, worth in ((items[0], sizes(scores[0])), (single.items[0, 0], sizes(single.scores[0, 0]))):
        for item, size in zip(listed[listed > 0], worth[listed > 0]):
            totals[item] = totals.get(item, 0.0) + size / 2
    best = sorted(totals, key=lambda item: -totals[item])[:10]
    ranked = read_rankings(run, ["auto"], "test", users, read_data(run).vocabulary)
    assert ranked.items[0, 0, :10].tolist() == best


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"share": 0.5}, "expected neither, or both"),
        ({"share": 0.5, "beside": "Odd"}, "beside one of"),
        ({"share": 1.5, "beside": "EASE"}, "share is 1.5"),
    ],
)
def test_a_share_out_of_range_or_beside_a_stranger_is_refused(wrong: dict[str, Any], words: str) -> None:
    stack = {"learner": "logistic", "strength": 0.01, "depth": 50, "seed": 42}
    with pytest.raises(ConfigError, match=words):
        Recipe("mix", "stack", ("EASE", "ALS"), **stack, **wrong)
