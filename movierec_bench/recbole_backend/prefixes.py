"""Histories as sequences: prefixes to train on and the latest window to rank from."""

from __future__ import annotations

import numpy as np

from movierec_bench.data.interactions import Interactions
from movierec_bench.schema import ITEM_FIELD, TIME_FIELD, USER_FIELD

LIST_SUFFIX = "_list"  # RecBole's default LIST_SUFFIX and ITEM_LIST_LENGTH_FIELD
LENGTH_FIELD = "item_length"


class Prefixes:
    """(prefix, next movie) pairs of histories, padded on the right with 0 as RecBole does.

    Args:
        rows: interactions sorted by user and time.
        max_length: rows of a history that a prefix keeps, its latest.
    """

    def __init__(self, rows: Interactions, max_length: int) -> None:
        self._rows = rows
        self._max_length = max_length
        self._first = rows.indptr[rows.user_ix]  # where the user of each row starts
        self._targets = np.flatnonzero(np.arange(len(rows)) > self._first)

    def draw_targets(self, per_user: int, rng: np.random.Generator) -> np.ndarray:
        """Row numbers to predict, int64, shuffled: ``per_user`` different ones a user (0, or fewer rows: all)."""
        if per_user == 0:
            return rng.permutation(self._targets)
        shuffled = rng.permutation(self._targets)
        users = self._rows.user_ix[shuffled]
        by_user = np.argsort(users, kind="stable")
        starts = np.flatnonzero(np.diff(users[by_user], prepend=-1))
        rank_within = np.arange(len(users)) - np.repeat(starts, np.diff(np.append(starts, len(users))))
        keep = np.zeros(len(users), dtype=bool)
        keep[by_user[rank_within < per_user]] = True
        return shuffled[keep]

    def columns(self, targets: np.ndarray) -> dict[str, np.ndarray]:
        """RecBole's columns for target rows int64 [n]: user, list [n, L], times [n, L], length, next movie."""
        start = np.maximum(self._first[targets], targets - self._max_length)
        return {
            USER_FIELD: self._rows.user_ix[targets],
            ITEM_FIELD: self._rows.item_ix[targets],
            **windows(self._rows, start, targets, self._max_length),
        }


def latest_windows(rows: Interactions, user_ix: np.ndarray, max_length: int) -> dict[str, np.ndarray]:
    """The last rows of users' histories, to rank from.

    Args:
        rows: the histories.
        user_ix: int64 [n].
        max_length: rows kept.

    Returns:
        RecBole's columns, as in `Prefixes.columns` without the next movie. A user without history
        gets length 1 and a list of padding only, since RecBole's models index position length - 1.
    """
    end = rows.indptr[user_ix + 1]
    start = np.maximum(rows.indptr[user_ix], end - max_length)
    columns = windows(rows, start, end, max_length)
    columns[LENGTH_FIELD] = np.maximum(columns[LENGTH_FIELD], 1)
    return {USER_FIELD: user_ix, **columns}


def windows(rows: Interactions, start: np.ndarray, end: np.ndarray, max_length: int) -> dict[str, np.ndarray]:
    """Rows ``start[i]`` to ``end[i]`` (exclusive, int64 [n]) as padded lists of movies and times with lengths."""
    length = end - start
    column = np.arange(max_length)
    inside = column[None, :] < length[:, None]
    source = np.where(inside, start[:, None] + column[None, :], 0)
    return {
        ITEM_FIELD + LIST_SUFFIX: np.where(inside, rows.item_ix[source], 0),
        TIME_FIELD + LIST_SUFFIX: np.where(inside, rows.time[source], 0).astype(np.float32),
        LENGTH_FIELD: length,
    }
