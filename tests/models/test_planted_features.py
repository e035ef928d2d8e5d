"""Where only genre matters, models that know genres find movies hardly anybody has watched, and Pop does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.source_data import SourceData
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.schema import K
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.trainer import FitSettings, fit

N_GENRES, WARM, COLD, USERS_A_GENRE = 8, 10, 8, 30
MOVIES_A_GENRE = WARM + COLD


@pytest.fixture(scope="module")
def one_genre_each(tmp_path_factory: pytest.TempPathFactory) -> AtomicData:
    """A user watches seven of the ten warm movies of one genre, and two of its eight cold ones."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_GENRES * USERS_A_GENRE):
        first = user % N_GENRES * MOVIES_A_GENRE
        warm = first + rng.choice(WARM, 7, replace=False)
        cold = first + WARM + rng.choice(COLD, 2, replace=False)
        rows += [(user, movie, 1_200_000_000 + place) for place, movie in enumerate([*warm, *cold])]
    numbers = np.arange(N_GENRES * MOVIES_A_GENRE)
    movies = pd.DataFrame({"item": numbers, "title": [f"Movie {number}" for number in numbers], "year": 2000.0})
    movies["genre"] = [(f"Genre {number // MOVIES_A_GENRE}",) for number in numbers]
    movies["director"] = movies["writer"] = [() for _ in numbers]
    ratings = pd.DataFrame(rows, columns=["user", "item", "time"])
    made = SourceData(ratings=ratings, movies=movies, counts={}, source="planted")
    return read_atomic(write_atomic(made, tmp_path_factory.mktemp("atomic"), "genres"))


def recall_on_cold_movies(data: AtomicData, name: str, scratch: Path, epochs: int, **changes: Any) -> float:
    """Recall@10 of each user's two cold movies, of which the training rows hold those of every fourth user."""
    is_cold = data.interactions["item"] % MOVIES_A_GENRE >= WARM
    held_out = is_cold & (data.interactions["user"] // N_GENRES % 4 != 0)
    train = Interactions.from_rows(data.interactions[~held_out], data.vocabulary)
    held = Interactions.from_rows(data.interactions[held_out], data.vocabulary)
    entry = load_catalog()[name].with_parameters(changes)
    made = fit(entry, data, train, FitSettings(seed=1, scratch=scratch, epochs=epochs))
    best = made.rank(train, np.unique(held.user_ix), K)
    return recall_at_k(best.item_ix, best.user_ix, held.csr, K)


BOOSTING = {"booster": "gbtree", "objective": "binary:logistic", "max_depth": 6, "min_child_weight": 1, "eta": 0.2}
CHANGES: dict[str, dict[str, Any]] = {  # small steps for a small set
    "FM": {"train_batch_size": 512, "learning_rate": 0.02},
    "DeepFM": {"train_batch_size": 512, "learning_rate": 0.02},
    "FFM": {"train_batch_size": 512, "learning_rate": 0.005, "epochs": 40},
    "CKE": {"train_batch_size": 512, "learning_rate": 0.02},
    "KGAT": {"train_batch_size": 512, "learning_rate": 0.02},
    "XGBoost": {"xgb_params": BOOSTING},
}


@pytest.mark.parametrize("name", CHANGES)
def test_genres_lead_to_cold_movies(name: str, one_genre_each: AtomicData, tmp_path: Path) -> None:
    """Ten movies at random find .07 of the cold ones, Pop less than .1, whoever knows the genre several times it."""
    popular = recall_on_cold_movies(one_genre_each, "Pop", tmp_path, epochs=1)
    found = recall_on_cold_movies(one_genre_each, name, tmp_path, **{"epochs": 20, **CHANGES[name]})
    assert popular < 0.1
    assert found > 0.35
