"""Small data sets and paths every test module may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from movierec_bench.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.competition import Competition

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
GENRES = ("Action", "Comedy", "Drama")


def planted_ratings(n_users: int = 60, n_movies: int = 40, seed: int = 0, skew: float = 0.5) -> pd.DataFrame:
    """Two tastes: even users mostly watch even movies, odd users odd ones; low numbers are the popular ones."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, n_movies + 1) ** skew
    rows = []
    for user in range(n_users):
        taste = np.where(np.arange(n_movies) % 2 == user % 2, 8.0, 1.0) * popularity
        length = int(rng.integers(10, 18))
        movies = rng.choice(n_movies, size=length, replace=False, p=taste / taste.sum())
        times = 1_200_000_000 + user * 1_000 + np.sort(rng.integers(0, 30_000_000, length))
        rows += [(100 + user, 10 * (movie + 1), time) for movie, time in zip(movies, times)]
    return pd.DataFrame(rows, columns=["user", "item", "time"])


def planted_competition(n_users: int = 60, n_movies: int = 40, seed: int = 0, skew: float = 0.5) -> Competition:
    """`planted_ratings` with side information that goes with the tastes."""
    numbers = np.arange(n_movies)
    movies = pd.DataFrame(
        {
            "item": 10 * (numbers + 1),
            "title": [f"Movie {number}" for number in numbers],
            "year": np.where(numbers == 3, np.nan, 1990.0 + numbers % 20),
            "genre": [
                (GENRES[number % 2], GENRES[2]) if number % 5 == 0 else (GENRES[number % 2],) for number in numbers
            ],
            "director": [(f"nm{number % 2}{number % 6}",) if number % 7 else () for number in numbers],
            "writer": [(f"nm{number % 2}{number % 4}",) if number % 6 else () for number in numbers],
        }
    )
    return Competition(
        ratings=planted_ratings(n_users, n_movies, seed, skew), movies=movies, counts={}, source="planted"
    )


@pytest.fixture(scope="session", autouse=True)
def untracked() -> Iterator[None]:
    """No MLflow unless a test switches it on: to set up its database takes seconds a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOVIEREC_BENCH_TRACK", "0")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> AtomicData:
    """60 users, 40 movies, two tastes, in atomic files."""
    return read_atomic(write_atomic(planted_competition(), tmp_path_factory.mktemp("atomic"), "planted"))
