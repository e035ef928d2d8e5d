"""What the tree models know of a (user, movie) pair: popularity, years, and how often the user chose alike."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pandas as pd

from movierec_bench.schema import DECADE, DIRECTOR, GENRE, WRITER, YEAR

_TOKEN_FIELDS = (GENRE, DIRECTOR, WRITER, DECADE)
FEATURES = (
    "popularity",  # log of 1 + the movie's rows
    "year",  # of the movie
    "activity",  # log of 1 + the user's rows
    "popularity_gap",  # popularity less the mean popularity of the user's movies
    "year_gap",  # year less the mean year of the user's movies
    *(f"{field}_affinity" for field in _TOKEN_FIELDS),  # share of the user's rows with a value, mean over the movie's
)


class PairFeatures:
    """Features of pairs, counted from one set of rows and nothing else.

    A watched pair counts itself: of a movie's directors a user who watched it has seen at least that film, and a
    tree would learn to look for the film itself. So the row of a pair can be left out of what compares the user
    with the movie. It stays in popularity and activity: less by one for watched pairs only, they would tell a tree
    which pairs are watched.

    Args:
        interactions: the rows that count, a `data.interactions.Interactions`.
        movies: the movies by item_ix: year, genre, director, writer, decade.
    """

    def __init__(self, interactions: Any, movies: pd.DataFrame) -> None:
        user_ix, item_ix = interactions.user_ix, interactions.item_ix
        n_users, n_items = interactions.n_users, interactions.n_items
        self._year = np.concatenate([[np.nan], movies[YEAR].to_numpy(dtype=np.float64)])
        self._rows_of_item = np.bincount(item_ix, minlength=n_items).astype(np.float64)
        self._rows_of_user = np.bincount(user_ix, minlength=n_users).astype(np.float64)
        popularity = np.log1p(self._rows_of_item)
        self._popularity_sum = np.bincount(user_ix, popularity[item_ix], minlength=n_users)
        dated = ~np.isnan(self._year[item_ix])
        self._year_sum = np.bincount(user_ix[dated], self._year[item_ix[dated]], minlength=n_users)
        self._dated_rows = np.bincount(user_ix[dated], minlength=n_users).astype(np.float64)
        self._tokens = [_token_counts(user_ix, item_ix, n_users, values) for values in _token_lists(movies)]

    def of_pairs(self, user_ix: np.ndarray, item_ix: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Features of pairs, NaN where unknown.

        Args:
            user_ix: int64 [n].
            item_ix: int64 [n].
            own: bool [n], whether the pair is one of the rows counted, and to be left out.

        Returns:
            Float32 [n, len(FEATURES)].
        """
        popularity = np.log1p(self._rows_of_item[item_ix])
        rows = self._rows_of_user[user_ix] - own
        year = self._year[item_ix]
        known = own & ~np.isnan(year)
        own_popularity = np.where(own, popularity, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):  # a user without rows has no means: NaN, a missing value
            mean_popularity = (self._popularity_sum[user_ix] - own_popularity) / rows
            mean_year = (self._year_sum[user_ix] - np.where(known, year, 0.0)) / (self._dated_rows[user_ix] - known)
            affinities = [_mean_count(user_ix, item_ix, own, *tokens) / rows for tokens in self._tokens]
        activity = np.log1p(self._rows_of_user[user_ix])
        columns = [popularity, year, activity, popularity - mean_popularity, year - mean_year, *affinities]
        features = np.stack(columns, axis=1).astype(np.float32)
        features[~np.isfinite(features)] = np.nan
        return features


def _token_lists(movies: pd.DataFrame) -> list[list[tuple[str, ...]]]:
    """The values of each field, a tuple a movie; a decade is one value, or none where it is empty."""
    lists = [list(movies[field]) for field in _TOKEN_FIELDS if field != DECADE]
    return [*lists, [(decade,) if decade else () for decade in movies[DECADE]]]


def _token_counts(
    user_ix: np.ndarray, item_ix: np.ndarray, n_users: int, values: list[tuple[str, ...]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A field's values by movie and by user.

    Returns:
        int64 [n_items + 1] where the tokens of each item_ix begin, int64 tokens, and int32 [n_users, n_tokens]
        how many rows of each user have each token.
    """
    names = sorted({name for names in values for name in names})
    number = {name: token for token, name in enumerate(names)}
    starts = np.concatenate([[0, 0], np.cumsum([len(names) for names in values])])  # the padding movie has none
    tokens = np.array([number[name] for names in values for name in names], dtype=np.int64)
    return starts, tokens, _count(user_ix, item_ix, starts, tokens, np.zeros((n_users, len(number)), dtype=np.int32))


@numba.njit(cache=True)
def _count(
    user_ix: np.ndarray, item_ix: np.ndarray, starts: np.ndarray, tokens: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    for row in range(len(user_ix)):
        for place in range(starts[item_ix[row]], starts[item_ix[row] + 1]):
            counts[user_ix[row], tokens[place]] += 1
    return counts


@numba.njit(cache=True, parallel=True)
def _mean_count(
    user_ix: np.ndarray,
    item_ix: np.ndarray,
    own: np.ndarray,
    starts: np.ndarray,
    tokens: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Rows of the user that share a token with the movie, mean over the movie's tokens; NaN without tokens."""
    means = np.full(len(user_ix), np.nan)
    for pair in numba.prange(len(user_ix)):
        first, end = starts[item_ix[pair]], starts[item_ix[pair] + 1]
        total = 0
        for place in range(first, end):
            total += counts[user_ix[pair], tokens[place]] - own[pair]
        if end > first:
            means[pair] = total / (end - first)
    return means
