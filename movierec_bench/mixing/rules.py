"""Several models' rankings to one: votes, rank weights, score fusion, concatenation and routing.

Pure functions of dense arrays. ``items`` is int32 [M, U, K], the ``item_ix`` that each of M models gives
each of U users at ranks 1 to K, 0 where there is none; ``scores`` is float32 of the same shape, NaN there.

Most rules are one sum: a movie's total is, over the models that list it, the model's weight times the
points that the rule gives its place. Totals are sums of integers, so the order of the models changes
nothing and what ties on paper ties here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

import numba
import numpy as np

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing.kernels import UNIT, fill_concatenation, fill_hits, fill_mix, fill_spread
from movierec_bench.schema import STORED_K, K

VOTE, LINEAR, TAIL, LOG2, RRF, ZSCORE, MINMAX = "vote", "linear", "tail", "log2", "rrf", "zscore", "minmax"
SCORE_RULES = (ZSCORE, MINMAX)
RULES = (VOTE, LINEAR, TAIL, LOG2, RRF, *SCORE_RULES)
DEPTHS = {VOTE: K, LINEAR: 20, TAIL: 15, LOG2: STORED_K, RRF: STORED_K, ZSCORE: STORED_K, MINMAX: STORED_K}
RRF_K = 60.0
MOST_WEIGHT = 1000.0

_HEAD, _TAIL_WEIGHT = 10, 0.3  # ranks 1-10 weigh 1, the ranks behind them 0.3 (t3-16)
_USERS_A_THREAD = 1000  # fewer users are not worth another thread
_BYTES_A_BLOCK = 64 * 2**20  # bytes, the most that one block of points of a score rule may take


@dataclass(frozen=True)
class Rule:
    """What a place in a model's ranking is worth.

    Args:
        name: one of ``RULES``. With r the rank from 1: ``vote`` 1; ``linear`` (depth - r) / depth; ``tail`` 1
            up to rank 10 and 0.3 behind it; ``log2`` 1 / log2(r + 1); ``rrf`` 1 / (rrf_k + r);
            ``minmax`` and ``zscore`` the user's score less the lowest listed one, over the range or the
            standard deviation, so that a movie not listed counts like the last one listed.
        depth: ranks that count, from the first.
        rrf_k: the constant of reciprocal rank fusion.

    Raises:
        ConfigError: an unknown rule, or a setting outside its range.

    Source:
        rank weights: teams t3-16 and t7-06; rrf: Cormack, Clarke and Buettcher 2009; score fusion: Lee 1997.
    """

    name: str
    depth: int
    rrf_k: float = RRF_K

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise ConfigError(f"rule {self.name!r} is not known; expected one of {', '.join(RULES)}")
        if not 1 <= self.depth <= STORED_K:
            raise ConfigError(f"depth is {self.depth}; expected 1 to {STORED_K}, the ranks that a run stores")
        if self.name == TAIL and self.depth <= _HEAD:
            raise ConfigError(f"depth is {self.depth}; rule {TAIL!r} expects more than {_HEAD} ranks")
        if not 0 <= self.rrf_k < np.inf:
            raise ConfigError(f"rrf_k is {self.rrf_k}; expected a number from 0, such as 60 or 10")

    @classmethod
    def of(cls, name: str, depth: Optional[int] = None, rrf_k: Optional[float] = None) -> Rule:
        """The rule ``name`` with its usual settings where none are given."""
        return cls(name, DEPTHS.get(name, K) if depth is None else depth, RRF_K if rrf_k is None else rrf_k)

    @property
    def reads_scores(self) -> bool:
        """Whether the rule reads the models' scores, and not only their ranks."""
        return self.name in SCORE_RULES

    @property
    def best_rank_first(self) -> bool:
        """Whether equal totals are ordered by the best rank that any model gives, before the movie id."""
        return self.name == VOTE

    def rank_points(self) -> np.ndarray:
        """What ranks 1 to ``depth`` are worth: float64 [depth]. Not for rules that read scores."""
        rank = np.arange(1, self.depth + 1)
        if self.name == LINEAR:
            return (self.depth - rank) / self.depth
        if self.name == TAIL:
            return np.where(rank <= _HEAD, 1.0, _TAIL_WEIGHT)
        if self.name == LOG2:
            return 1 / np.log2(rank + 1)
        if self.name == RRF:
            return 1 / (self.rrf_k + rank)
        return np.ones(self.depth)


