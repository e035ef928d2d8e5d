"""Settling on a mix: which of several, and how much of it, by users that had no say in either.

The best of many candidates on the users that chose it is too good there, and the more so the fewer users there are.
So the choice itself is made in folds, what it gains over the best single model is measured on the users left out, and
the mix is shrunk towards that model by as much as the gain might be luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from movierec_bench.mixing.search import Weights


@dataclass(frozen=True)
class Candidate:
    """A way to mix, judged.

    Args:
        name: what it is, in a few words.
        recall: float64 [U], each user's Recall@10 under a mix that was chosen without that user.
        preferred: whether it is taken before others, unless one of those is better by a standard error.
    """

    name: str
    recall: np.ndarray
    preferred: bool = False


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
    """The candidate with the highest recall, and the share of it that its gain supports.

    The share is 1 - (standard error / gain)², and 0 where the gain is not above a standard error: the positive-part
    estimator of James and Stein, for the one difference that matters.

    Args:
        candidates: at least one, each judged out of fold.
        single: float64 [U], each user's Recall@10 under the single model that was best without that user.
        fold: integers [U], each user's fold, from 0.

    Source:
        the choice in folds: Tsamardinos et al. 2018; the share: James and Stein 1961; one standard error: Breiman 1984.
    """
    nested = np.empty(len(fold))
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        nested[judged] = candidates[_best(candidates, ~judged)].recall[judged]
    gain, error = _mean_and_error(nested - single)
    share = 1 - (error / gain) ** 2 if gain > error else 0.0
    chosen = _best(candidates, np.ones(len(fold), dtype=bool))
    return Settled(chosen, float(share), float(nested.mean()), float(single.mean()), error)


def left_out_single(recall: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Each user's Recall@10 under the model that is best on the other folds: float64 [U], from [M, U]."""
    found = np.empty(recall.shape[1])
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        best = int(np.argmax(recall[:, ~judged].mean(axis=1).round(12)))
        found[judged] = recall[best, judged]
    return found


def shrunk(weights: Weights, best: int, share: float) -> Weights:
    """``share`` of a mix and the rest of it the best single model; weights that add up to 100."""
    total = sum(weights)
    mixed = [100 * share * weight / total for weight in weights]
    mixed[best] += 100 * (1 - share)
    return tuple(round(weight, 2) for weight in mixed)


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
