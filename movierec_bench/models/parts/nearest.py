"""The most similar users or movies, exactly, in bounded memory; and the models that let similar users vote."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numba
import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.gram_matrix import GramRows
from movierec_bench.models.parts.linear_model import sparse_scores
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset

_ROWS_A_BLOCK = 2048  # rows whose similarities to all others are in memory at once, fewer where they would be
_FLOATS_A_BLOCK = 2**26  # more numbers than these
_TILE = 1024  # users whose counters are added up together, one byte each
_BYTE_MAX = 252  # additions a one-byte counter takes (255), in fours

WEIGHTED = "weighted"


class UserNeighbourModel(HistoryModel):
    """Movies that the ``k`` most similar users have watched.

    Neighbours and what they watched both come from the history in force: training rows on validation,
    training and validation rows at test.

    ``method: voting`` scores a movie by how many neighbours watched it, ties by the sum of their
    similarities; ``method: weighted`` by the sum of the similarities alone.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.k = config["k"]
        self.method = config["method"]
        self._voters: Optional[csr_matrix] = None

    def find_neighbours(self) -> csr_matrix:
        """Float32 csr [n_users, n_users], positive similarities to at most ``k`` others; what a subclass is about."""
        raise NotImplementedError

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from; neighbours are looked for again unless the rows are the same."""
        if not _same_rows(rows.csr, self.history):
            self._voters = None
        super().set_history(rows)

    def fit_closed_form(self) -> None:
        """Find the neighbours among the training rows."""
        self._voters = self._weigh(self.find_neighbours())

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        if self._voters is None:
            self._voters = self._weigh(self.find_neighbours())
        return torch.from_numpy(sparse_scores(self._voters, self.user_rows(interaction), self.history))

    def _weigh(self, neighbours: csr_matrix) -> csr_matrix:
        """What a neighbour adds to the movies it watched."""
        if self.method == WEIGHTED:
            return neighbours
        # Similarities are at most 1, so what they add over all neighbours stays below one vote.
        votes = (1 + neighbours.data / (self.k + 1)).astype(np.float32)
        return csr_matrix((votes, neighbours.indices, neighbours.indptr), shape=neighbours.shape)


def nearest_users(history: csr_matrix, k: int) -> csr_matrix:
    """Each user's ``k`` most similar other users by cosine of what they watched.

    Args:
        history: csr [n_users, n_items] of 0 and 1.
        k: neighbours a user, fewer where fewer share a movie with that user.

    Returns:
        Float32 csr [n_users, n_users] of cosines; equal ones in favour of the smaller user index.

    Source:
        ours. Movies in common are counted for 8 users by one addition: the counters are the bytes of an
        unsigned 64-bit integer, emptied before one can overflow. A quarter of the time of inverted lists. Only one
        tile of 1,024 users is spread out so at a time.
    """
    norms = np.sqrt(np.diff(history.indptr))
    inverse_norms = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0).astype(np.float32)
    n_users = history.shape[0]
    columns, values = np.zeros((n_users, k), dtype=np.int32), np.zeros((n_users, k), dtype=np.float32)
    watchers = np.empty((history.shape[1], _TILE), dtype=np.uint8)
    for first in range(0, n_users, _TILE):
        _spread(history[first : first + _TILE], watchers)
        tile = watchers.view(np.uint64)
        _keep_nearest(history.indptr, history.indices, tile, first, inverse_norms, columns, values)
    return as_csr(columns, values, n_users)


def nearest_by_correlation(vectors: np.ndarray, k: int) -> csr_matrix:
    """The ``k`` vectors that correlate most with each vector.

    Args:
        vectors: float32 [n, d], d >= 2.
        k: neighbours a vector, fewer where fewer correlate positively.

    Returns:
        Float32 csr [n, n] of Pearson correlations over the d entries; a constant vector has no neighbour.
    """
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # What rounding leaves of a constant vector is no direction.
    flat = norms <= 1e-6 * np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=~flat)
    return nearest(lambda rows: unit[rows] @ unit.T, len(unit), k)


def nearest_items(history: csr_matrix, k: int, shrink: float) -> csr_matrix:
    """Each movie's ``k`` most similar other movies by shrunk cosine, ``n_ij / (sqrt(n_i n_j) + shrink)``.

    Args:
        history: csr [n_users, n_items] of 0 and 1; n_ij are the users in common.
        k: neighbours a movie, fewer where fewer share a user with it.
        shrink: >= 0; lowers similarities that rest on few users.

    Returns:
        Float32 csr [n_items, n_items]; row i holds the neighbours of movie i.

    Source:
        Aiolli, "Efficient top-n recommendation for very large scale binary rated datasets", RecSys 2013,
        as RecBole's ItemKNN has it (its 1e-6 in the denominator included).
    """
    in_common = GramRows(history)
    norms = np.sqrt(in_common.diagonal)

    def similarities(items: np.ndarray) -> np.ndarray:
        shrunk = norms[items, None] * norms
        shrunk += np.float32(shrink + 1e-6)
        return np.divide(in_common(items), shrunk, out=shrunk)

    return nearest(similarities, history.shape[1], k)


def nearest(similarities: Callable[[np.ndarray], np.ndarray], n: int, k: int) -> csr_matrix:
    """The ``k`` largest positive similarities of each row of a matrix to its other rows.

    Args:
        similarities: int64 [B] rows to float32 [B, n], their similarities to all rows.
        n: number of rows.
        k: entries kept a row.

    Returns:
        Float32 csr [n, n]; equal similarities in favour of the smaller index, the largest first in a row.
    """
    indices, values = np.zeros((n, k), dtype=np.int32), np.zeros((n, k), dtype=np.float32)
    rows_a_block = max(1, min(_ROWS_A_BLOCK, _FLOATS_A_BLOCK // max(n, 1)))
    for first in range(0, n, rows_a_block):
        rows = np.arange(first, min(n, first + rows_a_block))
        indices[rows], values[rows] = largest_of_rows(similarities(rows), k, rows)
    return as_csr(indices, values, n)


def largest_of_rows(matrix: np.ndarray, k: int, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest positive entries of each row, the largest first, equal ones by column.

    Args:
        matrix: float32 [B, n].
        k: entries a row.
        skip: int64 [B], a column of each row that does not count; -1 for none.

    Returns:
        (columns int32 [B, k], values float32 [B, k]); 0 and 0 where a row has no further positive entry.
    """
    columns = np.zeros((len(matrix), k), dtype=np.int32)
    values = np.zeros((len(matrix), k), dtype=np.float32)
    _keep_largest(matrix, skip, columns, values)
    return columns, values


