"""Histories times weights: the scores of every model that is linear in what a user has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numba
import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.recbole_backend.model_contract import HistoryModel
from movierec_bench.recbole_backend.recency import RecencyWeighted
from movierec_bench.recbole_backend.stored_state import Storable

_TILE = 512  # columns of a weight matrix; 6,807 rows of so many floats stay in a 16 MiB cache
_SPARSE_BELOW = 1 / 8  # share of weights that are not 0, above which adding whole rows is faster than adding by index


class LinearModel(RecencyWeighted, HistoryModel):
    """A model whose scores are a user's history times one matrix of item weights.

    Recent rows of the history may weigh more than old ones when it scores.

    Attributes:
        weights: [n_items, n_items]; entry (j, i) is what having seen j adds to the score of i.
    """

    other_parameter_name = ["weights"]
    weights: Union[TiledWeights, csr_matrix]

    def item_weights(self) -> Union[np.ndarray, csr_matrix]:
        """Float32 [n_items, n_items], learned from ``history``, dense or sparse; what a subclass is about."""
        raise NotImplementedError

    def fit_closed_form(self) -> None:
        """Learn the weights from the training rows."""
        self.weights = kept_weights(self.item_weights())

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        users = self.user_rows(interaction)
        if isinstance(self.weights, TiledWeights):
            return torch.from_numpy(self.weights.sums(self.weighted_history, users))
        return torch.from_numpy(sparse_scores(self.weighted_history, users, self.weights))


def kept_weights(weights: Union[np.ndarray, csr_matrix]) -> Union[TiledWeights, csr_matrix]:
    """Item weights float32 [n_items, n] in the form that is summed up fastest: sparse where few are not 0."""
    if isinstance(weights, np.ndarray):
        return TiledWeights.of(weights)
    if weights.nnz < _SPARSE_BELOW * weights.shape[0] * weights.shape[1]:
        return weights
    return TiledWeights.of(weights.toarray())


@dataclass(frozen=True)
class TiledWeights(Storable):
    """A dense matrix of item weights [n_items, n], cut into tiles of columns that fit the processor's cache.

    Args:
        tiles: float32 [tiles, n_items, 512]; the last is filled up with zeros.
        n: columns.
    """

    tiles: np.ndarray
    n: int

    @classmethod
    def of(cls, weights: np.ndarray) -> TiledWeights:
        """The tiles of float32 [n_items, n]."""
        n_items, n = weights.shape
        tiles = np.zeros((-(-n // _TILE), n_items, _TILE), dtype=np.float32)
        for tile, first in zip(tiles, range(0, n, _TILE)):
            columns = weights[:, first : first + _TILE]
            tile[:, : columns.shape[1]] = columns
        return cls(tiles, n)

    def sums(self, history: csr_matrix, user_ix: np.ndarray) -> np.ndarray:
        """Sums of the weights of what users have seen: ``history[user_ix] @ weights``.

        They are added up in the order of the history, in float32, one tile at a time for all users. At the
        competition's size (a history fills 2.4 % of its row) this takes a twelfth of the time of a dense float32
        matrix product.

        Args:
            history: float32 csr [n_users, n_items]; where every stored number is 1, nothing is multiplied.
            user_ix: int64 [B], rows of ``history``.

        Returns:
            Float32 [B, n].

        Source:
            ours.
        """
        sums = np.empty((len(user_ix), self.n), dtype=np.float32)
        if _all_ones(history.indptr, history.data, user_ix):
            _add_dense_rows(history.indptr, history.indices, user_ix, self.tiles, sums)
        else:
            _add_weighted_rows(history.indptr, history.indices, history.data, user_ix, self.tiles, sums)
        return sums


def sparse_scores(left: csr_matrix, rows: np.ndarray, right: csr_matrix, largest: bool = False) -> np.ndarray:
    """Rows of the product of two sparse matrices, dense: ``left[rows] @ right``.

    Args:
        left: float32 csr [m, p].
        rows: int64 [B], rows of ``left``.
        right: float32 csr [p, n].
        largest: take the largest of the products (at least 0) where a matrix product takes their sum.

    Returns:
        Float32 [B, n].
    """
    scores = np.zeros((len(rows), right.shape[1]), dtype=np.float32)
    _add_sparse_rows(
        left.indptr, left.indices, left.data, rows, right.indptr, right.indices, right.data, largest, scores
    )
    return scores


@numba.njit(cache=True, parallel=True)
def _add_dense_rows(
    start: np.ndarray, items: np.ndarray, rows: np.ndarray, tiles: np.ndarray, scores: np.ndarray
) -> None:
    """Fill ``scores`` [B, n] tile by tile, so that the tile's weights are read from the cache."""
    for t in range(len(tiles)):
        tile, first = tiles[t], t * _TILE
        for b in numba.prange(len(rows)):
            seen = items[start[rows[b]] : start[rows[b] + 1]]
            total = scores[b, first : first + _TILE]
            total[:] = 0
            fours = len(seen) // 4 * 4
            for k in range(0, fours, 4):  # four rows at a time: the sum is read and written once for all four
                row0, row1, row2, row3 = tile[seen[k]], tile[seen[k + 1]], tile[seen[k + 2]], tile[seen[k + 3]]
                for column in range(len(total)):
                    total[column] = (((total[column] + row0[column]) + row1[column]) + row2[column]) + row3[column]
            for item in seen[fours:]:
                row = tile[item]
                for column in range(len(total)):
                    total[column] += row[column]


