"""Small worked data for the tests of models that need no training epochs, and how such a model is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.training.building import build_dataset
from movierec_bench.training.trainer import FitSettings, fit

DAY = 86_400
YEAR_2010 = 1_262_304_000  # 2010-01-01T00:00:00Z

# Users 1 to 5 (rows) and movies 1 to 6 (columns); nobody has watched movie 6.
WATCHED = np.array(
    [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 0],
    ]
)
# Movies 1 and 2, and movies 3 and 4, share users; no user crosses over, so matrices fall into 2 x 2 blocks.
BLOCKS = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]
)


def rows_of(watched: np.ndarray, first_time: int = YEAR_2010) -> pd.DataFrame:
    """Interaction rows of a 0/1 matrix, a day apart; user and movie ids count from 1."""
    user, item = np.nonzero(watched)
    return pd.DataFrame({"user": user + 1, "item": item + 1, "time": first_time + DAY * np.arange(len(user))})


def random_watched(n_users: int, n_items: int, seed: int = 0) -> np.ndarray:
    """A 0/1 matrix with popular and unpopular movies; everybody has watched something, and not everything."""
    rng = np.random.default_rng(seed)
    watched = rng.random((n_users, n_items)) < rng.uniform(0.05, 0.6, n_items)
    watched[np.arange(n_users), rng.integers(1, n_items, n_users)] = True
    watched[:, 0] = False
    return watched.astype(int)


def data_of(rows: pd.DataFrame, n_items: int, **features: Sequence[tuple[str, ...]]) -> AtomicData:
    """A data set of movies 1 to ``n_items``; ``features`` are genre, director, writer, a tuple a movie."""
    nothing: list[tuple[str, ...]] = [()] * n_items
    items = np.arange(1, n_items + 1)
    movies = pd.DataFrame(
        {
            "item": items,
            "title": [f"Movie {item}" for item in items],
            "year": 1990.0,
            **{feature: list(features.get(feature, nothing)) for feature in ("genre", "director", "writer")},
            "decade": "1990",
        }
    )
    triples = pd.DataFrame({"head": [], "relation": [], "tail": []}, dtype=str)
    vocabulary = Vocabulary(np.unique(rows["user"]), items)
    return AtomicData("worked", Path("worked"), rows, movies, triples, vocabulary, "0" * 16)


@cache
def catalog() -> dict[str, ModelEntry]:
    """The packaged catalogue, read once."""
    return load_catalog()


def fitted_model(name: str, data: AtomicData, seed: int = 3, **changes: Any) -> Any:
    """The catalogued model, fitted on every row of ``data``, with some parameters changed."""
    entry = catalog()[name].with_parameters(changes)
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    with TemporaryDirectory() as scratch:
        return fit(entry, data, rows, FitSettings(seed, Path(scratch)))


def scores_of(name: str, data: AtomicData, history: pd.DataFrame | None = None, **changes: Any) -> np.ndarray:
    """Float32 [users, movies] scores without padding; from ``history`` where it is not the fitted rows."""
    rows = Interactions.from_rows(data.interactions if history is None else history, data.vocabulary)
    scores = fitted_model(name, data, **changes).scores(rows, np.arange(1, rows.n_users))
    return scores.numpy()[:, 1:]


def recbole_scores(class_name: str, data: AtomicData, **parameters: Any) -> np.ndarray:
    """The same from RecBole's own class."""
    like_bpr = catalog()["BPR"]
    entry = replace(
        like_bpr,
        name=f"RecBole{class_name}",  # a name of none of our modules
        class_name=class_name,
        parameters={**like_bpr.parameters, **parameters},
    )
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    with TemporaryDirectory() as scratch:
        config = build_config(entry, 3, Path(scratch))
        model = load_model_class(entry)(config, build_dataset(config, data, rows))
    users = torch.arange(1, rows.n_users)
    return model.full_sort_predict({"user_id": users}).view(len(users), -1).numpy()[:, 1:]


def ranked_unseen(scores: np.ndarray, watched: np.ndarray) -> list[list[int]]:
    """Each user's unwatched movies (from 1), best first, equal scores by number."""
    return [
        [item + 1 for item in np.argsort(-row, kind="stable") if not seen[item]]
        for row, seen in zip(scores, watched.astype(bool))
    ]


def padded_csr(watched: np.ndarray) -> csr_matrix:
    """Float32 csr of a 0/1 matrix with a padding row and column in front, as models hold it."""
    return csr_matrix(np.pad(watched, ((1, 0), (1, 0))).astype(np.float32))


def check_inputs_stay(name: str) -> None:
    """Ranking with a model leaves the history and the movies as they were."""
    data = data_of(rows_of(random_watched(30, 12)), 12)
    fitted = fitted_model(name, data)
    history = fitted.model.history
    before = history.copy()
    movies = data.movies.copy(deep=True)
    fitted.model.full_sort_predict({"user_id": torch.arange(1, 31)})
    assert (history != before).nnz == 0 and (history.data == 1).all()
    assert data.movies.equals(movies)