def as_csr(columns: np.ndarray, values: np.ndarray, n_columns: int) -> csr_matrix:
    """Float32 csr [B, n_columns] of what `largest_of_rows` found (int32 and float32 [B, k])."""
    found = values > 0
    start = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int32)
    return csr_matrix((values[found], columns[found], start), shape=(len(values), n_columns))


def _same_rows(one: csr_matrix, other: csr_matrix) -> bool:
    return one is other or (np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices))


def _spread(tile: csr_matrix, watchers: np.ndarray) -> None:
    """Fill ``watchers`` (uint8 [n_items, _TILE]): who of the tile's users watched what, a byte a user."""
    watchers[:] = 0
    user = np.repeat(np.arange(tile.shape[0]), np.diff(tile.indptr))
    watchers[tile.indices, user] = 1


@numba.njit(cache=True, parallel=True)
def _keep_nearest(
    start: np.ndarray,
    items: np.ndarray,
    watched: np.ndarray,
    first: int,
    inverse_norms: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
) -> None:
    """Put into ``columns`` and ``values`` [n_users, k] who of a tile is nearer; its first user is ``first``."""
    for user in numba.prange(len(columns)):
        seen = items[start[user] : start[user + 1]]
        cosines = np.zeros(min(_TILE, len(columns) - first), dtype=np.float32)
        for begin in range(0, len(seen), _BYTE_MAX):
            counters = _add_bytes(watched, seen[begin : begin + _BYTE_MAX]).view(np.uint8)
            for column in range(len(cosines)):
                cosines[column] += counters[column]
        for column in range(len(cosines)):
            cosines[column] *= inverse_norms[user] * inverse_norms[first + column]
        _insert_larger(cosines, first, user, columns[user], values[user])


@numba.njit(cache=True)
def _add_bytes(watched: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Uint64 [_TILE / 8]: the sum over ``seen`` of the rows of ``watched``, byte by byte."""
    total = np.zeros(watched.shape[1], dtype=np.uint64)
    fours = len(seen) // 4 * 4
    for k in range(0, fours, 4):
        row0, row1, row2, row3 = watched[seen[k]], watched[seen[k + 1]], watched[seen[k + 2]], watched[seen[k + 3]]
        for word in range(len(total)):
            total[word] += row0[word] + row1[word] + row2[word] + row3[word]
    for item in seen[fours:]:
        row = watched[item]
        for word in range(len(total)):
            total[word] += row[word]
    return total


@numba.njit(cache=True, parallel=True)
def _keep_largest(matrix: np.ndarray, skip: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    """Fill ``columns`` and ``values`` [B, k], which come in as zeros; NaN is never kept."""
    for b in numba.prange(len(matrix)):
        _insert_larger(matrix[b], 0, skip[b], columns[b], values[b])


@numba.njit(cache=True)
def _insert_larger(row: np.ndarray, first: int, skip: int, columns: np.ndarray, values: np.ndarray) -> None:
    """Sort into ``columns`` and ``values`` [k] what of ``row`` is larger; its columns count from ``first``."""
    last = len(values) - 1
    for column in range(len(row)):
        value = row[column]
        if value > values[last] and first + column != skip:
            place = last
            while place > 0 and values[place - 1] < value:
                values[place], columns[place] = values[place - 1], columns[place - 1]
                place -= 1
            values[place], columns[place] = value, first + column
