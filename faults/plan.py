"""Chooses what to try: every kill of the scenes that matter most, and a fair draw of everything else."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from faults import cases
from faults.cases import Case, TimedSignal, Trouble, faults_at
from faults.points import CONDUCTOR, FILE_KINDS, FORK_SERVER, UPLOADER, Point

EXHAUSTIVE = ("convert", "run-fresh")  # every change of a file is a moment to kill everything
_PAIRS, _TIMED = 0.1, 0.1  # shares of a scene's cases
_SHARES = {"run-fresh": 3, "run-refit": 2, "run-more": 2, "run-two": 2, "convert": 2}
_FEW = {"run-trained": 0.3, "run-tracked": 0.6, "track": 0.6}
_SIGNALS = ("KILL", "TERM", "HUP", "INT")
_MOST_SECONDS = 1.5  # a scene's command is over by then, mostly


def kills(points: Sequence[Point], scene: str) -> list[Case]:
    """Everything dies before each change of a file, each process start and each message of the scene."""
    kinds = (*FILE_KINDS, "process", "receive")
    return [
        Case(scene, ((cases.Fault(point.role, point.kind, point.number, cases.ALL_BEFORE),),))
        for point in points
        if point.kind in kinds
    ]


def plan(points: Mapping[str, Sequence[Point]], total: int, seed: int) -> list[Case]:
    """About ``total`` cases of the scenes in ``points``, the same for the same seed."""
    shares = {scene: _SHARES.get(scene, 1) * _FEW.get(scene, 1) for scene in points}
    chosen: list[Case] = []
    for scene, there in points.items():
        rng = random.Random(f"{seed} {scene}")
        count = round(total * shares[scene] / sum(shares.values()))
        must = kills(there, scene) if scene in EXHAUSTIVE else []
        rest = max(count - len(must), count // 2)
        pairs, timed = round(rest * _PAIRS), round(rest * _TIMED)
        chosen += must
        chosen += _draw(scene, there, rest - pairs - timed, rng, {case.seed for case in must})
        chosen += [_pair(scene, there, rng) for _ in range(pairs)]
        chosen += [Case(scene, ((_timed(there, rng),),)) for _ in range(timed)]
    random.Random(seed).shuffle(chosen)  # so that a run cut short has seen something of everything
    return chosen


def _draw(scene: str, points: Sequence[Point], count: int, rng: random.Random, taken: set[str]) -> Iterator[Case]:
    """``count`` cases with one fault each, as many of each action and, within it, of each kind of call."""
    by_action: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        for fault in faults_at(point, rng.randrange(1000)):
            case = Case(scene, ((fault,),))
            if case.seed not in taken:
                by_action[case.action][f"{point.role} {point.kind}"].append(case)
    piles = []
    for by_kind in by_action.values():
        for pile in by_kind.values():
            rng.shuffle(pile)
        kinds = list(by_kind.values())
        rng.shuffle(kinds)
        piles.append(kinds)
    while count and piles:
        for kinds in list(piles):
            pile = kinds.pop(0)
            yield pile.pop()
            count -= 1
            if pile:
                kinds.append(pile)
            if not kinds:
                piles.remove(kinds)
            if not count:
                return


def _pair(scene: str, points: Sequence[Point], rng: random.Random) -> Case:
    """Two faults: both in one command, or the second in the command that is given after the first."""
    first, second = (rng.choice(list(faults_at(rng.choice(points), rng.randrange(1000)))) for _ in range(2))
    if rng.random() < 0.3 and not any(fault.action.startswith(cases.POWER) for fault in (first, second)):
        return Case(scene, ((first, second),))
    return Case(scene, ((first,), (second,)))


def _timed(points: Sequence[Point], rng: random.Random) -> Trouble:
    roles = sorted({point.role for point in points}, key=lambda role: (not role.endswith(CONDUCTOR), role))
    if any(role.startswith("model ") for role in roles):
        roles.append(FORK_SERVER)
    role = rng.choice(roles)
    allowed = _SIGNALS if role.endswith((CONDUCTOR, UPLOADER)) else _SIGNALS[:2]
    return TimedSignal(role, rng.choice(allowed), rng.uniform(0, _MOST_SECONDS))
