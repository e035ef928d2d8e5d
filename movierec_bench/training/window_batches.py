"""Whole windows of users' logs: what models that learn from every position at once are trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.prefixes import windows
from movierec_bench.schema import ITEM_FIELD, USER_FIELD


class WindowBatches:
    """Batches of windows that cover every row of every log exactly once an epoch, or of as many windows as are wanted.

    RecBole trains on one padded prefix for each row, so a log of n rows is read n times. Here it is read
    once: the model predicts the next movie at every position of a window.

    Args:
        rows: training rows, sorted by user and time.
        max_length: rows of a window at most.
        batch_size: windows a batch.
        windows_per_epoch: windows drawn for an epoch; 0 takes all of them. Five million rows are a hundred thousand
            windows: within a budget an epoch of all of them might be the only one.
    """

    def __init__(self, rows: Interactions, max_length: int, batch_size: int, windows_per_epoch: int = 0) -> None:
        self._rows = rows
        self._max_length = max_length
        self._batch_size = batch_size
        self._windows_per_epoch = windows_per_epoch

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """The batches of one epoch: the columns of `Prefixes.columns`, the width that of the longest window.

        ``item_id`` is the movie that follows the window in the log, 0 at the log's end.
        """
        start, end = cut_windows(self._rows.indptr, self._max_length, rng)
        order = rng.permutation(len(start))[: self._windows_per_epoch or len(start)]
        for first in range(0, len(order), self._batch_size):
            chosen = order[first : first + self._batch_size]
            yield self._batch(start[chosen], end[chosen])

    def _batch(self, start: np.ndarray, end: np.ndarray) -> Interaction:
        user_ix = self._rows.user_ix[start]
        columns = {
            USER_FIELD: user_ix,
            ITEM_FIELD: self._following(user_ix, end),
            **windows(self._rows, start, end, int((end - start).max())),
        }
        return Interaction({field: torch.from_numpy(values) for field, values in columns.items()})

    def _following(self, user_ix: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Int64 [n]: the movie of row ``end``, 0 where the user's log has ended."""
        goes_on = end < self._rows.indptr[user_ix + 1]
        return np.where(goes_on, self._rows.item_ix[np.where(goes_on, end, 0)], 0)


def cut_windows(indptr: np.ndarray, max_length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut logs into consecutive windows, at places drawn anew.

    A log of up to ``max_length`` rows is one window. A longer one begins with a window of a length drawn
    from 1 to ``max_length``, full windows follow, and the rest is the last: so the first positions of a
    window, which see little history, fall on other rows in every epoch.

    Args:
        indptr: int64 [n_users + 1], where each log starts and ends.
        max_length: rows of a window at most.
        rng: draws the lengths of the first windows.

    Returns:
        Start and end (exclusive) of each window, int64, in the order of the logs. Every row is in exactly one
        window, but for a last row left alone: it has no next movie, and no context to be recovered from.
    """
    rows = np.diff(indptr)
    first = np.where(rows <= max_length, rows, rng.integers(1, max_length + 1, len(rows)))
    further = -(-(rows - first) // max_length)  # windows after the first, rounded up
    count = np.where(rows > 0, 1 + further, 0)
    log = np.repeat(np.arange(len(rows)), count)
    number = np.arange(len(log)) - np.repeat(np.cumsum(count) - count, count)  # of a window in its log
    log_start, log_end = indptr[log], indptr[log + 1]
    end = np.minimum(log_start + first[log] + number * max_length, log_end)
    start = np.where(number == 0, log_start, log_start + first[log] + (number - 1) * max_length)
    alone = start == log_end - 1
    return start[~alone], end[~alone]
