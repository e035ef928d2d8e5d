"""Choosing the recipe of a mix: from what was asked, and where that leaves it open, on validation rows.

Test rows are never read here, so that a mix owes nothing to them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.user_groups import Judging, read_judging
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.asked import firsts_of, names_of, pairs, positive, weights_of
from movierec_bench.mixing.members import read_validation
from movierec_bench.mixing.recipe import AUTO, CONCAT, FIT, ROUTE, STACK, Recipe, rule_text
from movierec_bench.mixing.routing import Routes, View, best_member, best_routes, half_recalls, halves, recalls
from movierec_bench.mixing.rules import LINEAR, RRF, RULES, Rule
from movierec_bench.mixing.search import (
    AUTO_RULES,
    SHARES,
    Objective,
    Validation,
    Weights,
    cross_validate,
    fitted_weights,
    folds_of,
    greedy_weights,
    left_out_recall,
    shrunk,
)
from movierec_bench.mixing.settling import Candidate, Settled, left_out_best, left_out_single, settle
from movierec_bench.mixing.stack_rankings import STACK_FOLDS, STACK_USERS, training_pairs
from movierec_bench.mixing.stacking import (
    LINEAR_STACK,
    STACK_DEPTH,
    STRENGTH,
    Pairs,
    StackSettings,
    beside,
    left_out_scores,
    recall_of,
)
from movierec_bench.reports.user_segments import (
    BY,
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

    def folds(self, users: int) -> np.ndarray:
        """A fold for each of that many users. Raises ConfigError."""
        return folds_of(users, self.options.get("folds", FOLDS), self.seed)

    def stack(self) -> StackSettings:
        """A stack with the settings asked for."""
        asked = self.options if self.method == STACK else {}
        return StackSettings(
            learner=asked.get("learner", LINEAR_STACK),
            strength=asked.get("strength", STRENGTH),
            depth=asked.get("depth", STACK_DEPTH),
            seed=self.seed,
        )

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
    if choice.method == STACK:
        return _stacked(choice)
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
    given = choice.options.get("routes", {})
    judging = Judging(judges, None) if judges is not None else read_judging(Path(by)) if by not in BY else None
    if judging is not None and not given:
        choice = _without_groups(choice, segments)
    users, validation = read_validation(choice.run, choice.members, choice.data.vocabulary, SEARCH_USERS, choice.seed)
    routes, notes = pairs(given), None
    if routes:
        best = choice.members[best_member(validation)]
        members = (best, *(name for name in choice.members if name != best))
    else:
        views = _views(choice, users, validation, segments, judging)
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


def _without_groups(choice: Choice, segments: pd.DataFrame) -> Choice:
    """``choice`` without models trained on one of the segments alone, where validation rows told these apart.

    The rows that made a user good cannot judge a model that knows the good users only, and other rows there are none.
    """
    names = set(segments[SEGMENT])
    groups = [name for name in choice.members if name.rpartition("@")[2] in names]
    if not groups:
        return choice
    members = tuple(name for name in choice.members if name not in groups)
    reason = "the validation rows told its users apart and cannot judge it too; name it with --routes"
    if not members:
        raise ConfigError(f"{groups[0]}: {reason}, such as --routes {groups[0].rpartition('@')[2]}={groups[0]}")
    for name in groups:
        logger.warning("%s gets no route: %s", name, reason)
    return replace(choice, members=members)


def _views(
    choice: Choice,
    users: np.ndarray,
    validation: Validation,
    segments: pd.DataFrame,
    judging: Optional[Judging],
) -> list[View]:
    """What routes are chosen from: segments, and recalls on rows that had no part in them."""
    if judging is None:
        return [View(segment_of(segments, users), recalls(validation))]
    _, judges = read_validation(choice.run, judging.judges, choice.data.vocabulary, SEARCH_USERS, choice.seed)
    half = halves(validation.held_start, choice.seed)
    own, judged = half_recalls(validation, half), half_recalls(judges, half)
    views = []
    for number in (0, 1):
        recall = pd.Series(judged[number].mean(axis=0), index=users).dropna()
        segment = segment_of(segment_good(users, recall, judging.threshold), users)
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
    steps = positive("steps", choice.options.get("steps", STEPS))
    fold = choice.folds(len(users))

    def find(some: np.ndarray) -> Weights:
        return fitted_weights(objective, some) if choice.method == FIT else greedy_weights(objective, some, steps)

    mixed, single = left_out_recall(find, objective, fold), left_out_single(recalls(validation), fold)
    found = settle([Candidate(rule_text(rule), mixed)], single, fold)
    return _weighted(choice, rule, find(everybody), _notes(choice, len(users), fold, found))


def _stacked(choice: Choice) -> Recipe:
    settings = choice.stack()
    users, validation, pairs, held = training_pairs(choice.run, choice.data, choice.members, settings)
    fold = folds_of(len(users), min(STACK_FOLDS, len(users)), choice.seed)
    candidate = _stack_candidate(validation, pairs, held, fold, settings)
    found = settle([candidate], left_out_single(recalls(validation), fold), fold)
    return _stack_recipe(choice, settings, _notes(choice, len(users), fold, found))


def _stack_candidate(
    validation: Validation, pairs: Pairs, held: np.ndarray, fold: np.ndarray, settings: StackSettings
) -> Candidate:
    """A stack, judged whole, and beside the best single model of each fold."""
    ranked = pairs.ranked(left_out_scores(pairs, held, fold, settings))
    best = left_out_best(recalls(validation), fold)
    assert validation.scores is not None
    single = tuple(lists[best, np.arange(len(best))] for lists in (validation.items, validation.scores))
    mixed = [beside(ranked, single, share)[0] for share in SHARES]
    by_share = np.stack([recall_of(items, validation) for items in mixed])
    return Candidate(f"{STACK} ({settings.learner})", by_share[-1], preferred=True, by_share=by_share)


def _stack_recipe(
    choice: Choice, settings: StackSettings, notes: dict[str, Any], share: float = 1.0, single: int = 0
) -> Recipe:
    """The recipe of a stack, or of such a share of one beside the member numbered ``single``."""
    return Recipe(
        choice.name,
        choice.method,
        choice.members,
        share=None if share == 1 else share,
        beside=None if share == 1 else choice.members[single],
        depth=settings.depth,
        learner=settings.learner,
        strength=settings.strength,
        seed=settings.seed,
        search=notes,
    )


def _searched(choice: Choice) -> Recipe:
    """The mix that all rules and stacks come down to, shrunk towards the best single model."""
    knowing = tuple(name for name in choice.members if name != CHANCE)
    choice = replace(choice, members=knowing if len(knowing) > 1 else choice.members)
    users, validation = read_validation(
        choice.run, choice.members, choice.data.vocabulary, SEARCH_USERS, choice.seed, with_scores=True
    )
    fold = choice.folds(len(users))
    steps = positive("steps", choice.options.get("steps", STEPS))
    judged = []
    from movierec_bench.progress_bars import track  # imports rich, a tenth of a second, which only a search needs

    for rule in track(AUTO_RULES, "rules"):
        judged.append(cross_validate(validation, rule, fold, steps))
        logger.info("%s: validation %s %.4f out of fold", rule_text(rule), MAIN_METRIC, judged[-1].recall)
    candidates = [Candidate(rule_text(each.rule), each.per_user, by_share=each.by_share) for each in judged]
    settings = choice.stack()
    if len(users) <= STACK_USERS and len(choice.members) > 1:  # of more users, a stack sees others than the rules do
        _, _, pairs, held = training_pairs(choice.run, choice.data, choice.members, settings)
        if 0 < held.sum() < len(held):
            candidates.append(_stack_candidate(validation, pairs, held, fold, settings))
            name, recall = candidates[-1].name, candidates[-1].recall.mean()
            logger.info("%s: validation %s %.4f out of fold", name, MAIN_METRIC, recall)
    recall = recalls(validation)
    found = settle(candidates, left_out_single(recall, fold), fold)
    notes = _notes(choice, len(users), fold, found, steps=steps, candidates=candidates)
    single = int(np.argmax(recall.mean(axis=1).round(12)))
    if found.chosen >= len(judged) and found.share > 0:
        return _stack_recipe(choice, settings, notes, found.share, single)
    chosen = judged[min(found.chosen, len(judged) - 1)]
    return _weighted(choice, chosen.rule, shrunk(chosen.weights, single, found.share), notes)


def _notes(
    choice: Choice,
    users: int,
    fold: np.ndarray,
    found: Settled,
    steps: Optional[int] = None,
    candidates: Sequence[Candidate] = (),
) -> dict[str, Any]:
    """What a search looked at and found on users that had no say, as plain values."""
    notes: dict[str, Any] = {
        "users": users,
        "folds": int(fold.max()) + 1,
        "seed": choice.seed,
        f"out_of_fold_{MAIN_METRIC}": round(found.recall, 6),
        f"best_single_out_of_fold_{MAIN_METRIC}": round(found.single_recall, 6),
        "standard_error_of_gain": round(found.standard_error, 6),
    }
    if candidates:
        notes |= {
            "steps": steps,
            "share_of_mix": round(found.share, 4),
            "candidates": {one.name: round(float(one.recall.mean()), 6) for one in candidates},
        }
    return notes
