"""What a report counts with: every stored ranking against the held-out rows, read once.

Users and movies are numbers here, whatever their ids are: places in ``Evidence.users`` and ``Items``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from movierec_bench.errors import DataError
from movierec_bench.progress_bars import track
from movierec_bench.runs.folder import ModelFolder
from movierec_bench.schema import ITEM, RANK, STORED_K, USER, K

logger = logging.getLogger(__name__)

_SHIFT = 32  # bits: user * 2**32 + item is one integer a pair
_LOST = 0  # rank of a held-out movie that is not in the ranking


class Items:
    """Numbers from 1 for the ids of movies; it learns ids as it meets them, and 0 is no movie."""

    def __init__(self, ids: Iterable[object]) -> None:
        self._known = pd.Index(pd.unique(pd.Series(list(ids))))

    def number(self, ids: pd.Series) -> np.ndarray:
        """Int64 numbers of ``ids``, in their order."""
        places = self._known.get_indexer(ids)
        if (places < 0).any():
            self._known = self._known.append(pd.Index(pd.unique(ids[places < 0])))
            places = self._known.get_indexer(ids)
        return np.asarray(places, dtype=np.int64) + 1

    @property
    def ids(self) -> pd.Index:
        """The ids; that of movie ``n`` is at ``n - 1``."""
        return self._known


@dataclass(frozen=True)
class Evidence:
    """Rankings of one part of a run, "valid" or "test", against its held-out rows.

    Args:
        models: M names, in the order of the board.
        users: ids of the U users with held-out rows, ascending.
        user_of: int64 [R], place of each held-out row's user in ``users``, ascending.
        item_of: int64 [R], number of its movie.
        rank: uint8 [M, R], rank that the model gives that movie, from 1 to ``STORED_K``; 0 below that.
        top: int32 [M, U, K], numbers of the movies that a model recommends; 0 where it has fewer.
        unreadable: what is wrong with a model's ranking, by its name.
    """

    models: tuple[str, ...]
    users: np.ndarray
    user_of: np.ndarray
    item_of: np.ndarray
    rank: np.ndarray
    top: np.ndarray
    unreadable: dict[str, str]

    @property
    def held_out(self) -> np.ndarray:
        """int64 [U]: held-out rows of each user."""
        return np.bincount(self.user_of, minlength=len(self.users))

    @property
    def found(self) -> np.ndarray:
        """Bool [M, R]: whether the movie of a held-out row is among the model's first ten."""
        return (self.rank > _LOST) & (self.rank <= K)

    def recall(self, k: int = K) -> np.ndarray:
        """float64 [M, U]: Recall@k of each user, hits in the first k / min(k, held-out rows)."""
        hit = (self.rank > _LOST) & (self.rank <= k)
        share = 1.0 / np.minimum(self.held_out, k)
        return np.stack([np.bincount(self.user_of, row, len(self.users)) * share for row in hit.astype(float)])

    def mean_recalls(self, ks: Sequence[int]) -> np.ndarray:
        """float64 [M, len(ks)]: mean Recall@k over the users."""
        held_out, users = self.held_out, len(self.users)
        counted = np.stack([1.0 / (np.minimum(held_out, k) * users) for k in ks])  # what a hit adds to the mean
        curves = np.zeros((len(self.models), len(ks)))
        for model, rank in enumerate(self.rank):
            for place, k in enumerate(ks):
                curves[model, place] = counted[place][self.user_of[(rank > _LOST) & (rank <= k)]].sum()
        return curves


def read_evidence(folders: Sequence[ModelFolder], part: str, held_out: pd.DataFrame, items: Items, k: int) -> Evidence:
    """Read what ``folders`` rank for ``part``.

    Args:
        folders: finished models and mixes; one whose ranking is missing or damaged is left out and named.
        part: "valid" or "test".
        held_out: [user, item, ...], the rows of that part.
        items: numbers of the movies; it learns those it does not know.
        k: ranks to read, at least ``K``.
    """
    rows = held_out[[USER, ITEM]].drop_duplicates()
    users = np.sort(pd.unique(rows[USER]))
    known_users = pd.Index(users)
    pairs = np.sort((known_users.get_indexer(rows[USER]).astype(np.int64) << _SHIFT) + items.number(rows[ITEM]))
    user_of, item_of = pairs >> _SHIFT, pairs & ((1 << _SHIFT) - 1)
    names, ranks, tops, unreadable = [], [], [], {}
    for folder in track(folders, f"reading {part} rankings"):
        try:
            top = _ranked(folder, part, known_users, items, k)
        except DataError as error:  # one damaged file must not hide the other models
            logger.warning("%s", error)
            unreadable[folder.name] = str(error)
            continue
        names.append(folder.name)
        ranks.append(_rank_of(pairs, top))
        tops.append(top[:, :K])
    return Evidence(
        models=tuple(names),
        users=users,
        user_of=user_of,
        item_of=item_of,
        rank=np.stack(ranks) if ranks else np.zeros((0, len(pairs)), dtype=np.uint8),
        top=np.stack(tops) if tops else np.zeros((0, len(users), K), dtype=np.int32),
        unreadable=unreadable,
    )


def _ranked(folder: ModelFolder, part: str, users: pd.Index, items: Items, k: int) -> np.ndarray:
    """int32 [U, k]: numbers of the movies that a model ranks, best first; 0 where there is none."""
    topk = folder.read_topk(part, k)
    rank = topk[RANK].to_numpy()
    if len(rank) and rank.min() < 1:
        raise DataError(f"{folder.topk(part)}: a rank is {rank.min()}; expected ranks from 1; have the model redone")
    row = users.get_indexer(topk[USER])
    top = np.zeros((len(users), min(k, STORED_K)), dtype=np.int32)
    asked = row >= 0
    top[row[asked], rank[asked] - 1] = items.number(topk[ITEM])[asked]
    return top


def _rank_of(pairs: np.ndarray, top: np.ndarray) -> np.ndarray:
    """uint8 [R]: the rank of each pair's movie in its user's ranking, the first if it stands there twice."""
    users, k = top.shape
    ranked = ((np.arange(users, dtype=np.int64)[:, None] << _SHIFT) + top).ravel()
    place = np.minimum(np.searchsorted(pairs, ranked), len(pairs) - 1)
    hit = np.flatnonzero(pairs[place] == ranked)[::-1] if len(pairs) else np.zeros(0, dtype=np.int64)
    rank = np.zeros(len(pairs), dtype=np.uint8)
    rank[place[hit]] = hit % k + 1  # from the last rank to the first, so that the first stays
    return rank
