"""Scores to masked top-K: the only place that masks what a user has seen and that breaks ties.

Every family ranks through :func:`top_k`. Score descending, then ``item_ix`` ascending; NaN and -inf never
rank; a seen movie never ranks. Scores in main memory go through a compiled kernel; scores on
another device are sorted there, stably, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Union

import numba
import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix

from movierec_bench.schema import ITEM, RANK, SCORE, USER, K, ModelError, Vocabulary

# Bytes, the most one block of scores may take. The C library hands a freed block of 32 MiB or more back to the system,
# and fresh pages cost more than the ranking; besides, a smaller block is still in the cache when it is ranked.
BLOCK_BYTES = 28 * 2**20

Scores = Union[torch.Tensor, np.ndarray]


@dataclass(frozen=True)
class TopK:
    """Each user's best movies, best first.

    Args:
        user_ix: int64 [U].
        item_ix: int32 [U, K]; 0 where there is no further movie.
        scores: float32 [U, K], the model's own scores; NaN where ``item_ix`` is 0. They descend, except
            that movies which :class:`Candidates` let in only to fill up come below all others.
    """

    user_ix: np.ndarray
    item_ix: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """Which movies may be recommended to whom: movie i to user u iff ``item_key[i] <= user_key[u]``.

    With release years as item keys and a user's last year plus an offset as user keys this drops future
    movies; a movie of unknown year has the key -inf, a movie dropped for everybody +inf. A user left with
    fewer than ``at_least`` movies is filled up to that many with the best of the others, below the allowed.

    Args:
        item_key: float32 [n_item_ix], no NaN.
        user_key: float32 [n_user_ix], finite (+inf would let in the movies dropped for everybody).
        at_least: Movies a user is left with, if the model scores that many.

    Raises:
        ModelError: A key has the wrong type, shape or value.
    """

    item_key: np.ndarray
    user_key: np.ndarray
    at_least: int = K

    def __post_init__(self) -> None:
        for name, key in (("item_key", self.item_key), ("user_key", self.user_key)):
            if not isinstance(key, np.ndarray) or key.dtype != np.float32 or key.ndim != 1:
                raise ModelError(f"candidate filter: {name} is {_kind(key)}; expected a float32 array, 1-d")
        if np.isnan(self.item_key).any():
            raise ModelError("candidate filter: item_key holds NaN; give a movie of unknown year the key -inf")
        if not np.isfinite(self.user_key).all():
            raise ModelError("candidate filter: user_key holds NaN or infinity; expected finite keys")
        if self.at_least < 0:
            raise ModelError(f"candidate filter: at_least is {self.at_least}; expected 0 or more movies")


def top_k(
    score_block: Callable[[np.ndarray], Scores],
    user_ix: np.ndarray,
    seen: csr_matrix,
    k: int,
    *,
    block_bytes: int = BLOCK_BYTES,
    allowed: Optional[Candidates] = None,
) -> TopK:
    """The ``k`` best unseen movies of each user, exactly, in memory bounded whatever the number of users.

    Args:
        score_block: Called with int64 [B], the ``user_ix`` of a block; returns float32 [B, n_item_ix], a
            tensor on any device or an array, column 0 padding. It is not modified.
        user_ix: Integers [U], each from 1 to n_user_ix - 1.
        seen: [n_user_ix, n_item_ix]; every stored entry is a movie the user has seen.
        k: Movies a user gets, at least 1; fewer where fewer can rank.
        block_bytes: Bytes a block of scores may take; a block has at least one user. Sorting on another
            device takes up to ten times as much there.
        allowed: Filters the candidates; None allows every movie.

    Returns:
        One row for each entry of ``user_ix``, in its order.

    Raises:
        ModelError: An argument or a block of scores has the wrong shape, type or range.

    Source:
        ours; the kernel keeps a bounded heap of the best (Knuth, TAOCP vol. 3, 5.2.3).
    """
    user_ix = _checked_users(user_ix, seen)
    if k < 1:
        raise ModelError(f"top_k was asked for {k} movies a user; expected at least 1")
    n_user_ix, n_item_ix = seen.shape
    if allowed is None:
        allowed = _everything(n_user_ix, n_item_ix)
    _check_keys(allowed, seen)
    best_items = np.zeros((len(user_ix), k), dtype=np.int32)
    best_scores = np.full((len(user_ix), k), np.nan, dtype=np.float32)
    rows = max(1, block_bytes // (4 * n_item_ix))
    for start in range(0, len(user_ix), rows):
        block = slice(start, start + rows)
        _rank_block(score_block, user_ix[block], seen, allowed, best_items[block], best_scores[block])
    return TopK(user_ix=user_ix, item_ix=best_items, scores=best_scores)


def topk_frame(topk: TopK, vocabulary: Vocabulary) -> pd.DataFrame:
    """The ranking as a long table in the competition's ids.

    Args:
        topk: What :func:`top_k` returned.
        vocabulary: The ids behind the integers.

    Returns:
        DataFrame [user int64, item int64, rank int32 from 1, score float32], a row for each recommended
        movie, users in the order of ``topk``, then by rank.
    """
    row, column = np.nonzero(topk.item_ix)
    return pd.DataFrame(
        {
            USER: vocabulary.user_ids(topk.user_ix)[row],
            ITEM: vocabulary.item_ids(topk.item_ix[row, column]),
            RANK: (column + 1).astype(np.int32),
            SCORE: topk.scores[row, column],
        }
    )


def _rank_block(
    score_block: Callable[[np.ndarray], Scores],
    user_ix: np.ndarray,
    seen: csr_matrix,
    allowed: Candidates,
    best_items: np.ndarray,
    best_scores: np.ndarray,
) -> None:
    """Scores and ranks one block; a function of its own so that its scores are freed before the next."""
    scores = score_block(user_ix)
    _check_scores(scores, (len(user_ix), seen.shape[1]))
    if isinstance(scores, torch.Tensor):
        scores = scores.detach()
        if scores.device.type != "cpu":
            best_items[:], best_scores[:] = _sorted_best(scores, user_ix, seen, allowed, best_items.shape[1])
            return
        scores = scores.numpy()
    _kept_best(
        np.ascontiguousarray(scores),
        user_ix,
        seen.indptr.astype(np.int64, copy=False),  # scipy has two index types; one kernel is compiled
        seen.indices.astype(np.int32, copy=False),
        allowed.item_key,
        allowed.user_key,
        allowed.at_least,
        best_items,
        best_scores,
    )


# The kernel for scores in main memory. Its bounded heap, whose root is the worst movie kept, is built in the
# user's row of the result itself; sorting it there leaves the row best first.


@numba.njit(cache=True, nogil=True, parallel=True)
def _kept_best(
    scores: np.ndarray,
    user_ix: np.ndarray,
    seen_start: np.ndarray,
    seen_items: np.ndarray,
    item_key: np.ndarray,
    user_key: np.ndarray,
    at_least: int,
    best_items: np.ndarray,
    best_scores: np.ndarray,
) -> None:
    """Fills ``best_items`` (of zeros) and ``best_scores`` (of NaN), both [B, K], from ``scores`` [B, n]."""
    for row in numba.prange(len(user_ix)):
        user = user_ix[row]
        seen = seen_items[seen_start[user] : seen_start[user + 1]]
        limit = user_key[user]
        items, values = best_items[row], best_scores[row]
        kept = _keep_best(_masked_row(scores[row], seen, item_key, limit, True), items, values)
        if kept < min(at_least, len(items)):
            others = _masked_row(scores[row], seen, item_key, limit, False)
            room = slice(kept, min(at_least, len(items)))
            _keep_best(others, items[room], values[room])


@numba.njit(cache=True, nogil=True)
def _masked_row(scores: np.ndarray, seen: np.ndarray, item_key: np.ndarray, limit: float, inside: bool) -> np.ndarray:
    """A copy of ``scores`` [n]: -inf for NaN, seen movies, padding, and what is not inside the limit (or is)."""
    masked = np.empty_like(scores)
    for item in range(len(scores)):
        candidate = (item_key[item] <= limit) == inside
        masked[item] = scores[item] if candidate and not np.isnan(scores[item]) else -np.inf
    for item in seen:
        masked[item] = -np.inf
    masked[0] = -np.inf
    return masked


@numba.njit(cache=True, nogil=True)
def _keep_best(masked: np.ndarray, items: np.ndarray, values: np.ndarray) -> int:
    """Fills ``items`` and ``values`` from ``masked`` [n], best first; returns how many there are."""
    kept = _collect(masked, _just_below_best(masked, items, values), items, values)
    for end in range(kept - 1, 0, -1):
        item, score = items[end], values[end]
        items[end], values[end] = items[0], values[0]
        _sink(items, values, end, item, score)
    return kept


@numba.njit(cache=True, nogil=True)
def _collect(masked: np.ndarray, threshold: np.float32, items: np.ndarray, values: np.ndarray) -> int:
    """Makes a heap of the best scores above the threshold; returns how many there are."""
    kept = 0
    for item in range(len(masked)):
        score = masked[item]
        if not score > threshold:
            continue
        if kept < len(items):
            _rise(items, values, kept, item, score)
            kept += 1
        else:
            _sink(items, values, kept, item, score)
        if kept == len(items):
            threshold = values[0]  # an equal score that comes later has the larger item_ix, and loses
    return kept


@numba.njit(cache=True, nogil=True)
def _just_below_best(masked: np.ndarray, items: np.ndarray, values: np.ndarray) -> np.float32:
    """A threshold that K movies exceed, and few more do; -inf where there may be fewer than K.

    It lies just below the K-th highest among the highest scores of 2 K groups of movies. Starting from it
    spares the heap most of its work, which halves the time at K = 100. ``items`` and ``values`` are scratch.
    """
    groups = min(2 * len(items), len(masked))
    highest = masked[:groups].copy()
    for start in range(groups, len(masked), groups):
        for group in range(min(groups, len(masked) - start)):
            highest[group] = max(highest[group], masked[start + group])
    nothing = np.float32(-np.inf)
    enough = _collect(highest, nothing, items, values) == len(items)
    return np.nextafter(values[0], nothing) if enough else nothing


@numba.njit(cache=True, nogil=True)
def _rise(items: np.ndarray, values: np.ndarray, place: int, item: int, score: float) -> None:
    """Adds a movie to the heap of the first ``place`` entries."""
    while place > 0:
        parent = (place - 1) // 2
        if not _worse(item, score, items[parent], values[parent]):
            break
        items[place], values[place] = items[parent], values[parent]
        place = parent
    items[place], values[place] = item, score


@numba.njit(cache=True, nogil=True)
def _sink(items: np.ndarray, values: np.ndarray, size: int, item: int, score: float) -> None:
    """Replaces the root of the heap of the first ``size`` entries by a movie."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _worse(items[child + 1], values[child + 1], items[child], values[child]):
            child += 1
        if not _worse(items[child], values[child], item, score):
            break
        items[place], values[place] = items[child], values[child]
        place = child
    items[place], values[place] = item, score


