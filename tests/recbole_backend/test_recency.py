"""Weights by recency: worked out by hand, chosen on validation, repeated by a refit, and nothing where they are off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.closed_form_cases import catalog, data_of, fitted_model, random_watched, rows_of

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.models.parts.linear_model import TiledWeights
from movierec_bench.recbole_backend.recency import GRID, Recency, RecencyWeighted
from movierec_bench.schema import NO_TIMES
from movierec_bench.training.trainer import FitSettings, Fitted, fit

WEIGHTED = [name for name, entry in catalog().items() if GRID in entry.parameters]
PRODUCTS = ("EASE", "SideEASE", "SLIM", "ADMMSLIM", "ItemKNN", "RP3beta", "PureSVD")  # the history times one matrix


def log_of(data: AtomicData) -> Interactions:
    return Interactions.from_rows(data.interactions, data.vocabulary)


@pytest.fixture(scope="module")
def data() -> AtomicData:
    """Forty users of thirty movies, every row of a user at one second, in an order that is not the movies'."""
    rows = rows_of(random_watched(40, 30)).sample(frac=1, random_state=5).reset_index(drop=True)
    genres = [("Drama",) if item % 2 else ("Comedy",) for item in range(30)]
    return data_of(rows.assign(time=1_200_000_000), 30, genre=genres)


def test_weights_by_hand() -> None:
    weights = Recency(0.2, 5.0).weights(np.array([0, 1, 5, 1000]))
    expected = [1, 0.2 + 0.8 * np.exp(-0.2), 0.2 + 0.8 * np.exp(-1), 0.2]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32


def test_ages_count_a_users_rows_from_the_newest_in_the_logs_order(data: AtomicData) -> None:
    model = fitted_model("EASE", data, recency_floor=0.0, recency_rows=1.0).model
    weighted = model.weighted_history.toarray()
    for user in (1, 7, 40):
        own = data.interactions[data.interactions["user"] == data.vocabulary.users[user - 1]]
        newest_first = data.vocabulary.item_ix(own["item"].to_numpy())[::-1]
        np.testing.assert_allclose(weighted[user, newest_first], np.exp(-np.arange(len(own))), rtol=1e-6)
    np.testing.assert_array_equal(weighted > 0, model.history.toarray() > 0)


@pytest.mark.parametrize("name", PRODUCTS)
def test_scores_are_the_weighted_history_times_the_weights(name: str, data: AtomicData) -> None:
    """The score of a history is the sum over its rows of what each row alone gives, times the row's weight."""
    made = fitted_model(name, data, recency_floor=0.3, recency_rows=4.0)
    weighted = torch.from_numpy(made.model.weighted_history.toarray()[1:])
    assert len(np.unique(weighted)) > 5
    made.model.weigh(Recency(1.0, 1.0))
    users = np.arange(1, 31)
    one_each = pd.DataFrame({"user": data.vocabulary.users[:30], "item": data.vocabulary.items, "time": 0})
    of_each = made.scores(Interactions.from_rows(one_each, data.vocabulary), users)  # row i: having seen movie i + 1
    made.model.weigh(Recency(0.3, 4.0))
    found = made.scores(log_of(data), np.arange(1, 41))
    torch.testing.assert_close(found, weighted[:, 1:] @ of_each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WEIGHTED)
def test_training_does_not_see_the_weights(name: str, data: AtomicData) -> None:
    epochs = {"epochs": 2} if catalog()[name].trainer == "epochs" else {}
    plain = fitted_model(name, data, recency_floor=1.0, **epochs)
    weighted = fitted_model(name, data, recency_floor=0.1, recency_rows=2.0, **epochs)
    users = np.arange(1, 41)
    before = plain.scores(log_of(data), users)
    assert not torch.allclose(weighted.scores(log_of(data), users), before)
    weighted.model.weigh(Recency(1.0, 1.0))
    torch.testing.assert_close(weighted.scores(log_of(data), users), before, rtol=0, atol=0)


def test_sums_without_weights_are_those_of_before_and_ones_weigh_nothing(data: AtomicData) -> None:
    history, users = log_of(data).csr, np.arange(41)
    weights = TiledWeights.of(np.random.default_rng(0).normal(size=(31, 600)).astype(np.float32))
    plain = weights.sums(history, users)
    doubled = history.copy()
    doubled.data = doubled.data * np.float32(2)
    np.testing.assert_array_equal(weights.sums(doubled, users), 2 * plain)  # exact in binary


