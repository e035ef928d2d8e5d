"""Which model serves which segment of the users, chosen on validation rows and only where it helps out of fold.

A segment that says how well models did on validation rows ("good" users) must not choose its model by the same rows:
the luck that made a user good would be counted as the model's merit. So each user's validation rows are parted in two
halves; one half says who is good, the other half which model is best for them, and then the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from movierec_bench.mixing.search import Validation
from movierec_bench.schema import K


@dataclass(frozen=True)
class View:
    """Users in segments, and how well each model does on rows that had no say in the segments.

    Args:
        segment: str [U].
        recall: float64 [M, U], Recall@10; NaN for a user who has no such rows.
    """

    segment: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class Gain:
    """What a segment's own model brings over the best model of all users, on users that chose neither.

    Args:
        mean: difference of Recall@10.
        standard_error: of that mean, over users.
    """

    mean: float
    standard_error: float


@dataclass(frozen=True)
class Routes:
    """Which model serves which segment, models by number.

    Args:
        best: the best model of all users.
        routes: each segment's model: its own winner where that helps out of fold, the best of all users elsewhere.
        gains: for each segment, what a winner of its own brings out of fold.
    """

    best: int
    routes: dict[str, int]
    gains: dict[str, Gain]


def best_routes(views: Sequence[View], fold: np.ndarray) -> Routes:
    """Each segment's model, the best of all users unless another one is better out of fold by a standard error.

    For each fold of the users, the best model of all and the best of each segment are found on the other folds and
    compared on the users of this one.

    Args:
        views: one, or two that judge by different rows; a user's gain is the mean over both.
        fold: integers [U], each user's fold, from 0.
    """
    everybody = np.ones(len(fold), dtype=bool)
    best = _best(views, everybody)
    names = sorted({str(name) for view in views for name in view.segment})
    gains, routes = {}, {}
    for name in names:
        gains[name] = _gain(views, fold, name)
        wins = gains[name].mean > gains[name].standard_error > 0
        routes[name] = _best(views, everybody, name, otherwise=best) if wins else best
    return Routes(best, routes, gains)


def best_member(validation: Validation) -> int:
    """The number of the model with the highest validation Recall@10; the first of equal ones."""
    return _best([View(np.zeros(validation.n_users), recalls(validation))], np.ones(validation.n_users, dtype=bool))


def recalls(validation: Validation) -> np.ndarray:
    """Recall@10 of each model for each user: float64 [M, U]."""
    return half_recalls(validation, np.zeros(len(validation.held_items), dtype=np.int64))[0]


def halves(held_start: np.ndarray, seed: int) -> np.ndarray:
    """0 or 1 for each held-out row, drawn, each user's rows in halves; the odd one is in either.

    Args:
        held_start: int64 [U + 1], where each user's rows begin.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    counts = np.diff(held_start)
    owner = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((rng.random(len(owner)), owner))
    place = np.arange(len(owner)) - held_start[owner]
    half = np.empty(len(owner), dtype=np.int64)
    half[order] = (place + rng.integers(0, 2, len(counts))[owner]) % 2
    return half


def half_recalls(validation: Validation, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall@10 on the rows of either half, the rows of the other one masked like seen ones: two float64 [M, U].

    Args:
        validation: rankings and held-out rows.
        half: 0 or 1 for each held-out row.

    Returns:
        For half 0 and for half 1; NaN for users without rows in it.
    """
    counts = np.diff(validation.held_start)
    owner = np.repeat(np.arange(len(counts)), counts)
    n_items = int(max(validation.items.max(initial=0), validation.held_items.max(initial=0))) + 1
    keys = owner * n_items + validation.held_items
    order = np.argsort(keys)
    found = []
    for wanted in (0, 1):
        rows = np.bincount(owner[half == wanted], minlength=len(counts))
        recall = np.empty((validation.n_members, len(counts)))
        for member, items in enumerate(validation.items):
            inside, other = _hits(items, keys[order], half[order] == wanted, n_items)
            place = np.cumsum((items > 0) & ~other, axis=1)  # the rank among what is not masked
            recall[member] = (inside & (place <= K)).sum(axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0: a user without rows in this half
            found.append(recall / np.minimum(K, rows))
    return found[0], found[1]


def _hits(items: np.ndarray, keys: np.ndarray, wanted: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bool [U, K]: whether the movie is a wanted row, and whether it is a held-out row that is not wanted."""
    if len(keys) == 0:
        return np.zeros(items.shape, dtype=bool), np.zeros(items.shape, dtype=bool)
    listed = np.arange(len(items))[:, None] * n_items + items
    place = np.minimum(np.searchsorted(keys, listed), len(keys) - 1)
    held = (keys[place] == listed) & (items > 0)
    return held & wanted[place], held & ~wanted[place]


def _best(views: Sequence[View], users: np.ndarray, segment: Optional[str] = None, otherwise: int = 0) -> int:
    """The model with the highest mean recall over ``users``, of a segment if one is named; the first of equal ones."""
    parts = [view.recall[:, users & ((view.segment == segment) if segment is not None else True)] for view in views]
    together = np.concatenate(parts, axis=1)
    together = together[:, ~np.isnan(together[0])]
    if together.shape[1] == 0:
        return otherwise
    # Sums of the same recalls in another order differ in their last bits, which must not decide.
    return int(np.argmax(together.mean(axis=1).round(12)))


def _gain(views: Sequence[View], fold: np.ndarray, segment: str) -> Gain:
    total, times = np.zeros(len(fold)), np.zeros(len(fold))
    for number in range(int(fold.max()) + 1):
        others = fold != number
        best = _best(views, others)
        winner = _best(views, others, segment, otherwise=best)
        for view in views:
            judged = ~others & (view.segment == segment) & ~np.isnan(view.recall[0])
            total[judged] += view.recall[winner, judged] - view.recall[best, judged]
            times[judged] += 1
    gains = total[times > 0] / times[times > 0]
    if len(gains) < 2:
        return Gain(0.0, 0.0)
    return Gain(float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains))))