def mix(
    rule: Rule,
    items: np.ndarray,
    weights: np.ndarray,
    scores: Optional[np.ndarray] = None,
    k: int = STORED_K,
) -> tuple[np.ndarray, np.ndarray]:
    """Each user's ``k`` movies with the highest weighted totals, by total, then movie.

    Args:
        rule: what a place is worth.
        items: int32 [M, U, K], as the module says; no movie twice for a user of a model.
        weights: float [M] or, a weight for each user, [M, U]; from 0 to ``MOST_WEIGHT``. The movies of a
            model of weight 0 are no candidates.
        scores: float32 [M, U, K]; only rules that read scores need them.
        k: movies a user gets; fewer where the models list fewer.

    Returns:
        (int32 [U, k], 0 where there is no further movie; float32 [U, k], the totals, NaN there).

    Raises:
        ConfigError: weights of the wrong number or size.
        DataError: a score that is not finite.
    """
    weights = checked_weights(weights, items.shape[:2])
    n_users = items.shape[1]
    best_items = np.zeros((n_users, k), dtype=np.int32)
    best_totals = np.zeros((n_users, k), dtype=np.int64)
    n_items = _n_items(items)
    step = _users_a_block(rule, items)
    for start in range(0, n_users, step):
        block = slice(start, start + step)
        _in_threads(
            fill_mix,
            min(step, n_users - start),
            items[:, block],
            points(rule, items[:, block], None if scores is None else scores[:, block]),
            weights[:, block],
            n_items,
            rule.best_rank_first,
            best_items[block],
            best_totals[block],
        )
    totals = np.where(best_items > 0, best_totals / UNIT, np.nan)
    return best_items, totals.astype(np.float32)


def points(rule: Rule, items: np.ndarray, scores: Optional[np.ndarray] = None) -> np.ndarray:
    """What each place of each model is worth to each user, before the models' weights.

    Args:
        rule: what a place is worth.
        items: int32 [M, U, K].
        scores: float32 [M, U, K]; only rules that read scores need them.

    Returns:
        Floats [M, U, min(K, depth)], read only; at least 0.

    Raises:
        ConfigError: the rule reads scores and there are none.
        DataError: a score that is not finite.
    """
    depth = min(rule.depth, items.shape[2])
    if not rule.reads_scores:
        return np.broadcast_to(rule.rank_points()[:depth], (*items.shape[:2], depth))
    if scores is None:
        raise ConfigError(f"rule {rule.name!r} reads the models' scores; expected them beside the rankings")
    listed = items[:, :, :depth] > 0
    if not np.isfinite(scores[:, :, :depth][listed]).all():
        raise DataError("a stored score is not finite; expected finite scores; mix by ranks, such as with rrf")
    spread = np.zeros((*items.shape[:2], depth), dtype=np.float32)
    by_deviation = rule.name == ZSCORE
    _in_threads(fill_spread, items.shape[1], items[:, :, :depth], scores[:, :, :depth], by_deviation, spread)
    return spread


