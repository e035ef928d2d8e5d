"""A log of users and items as positions in two sorted arrays of ids, and what may be dropped from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.delimited import INT64_MAX
from movierec_bench.schema import DATES, ITEM, NO_TIMES, TIME, USER

_CANONICAL = re.compile(r"0|[1-9][0-9]{0,18}")


def as_ids(texts: Sequence[str]) -> np.ndarray:
    """Ids as integers if every one of them is written as a plain integer from 0, else as they stand.

    Args:
        texts: such as "318" or "B0002"; "007" and "-1" are no plain integers and stay what they are.

    Returns:
        Int64 [n], or str objects [n].
    """
    if all(map(_CANONICAL.fullmatch, texts)):
        numbers = [int(text) for text in texts]
        if max(numbers, default=0) <= INT64_MAX:
            return np.array(numbers, dtype=np.int64)
    return np.array([*texts, None], dtype=object)[:-1]  # an array of objects even where texts are of one length


def unite_ids(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """All ids of several arrays in one, and where each array's ids are in it.

    Args:
        groups: arrays of ids, each int64 or str objects; integers become strings beside strings.

    Returns:
        The ids, each once, ascending; for each group int64 positions in them.
    """
    if any(group.dtype == object for group in groups):
        groups = [group if group.dtype == object else group.astype(str).astype(object) for group in groups]
    ids, positions = np.unique(np.concatenate(list(groups)), return_inverse=True)
    ends = np.cumsum([len(group) for group in groups])
    return ids, np.split(positions.ravel(), ends[:-1])


@dataclass(frozen=True)
class Log:
    """Rows of users and items.

    Attributes:
        users: the users' ids, ascending: int64, or str objects.
        items: the items' ids, ascending: int64, or str objects.
        user: int [n], each row's position in ``users``.
        item: int [n], each row's position in ``items``.
        time: int64 [n]; None where no times are known.
        rating: float [n]; None where there are none, or where nobody asked for them.
        times: what ``time`` is: ``schema.DATES``, ``POSITIONS`` or ``NO_TIMES``.
    """

    users: np.ndarray
    items: np.ndarray
    user: np.ndarray
    item: np.ndarray
    time: Optional[np.ndarray]
    rating: Optional[np.ndarray]
    times: str

    @classmethod
    def from_frame(cls, rows: pd.DataFrame, times: str = DATES) -> Log:
        """The log of a table [user, item, time]."""
        user, users = pd.factorize(rows[USER].to_numpy(), sort=True)
        item, items = pd.factorize(rows[ITEM].to_numpy(), sort=True)
        return cls(users, items, user, item, rows[TIME].to_numpy(), None, times)

    def __len__(self) -> int:
        return len(self.user)

    def to_frame(self) -> pd.DataFrame:
        """The rows as [user, item, time] with an index from 0; the time is 0 where none is known."""
        time = np.zeros(len(self), dtype=np.int64) if self.time is None else self.time
        return pd.DataFrame({USER: self.users[self.user], ITEM: self.items[self.item], TIME: time}, copy=False)

    def rows(self, chosen: np.ndarray) -> Log:
        """The rows that ``chosen`` (bool [n]) is true of, with the ids they use."""
        users, user = _used(self.users, self.user[chosen])
        items, item = _used(self.items, self.item[chosen])
        time = None if self.time is None else self.time[chosen]
        rating = None if self.rating is None else self.rating[chosen]
        return replace(self, users=users, items=items, user=user, item=item, time=time, rating=rating)

    def first_of_each_pair(self) -> np.ndarray:
        """Bool [n]: whether the row is the first of its user and item."""
        pair = self.user.astype(np.int64) * len(self.items) + self.item
        in_order = np.sort(pair)
        if (in_order[1:] != in_order[:-1]).all():  # the usual case; sorting is several times faster than hashing
            return np.ones(len(pair), dtype=bool)
        return ~pd.Series(pair).duplicated().to_numpy()

    def core(self, min_rows: int, min_item_rows: int) -> np.ndarray:
        """Bool [n]: the largest set of rows in which every user has ``min_rows`` rows and every item ``min_item_rows``.

        Source:
            the k-core of a bipartite graph (Seidman 1983): what has too few rows is dropped, until nothing has.
        """
        left = np.arange(len(self))
        while len(left):
            user, item = self.user[left], self.item[left]
            enough = np.bincount(user)[user] >= min_rows
            enough &= np.bincount(item)[item] >= min_item_rows
            if enough.all():
                break
            left = left[enough]
        kept = np.zeros(len(self), dtype=bool)
        kept[left] = True
        return kept


def unite_logs(logs: Sequence[Log]) -> Log:
    """The rows of several logs, one log after the other, under common ids.

    Times stay only where every log has them, and are of one kind.
    """
    users, user = unite_ids([log.users for log in logs])
    items, item = unite_ids([log.items for log in logs])
    kinds = {log.times for log in logs}
    times = kinds.pop() if len(kinds) == 1 else NO_TIMES
    known = [log.time for log in logs if log.time is not None]
    ratings = [log.rating for log in logs if log.rating is not None]
    return Log(
        users,
        items,
        np.concatenate([positions[log.user] for positions, log in zip(user, logs)]),
        np.concatenate([positions[log.item] for positions, log in zip(item, logs)]),
        np.concatenate(known) if times != NO_TIMES else None,
        np.concatenate(ratings) if len(ratings) == len(logs) else None,
        times,
    )


def _used(ids: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids that ``positions`` name, and the positions in those."""
    used = np.bincount(positions, minlength=len(ids)) > 0
    if used.all():
        return ids, positions
    return ids[used], (np.cumsum(used) - 1)[positions].astype(positions.dtype)
