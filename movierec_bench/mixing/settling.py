"""Settling on a mix: which of several, and how much of it, by users that had no say in either.

The best of many candidates on the users that chose it is too good there, and the more so the fewer users there are.
So the choice itself is made in folds, and what it gains over the best single model is measured on the users left out.

The rows that validate and the rows that test are drawn from the same logs without replacement, so a gain that is luck
on the one is the contrary on the other: where a gain is within its error, whether it is large or small says nothing.
There half a mix is taken, the rest of it the best single model: an average of two is less at the mercy of the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from movierec_bench.mixing.search import SHARES

_SURE = 2.326  # standard errors that a gain is above 0 by luck in one of a hundred cases


@dataclass(frozen=True)
class Candidate:
    """A way to mix, judged.

    Args:
        name: what it is, in a few words.
        recall: float64 [U], each user's Recall@10 under a mix that was chosen without that user.
        preferred: whether it is taken before others, unless one of those is better by a standard error.
        by_share: float64 [len(SHARES), U], the same where only such a share of the mix is taken and the rest is the
            best single model; None where it is the whole mix or nothing.
    """

    name: str
    recall: np.ndarray
    preferred: bool = False
    by_share: Optional[np.ndarray] = None

    def at_shares(self) -> np.ndarray:
        """Float64 [len(SHARES), U]; the whole mix at every share where there is no other."""
        if self.by_share is not None:
            return self.by_share
        return np.broadcast_to(self.recall, (len(SHARES), len(self.recall)))


@dataclass(frozen=True)
class Settled:
    """The candidate settled on, and how much of it.

    Args:
        chosen: its number.
        share: from 0, the best single model alone, to 1, the candidate alone.
        recall: mean Recall@10 of users that had no say in choosing candidate or models.
        single_recall: the same of the best single model.
        standard_error: of the difference of the two, over users.
    """

    chosen: int
    share: float
    recall: float
    single_recall: float
    standard_error: float

    @property
    def gain(self) -> float:
        """What the mixes bring over the best single model, on users that chose neither."""
        return self.recall - self.single_recall


def settle(candidates: Sequence[Candidate], single: np.ndarray, fold: np.ndarray) -> Settled:
    """The candidate with the highest recall, and how much of it: all where its gain is sure, none where half loses.

    All of it where it gains more, on users that had no say, than luck would in one of a hundred cases; none where half
    of it is no better than the best single model less a standard error; half of it in between.

    Args:
        candidates: at least one, each judged out of fold.
        single: float64 [U], each user's Recall@10 under the single model that was best without that user.
        fold: integers [U], each user's fold, from 0.

    Source:
        the choice in folds: Tsamardinos et al. 2018; one standard error: Breiman 1984; the share: ours.
    """
    nested = np.empty((len(SHARES), len(fold)))
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        nested[:, judged] = candidates[_best(candidates, ~judged)].at_shares()[:, judged]
    gain, error = _mean_and_error(nested[-1] - single)
    chosen = _best(candidates, np.ones(len(fold), dtype=bool))
    half_gain, half_error = _mean_and_error(nested[0] - single)
    share = 1.0 if gain > _SURE * error else SHARES[0] if half_gain > -half_error else 0.0
    return Settled(chosen, share, float(nested[-1].mean()), float(single.mean()), error)


def left_out_single(recall: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Each user's Recall@10 under the model that is best on the other folds: float64 [U], from [M, U]."""
    return np.asarray(recall[left_out_best(recall, fold), np.arange(recall.shape[1])])


def left_out_best(recall: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """For each user the number of the model that is best on the other folds: int64 [U], from Recall@10 [M, U]."""
    best = np.empty(recall.shape[1], dtype=np.int64)
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        best[judged] = np.argmax(recall[:, ~judged].mean(axis=1).round(12))
    return best


def _best(candidates: Sequence[Candidate], users: np.ndarray) -> int:
    """The best on ``users``, bool [U], or the best preferred one where that is within a standard error of it."""
    means = [round(float(candidate.recall[users].mean()), 12) for candidate in candidates]
    order = sorted(range(len(candidates)), key=lambda number: -means[number])
    first = order[0]
    preferred = next((number for number in order if candidates[number].preferred), first)
    gain, error = _mean_and_error((candidates[first].recall - candidates[preferred].recall)[users])
    return first if gain > error else preferred


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    if len(differences) < 2:
        return float(differences.mean()), float("inf")
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))
