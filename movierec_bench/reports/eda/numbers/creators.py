"""Directors and writers: the most watched, and how strongly they go with genres (Cramer's V)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats.contingency import association

from movierec_bench.reports.eda.numbers.columns import (
    FEATURE,
    FEWEST_MOVIES,
    MEAN_ROWS_A_MOVIE,
    MOVIES,
    PERSONS,
    ROWS,
    SHARE,
    SHARE_OF_ROWS,
    V_CORRECTED,
    V_SQUARED,
    V,
)
from movierec_bench.reports.eda.numbers.genres import Membership
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.schema import DIRECTOR, GENRE, WRITER

TOP = {DIRECTOR: 20, WRITER: 15}  # how many are shown
FEWEST_TRIED = (1, 2, 3, 5, 10)


def most_watched(histories: Histories, feature: str, top: int) -> pd.DataFrame:
    """The persons whose movies have the most rows; of equal ones, in the order of their names.

    Args:
        histories: what is counted.
        feature: DIRECTOR or WRITER; the column is named after it.
        top: at most so many.

    Returns:
        DataFrame [<feature>, movies, rows, share_of_rows, mean_rows_a_movie]; movies are those with a row or more.
    """
    persons = Membership.of(histories.movies, feature)
    rows = persons.matrix.T @ histories.movie_rows
    movies = persons.matrix.T @ (histories.movie_rows > 0).astype(np.int64)
    order = np.argsort(-rows, kind="stable")[:top]
    order = order[rows[order] > 0]
    return pd.DataFrame(
        {
            feature: [persons.names[place] for place in order],
            MOVIES: movies[order],
            ROWS: rows[order],
            SHARE_OF_ROWS: rows[order] / len(histories),
            MEAN_ROWS_A_MOVIE: rows[order] / movies[order],
        }
    )


@dataclass(frozen=True)
class CramersV:
    """How strongly two labels go together, from 0, not at all, to 1, one tells the other.

    Attributes:
        root: Cramer's V, the square root of chi squared / (n min(rows - 1, columns - 1)).
        squared: the same without the root, as it is sometimes reported by mistake.
        corrected: V without the bias that many labels and few observations bring.

    Source:
        Cramer 1946; the correction: Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", 2013.
    """

    root: float
    squared: float
    corrected: float


def cramers_v(counts: np.ndarray) -> CramersV:
    """Cramer's V of a contingency table.

    Args:
        counts: int [r, c], how often each label of one kind met each of the other; labels that met none are left
            out. All three values are NaN where fewer than two labels of a kind are left.
    """
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    r, c = counts.shape
    if min(r, c) < 2:
        return CramersV(math.nan, math.nan, math.nan)
    root = float(association(counts, method="cramer"))
    n = counts.sum()
    phi_squared = max(0.0, root**2 * min(r - 1, c - 1) - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    corrected = math.sqrt(phi_squared / smaller) if smaller > 0 else math.nan
    return CramersV(root, root**2, corrected)


def persons_by_genre(movies: pd.DataFrame, feature: str) -> tuple[Membership, Membership, np.ndarray]:
    """Movies of each person in each genre: the persons, the genres, and int64 [persons, genres]."""
    persons, genres = Membership.of(movies, feature), Membership.of(movies, GENRE)
    return persons, genres, (persons.matrix.T @ genres.matrix).toarray()


def creators_and_genres(
    histories: Histories, features: Sequence[str], fewest_movies: Sequence[int] = FEWEST_TRIED
) -> pd.DataFrame:
    """Cramer's V of persons and genres: of all persons, and of those with several movies only.

    An observation is a movie, one of its persons and one of its genres; a movie of two genres is two observations.

    Returns:
        DataFrame [feature, fewest_movies, persons, cramers_v, cramers_v_squared, cramers_v_corrected], one row for
        each feature and number in ``fewest_movies`` that two persons or more reach.
    """
    table = []
    for feature in features:
        persons, _, counts = persons_by_genre(histories.movies, feature)
        movies = np.asarray(persons.matrix.sum(axis=0)).ravel()
        for fewest in fewest_movies:
            chosen = counts[(movies >= fewest) & (counts.sum(axis=1) > 0)]
            v = cramers_v(chosen)
            if not math.isnan(v.root):
                table.append((feature, fewest, len(chosen), v.root, v.squared, v.corrected))
    return pd.DataFrame(table, columns=[FEATURE, FEWEST_MOVIES, PERSONS, V, V_SQUARED, V_CORRECTED])


def directors_by_genre(histories: Histories, top: int = TOP[DIRECTOR]) -> pd.DataFrame:
    """Movies of the most watched directors in each genre: DataFrame [director, genre, movies, share].

    The share is of the director's movies. Directors are in the order of `most_watched`.
    """
    persons, genres, counts = persons_by_genre(histories.movies, DIRECTOR)
    names = most_watched(histories, DIRECTOR, top)[DIRECTOR].tolist()
    places = [persons.names.index(name) for name in names]
    directed = np.asarray(persons.matrix.sum(axis=0)).ravel()[places]
    return pd.DataFrame(
        {
            DIRECTOR: np.repeat(np.array(names, dtype=object), len(genres.names)),
            GENRE: np.tile(np.array(genres.names, dtype=object), len(names)),
            MOVIES: counts[places].ravel(),
            SHARE: (counts[places] / directed[:, None]).ravel(),
        }
    )
