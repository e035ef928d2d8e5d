"""Small planted data sets, and where the repository lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from movierec_bench.data.source_data import SourceData

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"  # real data beside the repository; tests that need it say so where it is absent
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


def planted_competition(n_users: int = 60, n_movies: int = 40, seed: int = 0, skew: float = 0.5) -> SourceData:
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
    return SourceData(
        ratings=planted_ratings(n_users, n_movies, seed, skew), movies=movies, counts={}, source="planted"
    )
