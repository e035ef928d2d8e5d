"""What must be so after whatever went wrong, and after the same command was given once more."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from faults import cases
from faults.cases import Fault, TimedSignal, Trouble
from faults.contents import contents, differences, leftovers, tracked_results
from faults.points import CONDUCTOR
from faults.scenes import CANARY, Scene
from faults.supervising import Outcome

_DOCUMENTED = {0, 1, 2, 130}
_MOST_SECONDS, _MOST_RSS_MB, _MOST_DISK_MB = 30.0, 2000.0, 40.0
_MOST_LINES = 3
_STATES_WITH_RESULTS = ("done", "budget")


@dataclass(frozen=True)
class Reference:
    """What undisturbed commands leave of a scene.

    Attributes:
        before: contents as the scene begins.
        after: contents after its commands.
        tracked: names of what MLflow holds then, sorted.
    """

    before: dict[str, str]
    after: dict[str, str]
    tracked: tuple[str, ...]


def after_trouble(
    scene: Scene, reference: Reference, folder: Path, outcomes: Sequence[Outcome], troubles: Sequence[Trouble]
) -> Iterator[str]:
    """What is wrong right after a disturbed command; nothing of it runs any more."""
    killed = _killed(troubles)
    for number, outcome in enumerate(outcomes):
        role = CONDUCTOR if number == 0 else f"{number + 1}:{CONDUCTOR}"
        yield from _ended_well(outcome, _allowed_codes(role, troubles))
    found = _submissions_in_place(contents(folder))
    yield from _whole(found, reference)
    yield from _untouched(scene, found, reference)
    if not killed:  # with a command its models' processes die, and the next command sweeps what they worked in
        yield from (f"left behind: {path}" for path in leftovers(folder) if not _is_staged(path))
    if not killed and _only_models(troubles):
        yield from _others_complete(found, reference, troubles)
    yield from _bounded(folder, outcomes)
    yield from _secret(folder, outcomes)


def _submissions_in_place(found: dict[str, str]) -> dict[str, str]:
    """The contents with each submission that a kill has left in its model's folder where it belongs.

    A result takes its place by two renames, of its folder and of its submission; the next command does the second.
    """
    moved = dict(found)
    for path in found:
        place = PurePosixPath(path)
        if place.name == "submission.csv" and not place.parent.name.startswith("."):
            moved[f"{place.parents[2]}/submissions/{place.parent.name}.csv"] = moved.pop(path)
    return moved


def after_repeat(scene: Scene, reference: Reference, folder: Path, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What is wrong after the same commands were given once more, one after the other, undisturbed."""
    for outcome in outcomes:
        if outcome.code != scene.code:
            yield f"given again: exit code {outcome.code}, undisturbed {scene.code}: {_last_line(outcome)}"
        yield from _ended_well(outcome, set(_DOCUMENTED))
    found = contents(folder)
    unlike = [f"given again: {line}" for line in differences(found, reference.after)]
    yield from unlike[:_MOST_LINES]
    if len(unlike) > _MOST_LINES:
        yield f"given again: {len(unlike) - _MOST_LINES} more files differ"
    yield from (f"left behind for good: {path}" for path in leftovers(folder))
    if scene.tracked:
        there = tracked_results(folder / "runs" / "mlflow.db")
        names = tuple(sorted(name for _, name in there))
        if names != reference.tracked:
            twice = sorted(name for name, count in Counter(there).items() if count > 1)
            yield f"MLflow holds {names}, undisturbed {reference.tracked}; more than once: {twice}"
    yield from _bounded(folder, outcomes)
    yield from _secret(folder, outcomes)


def _ended_well(outcome: Outcome, allowed: set[int]) -> Iterator[str]:
    if outcome.code is None:
        yield f"did not end: {' '.join(outcome.argv)}"
    elif outcome.code not in allowed:
        yield f"exit code {outcome.code} is not documented: {_last_line(outcome)}"
    if "Traceback (most recent call last)" in outcome.output:
        yield f"a traceback: {_last_line(outcome)}"
    yield from (f"still running after ten seconds: {process}" for process in outcome.left)
    if outcome.code == 2 and "error: " not in outcome.output and "Usage:" not in outcome.output:
        yield "exit code 2 without a message"


def _allowed_codes(role: str, troubles: Sequence[Trouble]) -> set[int]:
    """Exit codes of a command, some of which only a signal explains."""
    allowed = set(_DOCUMENTED)
    for trouble in troubles:
        everybody = trouble.action in (cases.ALL_BEFORE, cases.ALL_AFTER) or trouble.action.startswith(cases.POWER)
        pressed = trouble.action in (cases.INT_TWICE, cases.HANG) and _command_of(trouble.role) == _command_of(role)
        if not (everybody or pressed) and trouble.role != role:
            continue
        word = trouble.signal.lower() if isinstance(trouble, TimedSignal) else trouble.action
        if everybody or word in (cases.KILL_BEFORE, cases.KILL_AFTER, cases.SHORT, "kill"):
            allowed.add(-signal.SIGKILL)
        elif word == cases.TERM:
            allowed |= {-signal.SIGTERM, 128 + signal.SIGTERM}
        elif word == cases.HUP:
            allowed |= {-signal.SIGHUP, 128 + signal.SIGHUP}
        elif word in (cases.INT_TWICE, cases.HANG):
            allowed.add(-signal.SIGINT)
    return allowed