def test_als_folds_in_a_user_by_the_weighted_confidences(data: AtomicData) -> None:
    """(Y.T Y + alpha sum w_i y_i y_i.T + reg I) x = sum (1 + alpha w_i) y_i, solved directly."""
    made = fitted_model("ALS", data, n_factors=5, sweeps=3, recency_floor=0.2, recency_rows=3.0)
    vectors, weighted = made.model.item_vectors.astype(np.float64), made.model.weighted_history.toarray()
    alpha, reg = made.config["alpha"], made.config["reg_weight"]
    found = made.scores(log_of(data), np.arange(1, 41)).numpy()
    for user in (1, 20, 40):
        w = weighted[user]
        seen = w > 0
        system = vectors.T @ vectors + alpha * (vectors.T * w) @ vectors + reg * np.eye(5)
        x = np.linalg.solve(system, ((1 + alpha * w[seen])[:, None] * vectors[seen]).sum(axis=0))
        np.testing.assert_allclose(found[user - 1], vectors @ x, rtol=1e-3, atol=1e-4)


def test_two_histories_in_turn_keep_their_own_ages(data: AtomicData) -> None:
    made = fitted_model("EASE", data, recency_floor=0.0, recency_rows=2.0)
    whole, half = log_of(data), Interactions.from_rows(data.interactions.iloc[::2], data.vocabulary)
    users = np.arange(1, 41)
    first, other = made.scores(whole, users), made.scores(half, users)
    assert not torch.allclose(first, other)
    torch.testing.assert_close(made.scores(whole, users), first, rtol=0, atol=0)


# -- the choice -------------------------------------------------------------------------------


def told(recalls: list[float], seen: list[Recency]) -> Any:
    answers = iter(recalls)

    def validate(fitted: Fitted) -> float:
        assert isinstance(fitted.model, RecencyWeighted)
        seen.append(fitted.model.recency)
        return next(answers)

    return validate


def fit_ease(data: AtomicData, scratch: Path, validate: Any, **changes: Any) -> Fitted:
    entry = catalog()["EASE"].with_parameters({"recency_grid": [[0.2, 5], [0.3, 20]], **changes})
    return fit(entry, data, log_of(data), FitSettings(1, scratch), validate)


def test_the_best_on_validation_is_chosen_and_recorded(data: AtomicData, tmp_path: Path) -> None:
    seen: list[Recency] = []
    made = fit_ease(data, tmp_path, told([0.1, 0.3, 0.2], seen))
    assert seen == [Recency(1, 10), Recency(0.2, 5), Recency(0.3, 20)]
    assert made.chosen == {"recency_floor": 0.2, "recency_rows": 5.0}
    assert made.model.recency == Recency(0.2, 5)
    assert (made.parameters["recency_floor"], made.parameters["recency_rows"]) == (0.2, 5.0)
    refit = fit(made.entry.with_parameters(made.chosen), data, log_of(data), FitSettings(1, tmp_path))
    users = np.arange(1, 41)
    assert torch.equal(refit.scores(log_of(data), users), made.scores(log_of(data), users))


@pytest.mark.parametrize("name", ["MultiVAE", "MultiDAE", "RecVAE"])
def test_an_autoencoder_chooses_once_it_is_trained(name: str, data: AtomicData, tmp_path: Path) -> None:
    """Its best epoch is found with the weights of the YAML; the others are tried on that epoch's model alone."""
    entry = catalog()[name].with_parameters({"epochs": 2, "recency_grid": [[0.2, 5], [0.3, 20]]})
    seen: list[Recency] = []
    made = fit(entry, data, log_of(data), FitSettings(1, tmp_path), told([0.2, 0.1, 0.2, 0.1, 0.3], seen))
    off = Recency(1, 10)
    assert seen == [off, off, off, Recency(0.2, 5), Recency(0.3, 20)]
    assert (made.best_epoch, made.chosen) == (1, {"recency_floor": 0.3, "recency_rows": 20.0})
    weighted = made.scores(log_of(data), np.arange(1, 41))
    made.model.weigh(off)
    assert not torch.allclose(made.scores(log_of(data), np.arange(1, 41)), weighted)


def test_it_is_off_where_validation_does_not_gain(data: AtomicData, tmp_path: Path) -> None:
    made = fit_ease(data, tmp_path, told([0.3, 0.3, 0.2], []))
    assert made.model.recency.is_off
    assert made.chosen["recency_floor"] == 1.0


def test_data_without_times_and_an_empty_grid_try_nothing(data: AtomicData, tmp_path: Path) -> None:
    timeless = AtomicData(**{**vars(data), "times": NO_TIMES})
    assert fit_ease(timeless, tmp_path, told([], [])).chosen == {}
    assert fit_ease(data, tmp_path, told([], []), recency_grid=[]).chosen == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"recency_floor": 1.5},
        {"recency_floor": -0.1},
        {"recency_rows": 0},
        {"recency_rows": "ten"},
        {"recency_grid": [[0.2]]},
        {"recency_grid": [[0.2, 0]]},
        {"recency_grid": [[1.2, 5]]},
        {"recency_grid": 3},
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], data: AtomicData) -> None:
    with pytest.raises(ConfigError, match="recency_(floor|rows|grid).*expected"):
        fitted_model("EASE", data, **changes)
