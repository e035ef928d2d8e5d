"""Boosted trees grow on an epoch's rows, rank from the history they are given, and are kept as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.schemes.whole_epoch import BoostingScheme
from movierec_bench.training.trainer import FitSettings, Fitted, fit

TREES = ("XGBoost", "LightGBM")


@pytest.fixture(scope="module")
def train(planted: AtomicData) -> Interactions:
    return Interactions.from_rows(planted.interactions, planted.vocabulary)


def fit_trees(name: str, data: AtomicData, train: Interactions, scratch: Path, **settings: Any) -> Fitted:
    return fit(load_catalog()[name], data, train, FitSettings(seed=5, scratch=scratch, **settings))


def test_the_scheme_hands_over_one_table() -> None:
    class Taker:
        def grow(self, *columns: np.ndarray) -> float:
            self.columns = [column.tolist() for column in columns]
            return 0.25

    class TwoBatches:
        def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
            for first in (1, 3):
                two = torch.tensor([first, first + 1])
                yield Interaction({"user_id": two, "item_id": 10 * two, "label": (two == 1).float()})

    taker = Taker()
    assert BoostingScheme({}, taker).epoch(TwoBatches(), np.random.default_rng(0)) == 0.25
    assert taker.columns == [[1, 2, 3, 4], [10, 20, 30, 40], [1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", TREES)
def test_every_epoch_adds_trees_and_lowers_the_loss(
    name: str, planted: AtomicData, train: Interactions, tmp_path: Path
) -> None:
    made = fit_trees(name, planted, train, tmp_path, epochs=3)
    booster = made.model.booster
    trees = booster.num_boosted_rounds() if name == "XGBoost" else booster.num_trees()
    assert trees == 30
    losses = [record.train_loss for record in made.epochs]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("name", TREES)
def test_the_best_epochs_trees_are_kept(name: str, planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """Growing on must not change the booster that an earlier epoch left behind."""
    seen = []
    recalls = iter([0.2, 0.5, 0.1])

    def validate(fitted: Fitted) -> float:
        seen.append(fitted.scores(train, np.array([1, 2])).clone())
        return next(recalls)

    entry = load_catalog()[name].with_parameters({"epochs": 3})
    made = fit(entry, planted, train, FitSettings(seed=5, scratch=tmp_path), validate)
    assert made.best_epoch == 2
    torch.testing.assert_close(made.scores(train, np.array([1, 2])), seen[1], rtol=0, atol=0)
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize("name", TREES)
def test_scores_follow_the_history(name: str, planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    made = fit_trees(name, planted, train, tmp_path, epochs=2)
    half = Interactions.from_rows(planted.interactions.iloc[::2], planted.vocabulary)
    whole = made.scores(train, np.array([1, 2]))
    assert not torch.equal(made.scores(half, np.array([1, 2])), whole)
    torch.testing.assert_close(made.scores(train, np.array([1, 2])), whole, rtol=0, atol=0)
