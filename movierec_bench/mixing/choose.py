"""Choosing the recipe of a mix: from what was asked, and where that leaves it open, on validation rows.

Test rows are never read here, so that a mix owes nothing to them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.asked import firsts_of, names_of, pairs, positive, weights_of
from movierec_bench.mixing.members import read_validation
from movierec_bench.mixing.recipe import AUTO, CONCAT, FIT, ROUTE, Recipe, rule_text
from movierec_bench.mixing.routing import Routes, View, best_member, best_routes, half_recalls, halves, recalls
from movierec_bench.mixing.rules import LINEAR, RRF, RULES, Rule
from movierec_bench.mixing.search import (
    AUTO_RULES,
    Objective,
    Trial,
    Validation,
    best_trial,
    cross_validate,
    fitted_weights,
    folds_of,
    greedy_weights,
)
from movierec_bench.reports.user_segments import (
    GOOD,
    JUDGES,
    LENGTH,
    SEGMENT,
    UNKNOWN,
    best_on_validation,
    run_segments,
    segment_good,
    segment_of,
)
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import MAIN_METRIC

logger = logging.getLogger(__name__)

SEARCH_USERS = 10_000  # users that a search looks at, drawn where there are more
FOLDS = 5
STEPS = 20  # models that a greedy search mixes at most
CHANCE = "Random"  # knows nothing; a search would take it for want of a better step


@dataclass(frozen=True)
class Choice:
    """What a recipe is to be chosen from: the arguments of ``ensemble``, with the members found."""

    run: RunFolder
    data: AtomicData
    name: str
    method: str
    members: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return int(self.options.get("seed", self.run.read_manifest().seed))

    def rule(self, name: str) -> Rule:
        """The rule ``name`` with the settings asked for. Raises ConfigError."""
        if name != RRF and "rrf_k" in self.options:
            raise ConfigError(f"rrf_k means nothing for the rule {name!r}; leave it out, or choose {RRF}")
        return Rule.of(name, self.options.get("depth"), self.options.get("rrf_k"))


def choose(choice: Choice) -> Recipe:
    """The recipe that ``choice`` asks for.

    Raises:
        ConfigError: a setting that is out of range or does not fit the members.
    """
    if choice.method in RULES:
        given = choice.options.get("weights")
        return _weighted(choice, choice.rule(choice.method), weights_of(given, choice.members))
    if choice.method == CONCAT:
        firsts = firsts_of(choice.options.get("firsts"), len(choice.members))
        return Recipe(choice.name, choice.method, choice.members, firsts=firsts)
    if choice.method == ROUTE:
        return _routed(choice)
    if choice.method == AUTO:
        return _searched(choice)
    return _fitted(choice)


def _weighted(choice: Choice, rule: Rule, weights: Sequence[float], search: Optional[dict[str, Any]] = None) -> Recipe:
    """The recipe of a rule; members of weight 0 are no members."""
    used = {name: float(weight) for name, weight in zip(choice.members, weights) if weight}
    if not used:
        raise ConfigError("every weight is 0; expected at least one model with a weight above 0")
    rrf_k = float(rule.rrf_k) if rule.name == RRF else None
    return Recipe(choice.name, choice.method, tuple(used), rule.name, rule.depth, rrf_k, weights=used, search=search)


def _routed(choice: Choice) -> Recipe:
    by = choice.options.get("by", LENGTH)
    judges = names_of(choice.options.get("judges"))
    if by == GOOD and judges is None:
        judges = tuple(best_on_validation(choice.run, JUDGES))
    segments = run_segments(choice.run.path, by, judges, choice.data.folder.parent)
    users, validation = read_validation(choice.run, choice.members, choice.data.vocabulary, SEARCH_USERS, choice.seed)
    routes, notes = pairs(choice.options.get("routes", {})), None
    if routes:
        best = choice.members[best_member(validation)]
        members = (best, *(name for name in choice.members if name != best))
    else:
        views = _views(choice, users, validation, by, segments, judges)
        found = best_routes(views, folds_of(len(users), min(FOLDS, len(users)), choice.seed))
        best = choice.members[found.best]
        routes = {segment: choice.members[member] for segment, member in found.routes.items()}
        members = tuple(dict.fromkeys((best, *routes.values())))
        notes = _route_notes(best, found)
    strangers = sorted(set(routes) - {*segments[SEGMENT], UNKNOWN})
    if strangers:
        there = ", ".join(sorted(segments[SEGMENT].unique()))
        raise ConfigError(f"routes name the segment {strangers[0]!r}, in which nobody is; expected some of {there}")
    return Recipe(choice.name, choice.method, members, by=by, routes=routes, judges=judges, search=notes)


def _views(
    choice: Choice,
    users: np.ndarray,
    validation: Validation,
    by: str,
    segments: pd.DataFrame,
    judges: Optional[tuple[str, ...]],
) -> list[View]:
    """What routes are chosen from: segments, and recalls on rows that had no part in them."""
    if by != GOOD or judges is None:
        return [View(segment_of(segments, users), recalls(validation))]
    _, judging = read_validation(choice.run, judges, choice.data.vocabulary, SEARCH_USERS, choice.seed)
    half = halves(validation.held_start, choice.seed)
    own, judged = half_recalls(validation, half), half_recalls(judging, half)
    views = []
    for number in (0, 1):
        recall = pd.Series(judged[number].mean(axis=0), index=users).dropna()
        segment = segment_of(segment_good(users, recall), users)
        views.append(View(segment, own[1 - number]))
    return views


def _route_notes(best: str, found: Routes) -> dict[str, Any]:
    """What the search for routes found, as plain values."""
    if set(found.routes.values()) == {found.best}:
        logger.info("no segment has a model that is better out of fold; %s serves everybody", best)
    return {
        "best_on_validation": best,
        "gain_out_of_fold": {
            segment: {MAIN_METRIC: round(gain.mean, 6), "standard_error": round(gain.standard_error, 6)}
            for segment, gain in found.gains.items()
        },
    }


def _fitted(choice: Choice) -> Recipe:
    rule = choice.rule(choice.options.get("rule", LINEAR))
    users, validation = read_validation(
        choice.run,
        choice.members,
        choice.data.vocabulary,
        SEARCH_USERS,
        choice.seed,
        rule.depth,
        rule.reads_scores,
    )
    objective, everybody = Objective(validation, rule), np.ones(len(users), dtype=bool)
    if choice.method == FIT:
        weights = fitted_weights(objective, everybody)
    else:
        weights = greedy_weights(objective, everybody, positive("steps", choice.options.get("steps", STEPS)))
    return _weighted(choice, rule, weights)


def _searched(choice: Choice) -> Recipe:
    knowing = tuple(name for name in choice.members if name != CHANCE)
    choice = replace(choice, members=knowing if len(knowing) > 1 else choice.members)
    users, validation = read_validation(
        choice.run, choice.members, choice.data.vocabulary, SEARCH_USERS, choice.seed, with_scores=True
    )
    folds = folds_of(len(users), choice.options.get("folds", FOLDS), choice.seed)
    steps = positive("steps", choice.options.get("steps", STEPS))
    trials = []
    from movierec_bench.progress_bars import track  # imports rich, a tenth of a second, which only a search needs

    for rule in track(AUTO_RULES, "rules"):
        trials.append(cross_validate(validation, rule, folds, steps))
        logger.info("%s: validation %s %.4f out of fold", rule_text(rule), MAIN_METRIC, trials[-1].recall)
    best = best_trial(trials)
    return _weighted(choice, best.rule, best.weights, _search_notes(trials, len(users), folds, steps, choice.seed))


def _search_notes(trials: Sequence[Trial], users: int, folds: np.ndarray, steps: int, seed: int) -> dict[str, Any]:
    """What a search looked at and found, as plain values."""
    return {
        "users": users,
        "folds": int(folds.max()) + 1,
        "steps": steps,
        "seed": seed,
        f"best_single_out_of_fold_{MAIN_METRIC}": round(max(trial.single_recall for trial in trials), 6),
        f"out_of_fold_{MAIN_METRIC}": {rule_text(trial.rule): round(trial.recall, 6) for trial in trials},
    }
