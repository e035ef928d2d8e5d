"""Compiled kernels that keep the best of a row of scores.

A bounded heap, whose root is the worst movie kept, is built in the user's row of the result itself; sorting it
there leaves the row best first.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

_NOTHING = np.float32(-np.inf)  # of one type with the scores, or they would be compared as float64
_GROUPS = 256  # of movies, each known by its highest score: long enough for a processor's vectors
STRETCH = 64  # scores looked at together


class Masks(NamedTuple):
    """What cannot rank, and what ranks only to fill up; see ``top_k.top_k`` and ``top_k.Candidates``.

    Args:
        seen_start: int64 [n_user_ix + 1], where each user's movies begin.
        seen_items: int32, the movies users have seen, one user's after the other's.
        item_key: float32 [n_item_ix].
        user_key: float32 [n_user_ix].
        at_least: movies a user is left with.
    """

    seen_start: np.ndarray
    seen_items: np.ndarray
    item_key: np.ndarray
    user_key: np.ndarray
    at_least: int


@numba.njit(cache=True, nogil=True, parallel=True)
def kept_best(
    scores: np.ndarray,
    user_ix: np.ndarray,
    masks: Masks,
    best_items: np.ndarray,
    best_scores: np.ndarray,
) -> None:
    """Fill ``best_items`` (of zeros) and ``best_scores`` (of NaN), both [B, K], from ``scores`` [B, n]."""
    for row in numba.prange(len(user_ix)):
        items, values = best_items[row], best_scores[row]
        kept = keep_best(masked_row(scores[row], user_ix[row], masks, True), items, values)
        end = filled_up_to(kept, len(items), masks)
        if kept < end:
            keep_best(masked_row(scores[row], user_ix[row], masks, False), items[kept:end], values[kept:end])


@numba.njit(cache=True, nogil=True)
def filled_up_to(kept: int, size: int, masks: Masks) -> int:
    """How many of a user's ``size`` places are filled, ``kept`` of them by movies inside the limit."""
    return max(kept, min(masks.at_least, size))


@numba.njit(cache=True, nogil=True)
def masked_row(scores: np.ndarray, user: int, masks: Masks, inside: bool) -> np.ndarray:
    """A copy of ``scores`` [n]: -inf for NaN, seen movies, padding, and what is not inside the limit (or is)."""
    masked = np.empty_like(scores)
    item_key, limit = masks.item_key, masks.user_key[user]
    for item in range(len(scores)):
        candidate = (item_key[item] <= limit) == inside
        masked[item] = scores[item] if candidate & (scores[item] > _NOTHING) else _NOTHING  # also where it is NaN
    for place in range(masks.seen_start[user], masks.seen_start[user + 1]):
        masked[masks.seen_items[place]] = -np.inf
    masked[0] = -np.inf
    return masked


@numba.njit(cache=True, nogil=True)
def keep_best(masked: np.ndarray, items: np.ndarray, values: np.ndarray) -> int:
    """Fill ``items`` and ``values`` from ``masked`` [n], best first; return how many there are."""
    kept = _collect(masked, _just_below_best(masked, items, values), items, values)
    for end in range(kept - 1, 0, -1):
        item, score = items[end], values[end]
        items[end], values[end] = items[0], values[0]
        _sink(items, values, end, item, score)
    return kept


@numba.njit(cache=True, nogil=True)
def _collect(masked: np.ndarray, threshold: np.float32, items: np.ndarray, values: np.ndarray) -> int:
    """Make a heap of the best scores above the threshold; return how many there are."""
    kept = 0
    for start in range(0, len(masked), STRETCH):
        stretch = masked[start : start + STRETCH]
        if not _any_above(stretch, threshold):
            continue
        for place in range(len(stretch)):
            score = stretch[place]
            if not score > threshold:
                continue
            if kept < len(items):
                _rise(items, values, kept, start + place, score)
                kept += 1
            else:
                _sink(items, values, kept, start + place, score)
            if kept == len(items):
                threshold = values[0]  # an equal score that comes later has the larger item_ix, and loses
    return kept


@numba.njit(cache=True, nogil=True)
def _any_above(values: np.ndarray, threshold: np.float32) -> bool:
    """Whether any of ``values`` is above the threshold; many are compared at once, without a loop that stops."""
    above = False
    for place in range(len(values)):
        above = above | (values[place] > threshold)
    return above


@numba.njit(cache=True, nogil=True)
def _just_below_best(masked: np.ndarray, items: np.ndarray, values: np.ndarray) -> np.float32:
    """A threshold that K movies exceed, and few more do; -inf where there may be fewer than K.

    It lies just below the K-th highest among the highest scores of groups of movies. Starting from it spares the
    heap most of its work. ``items`` and ``values`` are scratch.
    """
    groups = max(1, min(max(_GROUPS, 2 * len(items)), len(masked)))
    highest = masked[:groups].copy()
    for start in range(groups, len(masked), groups):
        scores = masked[start : start + groups]
        for group in range(len(scores)):
            highest[group] = scores[group] if scores[group] > highest[group] else highest[group]
    enough = _collect(highest, _NOTHING, items, values) == len(items)
    return np.nextafter(values[0], _NOTHING) if enough else _NOTHING


@numba.njit(cache=True, nogil=True)
def _rise(items: np.ndarray, values: np.ndarray, place: int, item: int, score: float) -> None:
    """Add a movie to the heap of the first ``place`` entries."""
    while place > 0:
        parent = (place - 1) // 2
        if not _worse(item, score, items[parent], values[parent]):
            break
        items[place], values[place] = items[parent], values[parent]
        place = parent
    items[place], values[place] = item, score


@numba.njit(cache=True, nogil=True)
def _sink(items: np.ndarray, values: np.ndarray, size: int, item: int, score: float) -> None:
    """Replace the root of the heap of the first ``size`` entries by a movie."""
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
    """Whether the first movie ranks below the other."""
    return score < other_score or (score == other_score and item > other_item)