def _command_of(role: str) -> str:
    """Which of two commands a process belongs to: "2" for the second."""
    return role.partition(":")[0] if ":" in role else ""


def _killed(troubles: Sequence[Trouble]) -> set[str]:
    """Roles that had no chance to clean up; "all" for everybody."""
    killed = set()
    for trouble in troubles:
        word = trouble.signal.lower() if isinstance(trouble, TimedSignal) else trouble.action
        if word in (cases.ALL_BEFORE, cases.ALL_AFTER) or word.startswith(cases.POWER):
            killed.add("all")
        elif word in (cases.KILL_BEFORE, cases.KILL_AFTER, cases.SHORT, "kill", cases.INT_TWICE, cases.HANG):
            killed.add(trouble.role)
    return {role for role in killed if role == "all" or role.endswith(CONDUCTOR)}


def _only_models(troubles: Sequence[Trouble]) -> bool:
    """Whether whatever happened, happened to processes of models alone."""
    return all(
        trouble.role.startswith("model ") and trouble.action not in (cases.FULL, cases.ALL_BEFORE, cases.ALL_AFTER)
        for trouble in troubles
        if isinstance(trouble, (Fault, TimedSignal))
    )


def _whole(found: dict[str, str], reference: Reference) -> Iterator[str]:
    """Whoever claims to have results has all of them, and they are right: those of before or the new ones."""
    for path in found:
        folder, _, name = path.rpartition("/")
        if name == "status.json" and _state(found[path]) in _STATES_WITH_RESULTS:
            own = {other: text for other, text in found.items() if _belongs(other, folder, reference)}
            ways = [
                list(
                    differences(
                        own, {other: text for other, text in state.items() if _belongs(other, folder, reference)}
                    )
                )
                for state in (reference.before, reference.after)
            ]
            if all(ways) and not _fit_only(own, reference.after, folder):
                best = min(ways, key=len)
                yield f"{folder} says {_state(found[path])}, but {'; '.join(best)[:300]}"
        elif name == "manifest.json" and not _is_of_a_run(found[path], path, reference):
            yield f"{path} is neither the old one nor the new one: {found[path][:200]}"


def _is_staged(path: str) -> bool:
    """Whether it is of a model's folder beside the one that counts: the same command goes on from there."""
    return any(part.startswith(".") and part.endswith((".new", ".old")) for part in path.split("/")[:4])


def _is_of_a_run(text: str, path: str, reference: Reference) -> bool:
    """Whether a manifest is the old one or the new one, which vouches for a split once that is on disk."""
    new = reference.after.get(path)
    if text in (reference.before.get(path), new):
        return True
    try:
        return new is not None and json.loads(text) == {**json.loads(new), "split": {}}
    except ValueError:
        return False


def _belongs(path: str, folder: str, reference: Reference) -> bool:
    name = folder.rpartition("/")[2]
    return path.startswith(f"{folder}/") or path.endswith(f"submissions/{name}.csv")


def _fit_only(own: dict[str, str], after: dict[str, str], folder: str) -> bool:
    """Whether this is a fit that waits for its refit: everything but the refit's files is as it will be."""
    refit = ("status.json", "topk_full.parquet", ".csv")
    expected = {path: text for path, text in after.items() if path.startswith(f"{folder}/")}
    kept = {path for path in expected if not path.endswith(refit)}
    status = json.loads(own[f"{folder}/status.json"])
    waits = status.get("fingerprint", {}).get("refit") is None
    return waits and all(own.get(path) == expected[path] for path in kept)


def _state(text: str) -> str:
    try:
        return str(json.loads(text).get("state"))
    except (ValueError, AttributeError):
        return "damaged"


def _untouched(scene: Scene, found: dict[str, str], reference: Reference) -> Iterator[str]:
    for place in scene.untouched:
        inside = [
            {path: text for path, text in state.items() if path == place or path.startswith(f"{place}/")}
            for state in (found, reference.before)
        ]
        yield from (f"not asked for: {line}" for line in differences(*inside))


def _others_complete(found: dict[str, str], reference: Reference, troubles: Sequence[Trouble]) -> Iterator[str]:
    hit = {trouble.role.removeprefix("model ") for trouble in troubles}
    for path, text in reference.after.items():
        parts = path.split("/")
        if "models" in parts and parts[parts.index("models") + 1] not in hit and found.get(path) != text:
            yield f"another model is not complete: {path}"


def _bounded(folder: Path, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.seconds > _MOST_SECONDS:
            yield f"took {outcome.seconds:.0f} seconds"
        if outcome.rss_mb > _MOST_RSS_MB:
            yield f"took {outcome.rss_mb:.0f} MiB"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    if size > _MOST_DISK_MB:
        yield f"takes {size:.0f} MiB of disk"


def _secret(folder: Path, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if CANARY in outcome.output:
            yield f"the password is in the output: {' '.join(outcome.argv)}"
    for path in folder.rglob("*"):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            yield f"the password is in {path.relative_to(folder)}"


def _last_line(outcome: Outcome) -> str:
    lines = [line for line in outcome.output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing said"
