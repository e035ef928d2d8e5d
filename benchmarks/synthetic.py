"""A synthetic set in the competition's format and of its size, for time and memory; its Recall@10 means nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

USERS, MOVIES, ROWS = 31_360, 6_807, 5_154_471  # of the competition
_GENRES, _FACTORS, _USERS_A_BLOCK = 18, 16, 512
_FIRST_SECOND, _LAST_SECOND = 1_112_486_027, 1_427_784_002  # of the competition's log


def write_competition(folder: Path, users: int, movies: int, rows: int, seed: int = 42) -> Path:
    """Draw a competition: log-normal activity and popularity, tastes by genre, no repeated movie.

    Args:
        folder: where the files go; made when missing.
        users: users, each with at least 16 rows.
        movies: movies.
        rows: rows in all, nearly: lengths are rounded.
        seed: of everything drawn.

    Returns:
        ``folder``, holding train_ratings.csv and the side-information files.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    genre_of = _write_side_information(folder, movies, rng)
    popularity = np.sort(rng.lognormal(0.0, 1.5, movies))[::-1]
    taste_of = rng.normal(size=(_GENRES, _FACTORS)) / np.sqrt(_FACTORS)
    movie_vectors = taste_of[genre_of] + 0.3 * rng.normal(size=(movies, _FACTORS))
    lengths = _lengths(users, movies, rows, rng)
    log = []
    for first in range(0, users, _USERS_A_BLOCK):
        block = lengths[first : first + _USERS_A_BLOCK]
        likes = rng.normal(size=(len(block), _FACTORS)) @ movie_vectors.T
        wish = np.log(popularity) + 1.5 * likes + rng.gumbel(size=likes.shape)  # Gumbel: a draw without replacement
        for user, (length, wishes) in enumerate(zip(block, wish), start=first):
            chosen = np.argpartition(-wishes, length)[:length]
            times = np.sort(rng.integers(_FIRST_SECOND, _LAST_SECOND, length))
            log.append(np.stack([np.full(length, 11 + 3 * user), 1 + rng.permutation(chosen), times], axis=1))
    table = pd.DataFrame(np.concatenate(log), columns=["user", "item", "time"])
    table.to_csv(folder / "train_ratings.csv", index=False)
    return folder


def _lengths(users: int, movies: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.lognormal(0.0, 0.85, users)
    lengths = np.clip(np.round(drawn * rows / drawn.sum()), 16, movies // 2)
    lengths = np.clip(np.round(lengths * rows / lengths.sum()), 16, movies // 2)
    return lengths.astype(np.int64)


def _write_side_information(folder: Path, movies: int, rng: np.random.Generator) -> np.ndarray:
    """Titles, years, genres, directors, writers; int [movies], the first genre of each movie."""
    items = np.arange(1, movies + 1)
    genres = rng.integers(0, _GENRES, (movies, 2))

    def write(name: str, item: np.ndarray, column: str, values: np.ndarray) -> None:
        table = pd.DataFrame({"item": item, column: values}).drop_duplicates()
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)

    years = rng.integers(1930, 2015, movies)
    write("titles", items, "title", np.array([f"Movie {item} ({year})" for item, year in zip(items, years)]))
    write("years", items, "year", years)
    write("genres", np.repeat(items, 2), "genre", np.array([f"Genre{genre:02d}" for genre in genres.ravel()]))
    write("directors", items, "director", np.array([f"nm{number:07d}" for number in rng.zipf(1.5, movies) % 3_000]))
    write("writers", items, "writer", np.array([f"nm{number:07d}" for number in rng.zipf(1.5, movies) % 5_000]))
    return genres[:, 0]