def hits_with(
    rule: Rule,
    items: np.ndarray,
    rule_points: np.ndarray,
    weights: np.ndarray,
    members: np.ndarray,
    extra: np.ndarray,
    held_start: np.ndarray,
    held_items: np.ndarray,
    k: int = K,
) -> np.ndarray:
    """How many held-out movies are among the first ``k`` when one model of a mix gets more weight, for searches.

    As weight is only added, the first ``k`` can hold nothing but movies that were among them before and
    movies of the model that gains, so that each of many changes costs little.

    Args:
        rule: what a place is worth.
        items: int32 [M, U, K].
        rule_points: what ``points`` returned for these.
        weights: float [M], the mix before any change; may be all 0.
        members: integers [C], the model that gains in each change.
        extra: float [C], what its weight gains; at least 0.
        held_start: int64 [U + 1]; the held-out movies of user u are entries ``held_start[u]`` up to
            ``held_start[u + 1]`` of ``held_items``.
        held_items: int32, ``item_ix``.
        k: movies a user is given.

    Returns:
        int16 [C, U].
    """
    hits = np.zeros((len(members), items.shape[1]), dtype=np.int16)
    _in_threads(
        fill_hits,
        items.shape[1],
        items,
        rule_points,
        np.asarray(weights, dtype=np.float64),
        np.asarray(members, dtype=np.int64),
        np.asarray(extra, dtype=np.float64),
        max(_n_items(items), int(held_items.max(initial=0)) + 1),
        rule.best_rank_first,
        held_start,
        held_items,
        k,
        hits,
    )
    return hits


def concatenate(items: np.ndarray, order: np.ndarray, firsts: np.ndarray, k: int = STORED_K) -> np.ndarray:
    """The first movies of one model, then those of the next that are not there yet, and so on.

    The origin's ``sub_concate``, and with an order for each user, routing: each user's own model first,
    the others only where that one has fewer than ``k`` movies.

    Args:
        items: int32 [M, U, K].
        order: integers [M] or, an order for each user, [M, U]: the models, numbered from 0, in turn.
        firsts: integers [M]: how many new movies the first, second, ... in turn may give. What is then
            still missing comes from all of them without limit, in the same order.
        k: movies a user gets; fewer where the models list fewer.

    Returns:
        int32 [U, k], 0 where there is no further movie.

    Source:
        ours, after team t3-07.
    """
    n_members, n_users, _ = items.shape
    order = np.asarray(order, dtype=np.int64)
    order = np.broadcast_to(order[:, None] if order.ndim == 1 else order, (n_members, n_users))
    best_items = np.zeros((n_users, k), dtype=np.int32)
    firsts = np.asarray(firsts, dtype=np.int64)
    _in_threads(fill_concatenation, n_users, items, order, firsts, _n_items(items), best_items)
    return best_items


def checked_weights(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``weights`` as float64 [M, U], read only. Raises ConfigError for a wrong number, size or all zeros."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape not in (shape[:1], shape):
        raise ConfigError(f"weights have the shape {weights.shape}; expected a weight for each of {shape[0]} models")
    if not ((weights >= 0) & (weights <= MOST_WEIGHT)).all():
        raise ConfigError(f"weights are {weights.tolist()!r:.60}; expected numbers from 0 to {MOST_WEIGHT:g}")
    if weights.ndim == 1 and not weights.any():
        raise ConfigError("every weight is 0; expected at least one model with a weight above 0")
    return np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, shape)


def _n_items(items: np.ndarray) -> int:
    return int(items.max(initial=0)) + 1


def _users_a_block(rule: Rule, items: np.ndarray) -> int:
    """Users whose points are held at once; the points of a rank rule take no memory."""
    if not rule.reads_scores:
        return max(1, items.shape[1])
    return max(1, _BYTES_A_BLOCK // (4 * items.shape[0] * min(rule.depth, items.shape[2])))


def _in_threads(kernel: Callable[..., None], n_users: int, *arguments: Any) -> None:
    """Run a kernel for all users, in equal shares, in as many threads as numba is told to use.

    Kernels free the interpreter's lock. Numba's own parallel loops take several times as long to compile.
    """
    threads = numba.get_num_threads()
    if threads == 1 or n_users < _USERS_A_THREAD:
        kernel(0, n_users, *arguments)
        return
    edges = [n_users * share // threads for share in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(kernel, *share, *arguments) for share in zip(edges[:-1], edges[1:])]:
            done.result()
