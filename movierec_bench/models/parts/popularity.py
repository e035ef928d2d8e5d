"""What the rule models share: popular movies, and whose features a user favours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.models.parts.linear_model import sparse_scores
from movierec_bench.models.parts.nearest import as_csr, largest_of_rows
from movierec_bench.recbole_backend.stored_state import Storable


@dataclass(frozen=True)
class Popularity(Storable):
    """The movies by how many users watched them, equal counts by item index.

    Attributes:
        order: int64 [n_items - 1], item indices, the most watched first.
        place: float32 [n_items], from just below 1 for the most watched down to 0 for the least, all
            different; column 0 (padding) is 0. Added to whole numbers it breaks their ties.
        counts: float32 [n_items], how many users watched each.
    """

    order: np.ndarray
    place: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, history: csr_matrix) -> Popularity:
        """Counted on ``history``, csr [n_users, n_items] of 0 and 1."""
        counts = watch_counts(history)
        order = 1 + np.argsort(-counts[1:], kind="stable")
        place = np.zeros(history.shape[1], dtype=np.float32)
        place[order] = np.arange(len(order) - 1, -1, -1) / max(len(order), 1)
        return cls(order, place, counts)


def watch_counts(history: csr_matrix) -> np.ndarray:
    """Float32 [n_items]: users who watched each movie of ``history``, csr [n_users, n_items]."""
    return np.bincount(history.indices, minlength=history.shape[1]).astype(np.float32)


def feature_matrix(movies: pd.DataFrame, feature: str) -> csr_matrix:
    """Which movie has which value of a many-valued feature.

    Args:
        movies: indexed by item_ix, 1 to n_items - 1; ``feature`` holds tuples of str.
        feature: a column name.

    Returns:
        Float32 csr [n_items, n_values] of ones; values in alphabetical order, row 0 empty.
    """
    pairs = movies[feature].explode().dropna()
    values = pairs.astype("category").cat
    shape = (len(movies) + 1, len(values.categories))
    return csr_matrix((np.ones(len(pairs), dtype=np.float32), (pairs.index, values.codes)), shape=shape)


def popular_by_value(features: csr_matrix, popular: Popularity) -> csr_matrix:
    """The movies of each feature value, the most watched first.

    Args:
        features: csr [n_items, n_values] of ones.
        popular: the movies by popularity.

    Returns:
        Csr [n_values, n_items]; its rows are in the order of popularity, not of the item index.
    """
    by_place = features[popular.order].T.tocsr()
    by_place.sort_indices()
    shape = (features.shape[1], features.shape[0])
    return csr_matrix((by_place.data, popular.order[by_place.indices], by_place.indptr), shape=shape)


def favourites(history: csr_matrix, user_ix: np.ndarray, features: csr_matrix, n: int) -> csr_matrix:
    """The feature values that users' movies have most often, with how many of their movies have them.

    Args:
        history: csr [n_users, n_items] of 0 and 1.
        user_ix: int64 [B].
        features: csr [n_items, n_values] of ones.
        n: values kept a user, fewer where the user's movies have fewer; equal counts in favour of the first value.

    Returns:
        Float32 csr [B, n_values] of counts; in each row the favourite first, then in descending order.
    """
    counts = sparse_scores(history, user_ix, features)
    nobody = np.full(len(user_ix), -1)
    return as_csr(*largest_of_rows(counts, n, nobody), features.shape[1])
