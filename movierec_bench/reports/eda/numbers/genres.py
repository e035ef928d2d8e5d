"""Genres: how many movies and rows each has, in which years, beside which others, and how many a user watches.

A movie of several genres counts whole for each of them, so that counts of genres add up to more than the movies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.reports.eda.numbers.columns import (
    CORRELATION,
    GENRE_A,
    GENRE_B,
    GENRES,
    MEAN_ROWS_A_USER,
    MEAN_SHARE_A_USER,
    MOVIES,
    ROWS,
    SHARE,
    SHARE_OF_MOVIES,
    SHARE_OF_ROWS,
    USERS,
    VARIANCE_ROWS_A_USER,
    VARIANCE_SHARE_A_USER,
    WATCH_YEAR,
)
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.schema import GENRE, YEAR


@dataclass(frozen=True)
class Membership:
    """Which movie has which value of a many-valued feature: its genres, directors or writers.

    Attributes:
        names: the values, sorted.
        matrix: int64 csr [movies, names], 1 where the movie has the value.
    """

    names: list[str]
    matrix: csr_matrix

    @classmethod
    def of(cls, movies: pd.DataFrame, feature: str) -> Membership:
        """From the column ``feature`` of tuples of str; a value that a movie repeats counts once."""
        values = [sorted(set(value)) for value in movies[feature]]
        names = sorted({name for value in values for name in value})
        place = {name: number for number, name in enumerate(names)}
        columns = np.array([place[name] for value in values for name in value], dtype=np.int64)
        ends = np.concatenate([[0], np.cumsum([len(value) for value in values], dtype=np.int64)])
        ones = np.ones(len(columns), dtype=np.int64)
        return cls(names, csr_matrix((ones, columns, ends), shape=(len(movies), len(names))))


def genre_counts(histories: Histories) -> pd.DataFrame:
    """Movies and rows of each genre, the most watched first.

    Returns:
        DataFrame [genre, movies, share_of_movies, rows, share_of_rows].
    """
    genres = Membership.of(histories.movies, GENRE)
    movies = np.asarray(genres.matrix.sum(axis=0)).ravel()
    rows = genres.matrix.T @ histories.movie_rows
    table = pd.DataFrame(
        {
            GENRE: genres.names,
            MOVIES: movies,
            SHARE_OF_MOVIES: movies / len(histories.movies),
            ROWS: rows,
            SHARE_OF_ROWS: rows / len(histories),
        }
    )
    return table.sort_values([ROWS, GENRE], ascending=[False, True], ignore_index=True)


def genres_by_release_year(histories: Histories) -> pd.DataFrame:
    """Movies of each genre in each release year that has a movie: DataFrame [year, genre, movies, share].

    The share is of the year's movies.
    """
    genres = Membership.of(histories.movies, GENRE)
    known = histories.movies[YEAR].notna().to_numpy()
    years, year = np.unique(histories.movies[YEAR].to_numpy()[known].astype(np.int64), return_inverse=True)
    by_year = csr_matrix(
        (np.ones(known.sum(), dtype=np.int64), (year, np.flatnonzero(known))), (len(years), len(known))
    )
    return _long(years, YEAR, genres, by_year, MOVIES)


def genres_by_watch_year(histories: Histories) -> pd.DataFrame:
    """Rows of each genre in each watch year: DataFrame [watch_year, genre, rows, share], of the year's rows."""
    genres = Membership.of(histories.movies, GENRE)
    years = np.arange(histories.watch_year.min(), histories.watch_year.max() + 1)
    pair = (histories.watch_year - years[0]) * len(histories.movies) + histories.movie
    counts = np.bincount(pair, minlength=len(years) * len(histories.movies)).reshape(len(years), -1)
    watched = counts.any(axis=1)
    return _long(years[watched], WATCH_YEAR, genres, csr_matrix(counts[watched]), ROWS)


def co_occurrence(histories: Histories) -> pd.DataFrame:
    """Movies that have both of two genres, and how the genres correlate over the movies.

    Returns:
        DataFrame [genre_a, genre_b, movies, correlation], one row a pair in either order, and each genre with
        itself. The correlation is Pearson's of the two columns of zeros and ones, which is the phi coefficient;
        NaN for a genre that every movie has.
    """
    genres = Membership.of(histories.movies, GENRE)
    both = (genres.matrix.T @ genres.matrix).toarray()
    has, movies = both.diagonal(), len(histories.movies)
    covariance = both / movies - np.outer(has, has) / movies**2
    deviation = np.sqrt(has / movies * (1 - has / movies))
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: every movie has the genre
        correlation = covariance / np.outer(deviation, deviation)
    names = np.array(genres.names, dtype=object)
    return pd.DataFrame(
        {
            GENRE_A: np.repeat(names, len(names)),
            GENRE_B: np.tile(names, len(names)),
            MOVIES: both.ravel(),
            CORRELATION: correlation.ravel(),
        }
    )


def rows_of_users(histories: Histories, genres: Membership) -> np.ndarray:
    """Rows that each user has of each genre: int64 [users, genres]."""
    shape = (histories.users, len(histories.movies))
    ends = np.append(histories.starts, len(histories))
    watched = csr_matrix((np.ones(len(histories), dtype=np.int64), histories.movie, ends), shape=shape)
    return (watched @ genres.matrix).toarray()


def genres_a_user(histories: Histories) -> pd.DataFrame:
    """Users by the number of genres in their history: DataFrame [genres, users, share]."""
    counts = genre_numbers(histories)
    users = np.bincount(counts)
    table = pd.DataFrame({GENRES: np.arange(len(users)), USERS: users, SHARE: users / len(counts)})
    return table.iloc[counts.min() :].reset_index(drop=True)


def genre_numbers(histories: Histories) -> np.ndarray:
    """The number of genres in each user's history: int64 [users]."""
    return (rows_of_users(histories, Membership.of(histories.movies, GENRE)) > 0).sum(axis=1)


def genre_taste(histories: Histories) -> pd.DataFrame:
    """What part of a user's history each genre has, mean and variance over the users, the largest part first.

    Returns:
        DataFrame [genre, mean_rows_a_user, variance_rows_a_user, mean_share_a_user, variance_share_a_user]; sample
        variances (n - 1), NaN for one user. Every user weighs the same, however long the history.
    """
    genres = Membership.of(histories.movies, GENRE)
    rows = pd.DataFrame(rows_of_users(histories, genres))
    shares = rows.div(histories.lengths, axis=0)
    table = pd.DataFrame(
        {
            GENRE: genres.names,
            MEAN_ROWS_A_USER: rows.mean(),
            VARIANCE_ROWS_A_USER: rows.var(ddof=1),
            MEAN_SHARE_A_USER: shares.mean(),
            VARIANCE_SHARE_A_USER: shares.var(ddof=1),
        }
    )
    return table.sort_values([MEAN_SHARE_A_USER, GENRE], ascending=[False, True], ignore_index=True)


def _long(years: np.ndarray, what: str, genres: Membership, by_year: csr_matrix, counted: str) -> pd.DataFrame:
    """Counts of each genre in each year, from counts of each movie in each year, int csr [years, movies]."""
    counts = (by_year @ genres.matrix).toarray()
    totals = np.asarray(by_year.sum(axis=1)).ravel()
    return pd.DataFrame(
        {
            what: np.repeat(years, len(genres.names)),
            GENRE: np.tile(np.array(genres.names, dtype=object), len(years)),
            counted: counts.ravel(),
            SHARE: (counts / totals[:, None]).ravel(),
        }
    )
