"""Rows of users and items as sorted integer arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.schema import (
    ITEM,
    TIME,
    USER,
)


@dataclass(frozen=True)
class Interactions:
    """Interaction rows in RecBole's integers, sorted by user, then time, then file order.

    Attributes:
        user_ix: int64 [n].
        item_ix: int64 [n].
        time: int64 [n], unix seconds.
        n_users: number of user indices, padding included.
        n_items: number of item indices, padding included.
    """

    user_ix: np.ndarray
    item_ix: np.ndarray
    time: np.ndarray
    n_users: int
    n_items: int

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, vocabulary: Vocabulary) -> Interactions:
        """From a table user, item, time in file order. Raises DataError for an unknown id."""
        user_ix = vocabulary.user_ix(rows[USER].to_numpy())
        item_ix = vocabulary.item_ix(rows[ITEM].to_numpy())
        time = rows[TIME].to_numpy().astype(np.int64)
        if not _in_order(user_ix, time):
            order = _by_user_and_time(user_ix, time, vocabulary.n_user_ix)
            user_ix, item_ix, time = user_ix[order], item_ix[order], time[order]
        return cls(user_ix, item_ix, time, vocabulary.n_user_ix, vocabulary.n_item_ix)

    def __len__(self) -> int:
        return len(self.user_ix)

    @cached_property
    def indptr(self) -> np.ndarray:
        """Int64 [n_users + 1]: the rows of user ``u`` are ``indptr[u]`` to ``indptr[u + 1]``."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.user_ix, minlength=self.n_users))])

    @cached_property
    def csr(self) -> csr_matrix:
        """Float32 csr [n_users, n_items] of ones, column indices ascending in each row."""
        matrix = csr_matrix(
            (np.ones(len(self), dtype=np.float32), self.item_ix.astype(np.int32), self.indptr.astype(np.int32)),
            shape=(self.n_users, self.n_items),
        )
        matrix.sort_indices()
        return matrix


def _in_order(user_ix: np.ndarray, time: np.ndarray) -> bool:
    """Whether rows are sorted by user, then time, as most logs come."""
    same_user = user_ix[1:] == user_ix[:-1]
    return bool(np.all((user_ix[1:] > user_ix[:-1]) | (same_user & (time[1:] >= time[:-1]))))


def _by_user_and_time(user_ix: np.ndarray, time: np.ndarray, n_users: int) -> np.ndarray:
    """Stable order by user, then time: int64 [n]."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(user_ix, minlength=n_users))])
    return _sort_within(_counting_sort(user_ix, starts[:-1].copy()), time, starts)


@numba.njit(cache=True)
def _counting_sort(keys: np.ndarray, next_slot: np.ndarray) -> np.ndarray:
    order = np.empty(len(keys), dtype=np.int64)
    for row in range(len(keys)):
        order[next_slot[keys[row]]] = row
        next_slot[keys[row]] += 1
    return order


@numba.njit(cache=True, parallel=True)
def _sort_within(order: np.ndarray, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    result = np.empty_like(order)
    for group in numba.prange(len(starts) - 1):
        rows = order[starts[group] : starts[group + 1]]
        result[starts[group] : starts[group + 1]] = rows[np.argsort(values[rows], kind="mergesort")]
    return result