@numba.njit(cache=True, parallel=True, fastmath={"contract"})
def _add_weighted_rows(
    start: np.ndarray, items: np.ndarray, weights: np.ndarray, rows: np.ndarray, tiles: np.ndarray, scores: np.ndarray
) -> None:
    """As `_add_dense_rows`, each row of a tile times the weight of the history's row."""
    for t in range(len(tiles)):
        tile, first = tiles[t], t * _TILE
        for b in numba.prange(len(rows)):
            seen, weight = items[start[rows[b]] : start[rows[b] + 1]], weights[start[rows[b]] : start[rows[b] + 1]]
            total = scores[b, first : first + _TILE]
            total[:] = 0
            fours = len(seen) // 4 * 4
            for k in range(0, fours, 4):
                row0, row1, row2, row3 = tile[seen[k]], tile[seen[k + 1]], tile[seen[k + 2]], tile[seen[k + 3]]
                weight0, weight1, weight2, weight3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
                for column in range(len(total)):
                    total[column] = (
                        ((total[column] + weight0 * row0[column]) + weight1 * row1[column]) + weight2 * row2[column]
                    ) + weight3 * row3[column]
            for k in range(fours, len(seen)):
                row = tile[seen[k]]
                for column in range(len(total)):
                    total[column] += weight[k] * row[column]


@numba.njit(cache=True)
def _all_ones(start: np.ndarray, values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether every number stored in these rows is 1."""
    for row in rows:
        for k in range(start[row], start[row + 1]):
            if values[k] != 1:
                return False
    return True


@numba.njit(cache=True, parallel=True)
def _add_sparse_rows(
    start: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    right_start: np.ndarray,
    right_columns: np.ndarray,
    right_values: np.ndarray,
    largest: bool,
    scores: np.ndarray,
) -> None:
    """Fill ``scores`` [B, n], which come in as zeros."""
    for b in numba.prange(len(rows)):
        total = scores[b]
        for k in range(start[rows[b]], start[rows[b] + 1]):
            middle, value = columns[k], values[k]
            for r in range(right_start[middle], right_start[middle + 1]):
                column, product = right_columns[r], value * right_values[r]
                if largest:
                    total[column] = max(total[column], product)
                else:
                    total[column] += product
