"""What to mix: members, weights and rule, chosen on validation rows alone.

A search that looks at the same users again and again ends up fitting their luck. So ``cross_validate``
chooses on some folds of the users and judges on the fold left out, and mixes what all the folds chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.rules import (
    LINEAR,
    LOG2,
    MINMAX,
    MOST_WEIGHT,
    RRF,
    TAIL,
    VOTE,
    ZSCORE,
    Rule,
    hits_with,
    points,
)
from movierec_bench.schema import STORED_K, K

AUTO_RULES = (
    Rule.of(VOTE),
    Rule.of(LINEAR),
    Rule.of(LINEAR, 50),
    Rule.of(LINEAR, STORED_K),
    Rule.of(TAIL),
    Rule.of(LOG2),
    Rule.of(RRF, rrf_k=10),
    Rule.of(RRF, rrf_k=60),
    Rule.of(MINMAX),
    Rule.of(ZSCORE),
)

SHARES = (0.5, 1.0)  # how much of a mix is tried, where the rest is the best single model

_FACTORS = (0.0, 0.5, 0.8, 1.25, 2.0)  # what one step of the fit tries to multiply a weight by
_SWEEPS = 8  # rounds over all models that the fit makes at most

Weights = tuple[float, ...]
Change = tuple[int, float]


@dataclass(frozen=True)
class Validation:
    """All that a mix is chosen on: rankings by models that saw the training rows, and the validation rows.

    Args:
        items: int32 [M, U, K], as in ``rules``.
        scores: float32 [M, U, K]; None where no rule reads them.
        held_start: int64 [U + 1], where each user's validation movies begin in ``held_items``.
        held_items: int32, ``item_ix``.
    """

    items: np.ndarray
    scores: Optional[np.ndarray]
    held_start: np.ndarray
    held_items: np.ndarray

    @property
    def n_members(self) -> int:
        """Number of models."""
        return self.items.shape[0]

    @property
    def n_users(self) -> int:
        """Number of users with validation rows."""
        return self.items.shape[1]


class Objective:
    """Validation Recall@10 of weighted mixes under one rule; what was computed once is remembered."""

    def __init__(self, validation: Validation, rule: Rule) -> None:
        self.n_members = validation.n_members
        self._validation = validation
        self._rule = rule
        self._points = points(rule, validation.items, validation.scores)
        self._denominators = np.minimum(K, np.diff(validation.held_start)).astype(np.float64)
        self._known: dict[tuple[Weights, tuple[Change, ...]], np.ndarray] = {}

    def per_user(self, weights: Weights, changes: Sequence[Change]) -> np.ndarray:
        """Recall@10 of each user after each of some changes to a mix.

        Args:
            weights: a weight for each model; may be all 0.
            changes: (model's number, weight that it gains).

        Returns:
            float64 [C, U].
        """
        key = (weights, tuple(changes))
        if key not in self._known:
            members, extra = (np.array(column) for column in zip(*changes))
            there = self._validation
            self._known[key] = hits_with(
                self._rule,
                there.items,
                self._points,
                np.array(weights),
                members,
                extra,
                there.held_start,
                there.held_items,
            )
        return self._known[key] / self._denominators

    def recall(self, weights: Weights) -> np.ndarray:
        """Recall@10 of each user, float64 [U], under a mix."""
        return self.per_user(_changed(weights, 0, 0.0), [(0, weights[0])])[0]

    def best(self, weights: Weights, changes: Sequence[Change], users: np.ndarray) -> int:
        """The number of the change with the highest mean over ``users``, bool [U]; the first of equal ones."""
        means = self.per_user(weights, changes)[:, users].mean(axis=1)
        # Sums of the same recalls in another order differ in their last bits, which must not decide.
        return int(np.argmax(means.round(12)))


@dataclass(frozen=True)
class JudgedRule:
    """A rule with the weights that greedy searches find under it, and what they score on validation rows.

    Args:
        rule: the rule.
        weights: one a model, of the mix that is made.
        recall: mean out-of-fold Recall@10 of the mixes: each user is scored by a mix that it had no part in choosing.
        single_recall: the same of the single models that the searches begin with.
        by_share: float64 [len(SHARES), U], the out-of-fold Recall@10 of each user by the better of both, where it is
            such a share of its fold's mix and the rest is the best single model of the fold.
    """

    rule: Rule
    weights: Weights
    recall: float
    single_recall: float
    by_share: np.ndarray

    @property
    def per_user(self) -> np.ndarray:
        """Float64 [U]: the whole mix."""
        return np.asarray(self.by_share[-1])


@dataclass(frozen=True)
class Step:
    """One step of a greedy search.

    Args:
        weights: a weight for each model.
        per_user: Recall@10 of each user, float64 [U].
    """

    weights: Weights
    per_user: np.ndarray


def greedy(objective: Objective, users: np.ndarray, steps: int) -> list[Step]:
    """The mixes of 1, 2, ... models that a forward selection with replacement passes through.

    Each step adds the model, there already or not, that helps most; a weight counts how often its model
    was added.

    Args:
        objective: what is to grow.
        users: bool [U], the users to look at.
        steps: models to add.

    Source:
        Caruana, Niculescu-Mizil, Crew and Ksikes 2004.
    """
    changes = [(member, 1.0) for member in range(objective.n_members)]
    weights: Weights = (0.0,) * objective.n_members
    path = []
    for _ in range(steps):
        added = objective.best(weights, changes, users)
        per_user = objective.per_user(weights, changes)[added]
        weights = _changed(weights, added, weights[added] + 1)
        path.append(Step(weights, per_user))
    return path


def best_step(path: Sequence[Step], users: np.ndarray) -> Step:
    """The best mix on ``users``, bool [U], of those that ``greedy`` passes through; the first of equal ones."""
    means = np.array([step.per_user[users].mean() for step in path])
    return path[int(np.argmax(means.round(12)))]


def greedy_weights(objective: Objective, users: np.ndarray, steps: int) -> Weights:
    """The best mix that ``greedy`` passes through on ``users``, without the models it does as well without."""
    return without_idle(objective, best_step(greedy(objective, users, steps), users).weights, users)


def fitted_weights(objective: Objective, users: np.ndarray) -> Weights:
    """Weights with a high Recall@10 on ``users``, from equal weights by coordinate ascent.

    One model's weight after the other is multiplied by what helps most, until nothing helps any more.

    Args:
        objective: what is to grow.
        users: bool [U], the users to look at.

    Source:
        Metzler and Croft 2007, section 3.3: coordinate ascent directly on a ranking metric.
    """
    weights: Weights = (1.0,) * objective.n_members
    for _ in range(_SWEEPS):
        before = weights
        for member in range(objective.n_members):
            base = weights[member] or max(weights) / 4
            tried = [weights[member], *(min(round(base * factor, 4), MOST_WEIGHT) for factor in _FACTORS)]
            weights = _best_weight(objective, weights, member, tried, users)
        if weights == before:
            break
    return weights


def without_idle(objective: Objective, weights: Weights, users: np.ndarray) -> Weights:
    """``weights`` with 0 for every model without which the mix does as well on ``users``, lightest first."""
    for member in np.argsort(weights, kind="stable").tolist()[:-1]:
        weights = _best_weight(objective, weights, member, [0.0, weights[member]], users)
    return weights


def cross_validate(validation: Validation, rule: Rule, fold: np.ndarray, steps: int) -> JudgedRule:
    """The mix that greedy searches under ``rule`` find, scored on users that they were not chosen on.

    For each fold a greedy search runs on the users of the other folds and keeps its best mix; the weights of these
    mixes are added up. Where they do not beat the best single models of the same searches out of fold, those are
    added up instead. To stop each search where it served the left-out users best was tried, too: it did worse on
    users that neither had seen.

    Args:
        validation: what to choose and judge on.
        rule: the rule.
        fold: integers [U], each user's fold, from 0.
        steps: the most models that a fold mixes.
    """
    objective = Objective(validation, rule)
    left_out = [fold == number for number in range(int(fold.max()) + 1)]
    paths = [greedy(objective, ~users, steps) for users in left_out]
    mixes = [best_step(path, ~users) for path, users in zip(paths, left_out)]
    singles = [path[0] for path in paths]
    left_out_recall, single_left_out = (_left_out_recall(chosen, left_out) for chosen in (mixes, singles))
    recall, single_recall = float(left_out_recall.mean()), float(single_left_out.mean())
    chosen = mixes if recall > single_recall else singles
    by_share = np.empty((len(SHARES), validation.n_users))
    for found, single, users in zip(chosen, singles, left_out):
        best = int(np.argmax(single.weights))
        for place, share in enumerate(SHARES):
            shared = found.weights if share == 1 else shrunk(found.weights, best, share)
            by_share[place, users] = objective.recall(shared)[users]
    total = tuple(float(weight) for weight in np.sum([mix.weights for mix in chosen], axis=0))
    weights = without_idle(objective, total, np.ones(validation.n_users, dtype=bool))
    return JudgedRule(rule, weights, max(recall, single_recall), single_recall, by_share)


def left_out_recall(find: Callable[[np.ndarray], Weights], objective: Objective, fold: np.ndarray) -> np.ndarray:
    """Recall@10 of each user, float64 [U], under the weights that ``find`` finds on the other folds' users.

    Args:
        find: weights from the users to look at, bool [U].
        objective: what is to grow.
        fold: integers [U], each user's fold, from 0.
    """
    found = np.empty(len(fold))
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        found[judged] = objective.recall(find(~judged))[judged]
    return found


def shrunk(weights: Weights, best: int, share: float) -> Weights:
    """``share`` of a mix and the rest of it the model numbered ``best``; weights that add up to 100."""
    total = sum(weights)
    mixed = [100 * share * weight / total for weight in weights]
    mixed[best] += 100 * (1 - share)
    return tuple(round(weight, 2) for weight in mixed)


def folds_of(n_users: int, folds: int, seed: int) -> np.ndarray:
    """A fold from 0 for each user, int64 [n_users], drawn evenly. Raises ConfigError if users are too few."""
    if not 2 <= folds <= n_users:
        raise ConfigError(f"folds is {folds}; expected 2 to {n_users}, the users with validation rows")
    return np.random.default_rng(seed).permutation(n_users) % folds


def _left_out_recall(mixes: Sequence[Step], left_out: Sequence[np.ndarray]) -> np.ndarray:
    """Recall of all users, float64 [U], each judged by the mix that was chosen without it."""
    per_user = np.zeros(len(left_out[0]))
    for mix, users in zip(mixes, left_out):
        per_user[users] = mix.per_user[users]
    return per_user


def _best_weight(
    objective: Objective, weights: Weights, member: int, tried: Sequence[float], users: np.ndarray
) -> Weights:
    """``weights`` with the weight among ``tried`` for ``member`` that does best; the first of equal ones."""
    others = _changed(weights, member, 0.0)
    best = objective.best(others, [(member, weight) for weight in tried], users)
    return _changed(weights, member, tried[best])


def _changed(weights: Weights, member: int, weight: float) -> Weights:
    return (*weights[:member], weight, *weights[member + 1 :])