@numba.njit(cache=True, nogil=True)
def _worse(item: int, score: float, other_item: int, other_score: float) -> bool:
    """Does the first movie rank below the other?"""
    return score < other_score or (score == other_score and item > other_item)


# The path for scores on any other device.


def _sorted_best(
    scores: torch.Tensor, user_ix: np.ndarray, seen: csr_matrix, allowed: Candidates, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(item_ix int32 [B, K], scores float32 [B, K]) by stable sorting on the device of ``scores``."""
    masked = _masked(scores, seen[user_ix])
    item_key = torch.from_numpy(allowed.item_key).to(scores.device)
    user_key = torch.from_numpy(allowed.user_key[user_ix]).to(scores.device)
    inside = item_key <= user_key[:, None]
    items, values = _first(masked.where(inside, -torch.inf), k)
    kept = (items > 0).sum(dim=1)
    short = torch.nonzero(kept < min(allowed.at_least, k))[:, 0]
    if len(short):
        others = _first(masked[short].where(~inside[short], -torch.inf), k)
        place = torch.arange(k, device=scores.device)
        from_others = place - kept[short, None]
        filled = (from_others >= 0) & (place < allowed.at_least)
        source = from_others.clamp(min=0)
        items[short] = torch.where(filled, others[0].gather(1, source), items[short])
        values[short] = torch.where(filled, others[1].gather(1, source), values[short])
    return items.int().cpu().numpy(), values.cpu().numpy()


def _masked(scores: torch.Tensor, seen: csr_matrix) -> torch.Tensor:
    """A copy of ``scores`` [B, n] with -inf wherever a movie cannot rank."""
    masked = scores + 0.0  # also makes one zero of -0.0 and 0.0, which some devices' sorts tell apart
    row = torch.from_numpy(np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)))
    item = torch.from_numpy(seen.indices.astype(np.int64))
    masked[row.to(scores.device), item.to(scores.device)] = -torch.inf
    masked[:, 0] = -torch.inf
    return masked.masked_fill_(masked.isnan(), -torch.inf)


def _first(masked: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(items int64 [B, K], scores [B, K]) of the ``k`` highest scores; (0, NaN) where only -inf is left."""
    values, items = torch.sort(masked, dim=1, descending=True, stable=True)
    values, items = values[:, :k], items[:, :k]
    nothing = values == -torch.inf
    padding = (0, k - values.shape[1])
    items = torch.nn.functional.pad(items.masked_fill(nothing, 0), padding, value=0)
    return items, torch.nn.functional.pad(values.masked_fill(nothing, torch.nan), padding, value=torch.nan)


def _everything(n_user_ix: int, n_item_ix: int) -> Candidates:
    """Candidates that leave nothing out."""
    return Candidates(item_key=np.zeros(n_item_ix, dtype=np.float32), user_key=np.zeros(n_user_ix, dtype=np.float32))


def _checked_users(user_ix: np.ndarray, seen: csr_matrix) -> np.ndarray:
    user_ix = np.asarray(user_ix)
    if user_ix.ndim != 1 or (len(user_ix) and user_ix.dtype.kind not in "iu"):
        raise ModelError(f"top_k: user_ix is {_kind(user_ix)}; expected integers, 1-d")
    user_ix = user_ix.astype(np.int64)
    last = seen.shape[0] - 1
    wrong = user_ix[(user_ix < 1) | (user_ix > last)]
    if len(wrong):
        raise ModelError(
            f"top_k: user_ix {wrong[0]} is not a user; expected 1 to {last}, the rows of `seen` after padding"
        )
    return user_ix


def _check_keys(allowed: Candidates, seen: csr_matrix) -> None:
    found = (len(allowed.user_key), len(allowed.item_key))
    if found != seen.shape:
        raise ModelError(
            f"candidate filter: keys of {found[0]} users and {found[1]} movies; "
            f"expected {seen.shape[0]} and {seen.shape[1]}, padding included, as in `seen`"
        )


def _check_scores(scores: Scores, shape: tuple[int, int]) -> None:
    if isinstance(scores, (torch.Tensor, np.ndarray)):
        float32 = torch.float32 if isinstance(scores, torch.Tensor) else np.float32
        if scores.dtype == float32 and tuple(scores.shape) == shape:
            return
    raise ModelError(
        f"the scores of a block are {_kind(scores)}; expected float32 {list(shape)}, users by item_ix with "
        "column 0 for padding; correct the model's full_sort_predict"
    )


def _kind(value: object) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
