"""What goes wrong in one case, and the text that names and repeats it.

A case's seed is its text: ``run-fresh:conductor/rename/3=kill-before``. Two faults in one command are joined by ``+``;
a fault in the command that is given next stands behind ``;``. A signal at a time rather than at a point is written
``@model Pop/KILL/0.137``, seconds after the command began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from faults.points import CONDUCTOR, FILE_KINDS, UPLOADER, Point

# At a point, before or after its call.
KILL_BEFORE, KILL_AFTER = "kill-before", "kill-after"  # the process that makes the call
ALL_BEFORE, ALL_AFTER = "kill-all-before", "kill-all-after"  # every process of the command at once
TERM, HUP, INT, INT_TWICE = "term", "hup", "int", "int-twice"  # to the command, as a terminal or a scheduler sends them
ENOSPC, EIO, EACCES = "enospc", "eio", "eacces"  # the call fails once
FULL = "disk-full"  # from this call on, nothing more can be written by any process
SHORT = "short-write"  # half of it is written, then the process dies
HANG = "hang"  # the call never comes back
POWER = "power-cut"  # POWER-SEED: all dies, and what was not fsynced is lost

SIGNALS = (TERM, HUP, INT, INT_TWICE)
ERRORS = (ENOSPC, EIO, EACCES)
_WRITTEN = ("open", "parquet", "csv", "send")
_WRITES = ("open", "parquet", "csv", "rename", "mkdir", "copy", "fsync")


@dataclass(frozen=True)
class Fault:
    """Something that happens when a process reaches a point."""

    role: str
    kind: str
    number: int
    action: str

    def __str__(self) -> str:
        return f"{self.role}/{self.kind}/{self.number}={self.action}"

    def hits(self, point: Point) -> bool:
        """Whether ``point`` is where this happens."""
        return (point.role, point.kind, point.number) == (self.role, self.kind, self.number)


@dataclass(frozen=True)
class TimedSignal:
    """A signal that a process gets so many seconds after the command began."""

    role: str
    signal: str
    seconds: float

    def __str__(self) -> str:
        return f"@{self.role}/{self.signal}/{self.seconds:.3f}"

    @property
    def action(self) -> str:
        """For the table."""
        return f"signal at random: {self.signal}"


Trouble = Union[Fault, TimedSignal]


@dataclass(frozen=True)
class Case:
    """Commands of a scene, each with its troubles; after them the scene's command is given undisturbed.

    Attributes:
        scene: the scene's name.
        commands: troubles of the first command, of the second, and so on; at least one.
    """

    scene: str
    commands: tuple[tuple[Trouble, ...], ...]

    @property
    def seed(self) -> str:
        """The text that `parse` makes this case from."""
        return self.scene + ":" + ";".join("+".join(map(str, troubles)) for troubles in self.commands)

    @property
    def troubles(self) -> list[Trouble]:
        """All of them, in order."""
        return [trouble for troubles in self.commands for trouble in troubles]

    @property
    def action(self) -> str:
        """The row of the table it counts in."""
        if len(self.troubles) > 1:
            return "pair of faults"
        action = self.troubles[0].action
        return POWER if action.startswith(POWER) else action


def parse(seed: str) -> Case:
    """The case of this seed. Raises ValueError for a text that is none."""
    scene, _, rest = seed.partition(":")
    return Case(scene, tuple(tuple(map(_trouble, part.split("+"))) for part in rest.split(";")))


def _trouble(text: str) -> Trouble:
    if text.startswith("@"):
        role, signal, seconds = text[1:].split("/")
        return TimedSignal(role, signal, float(seconds))
    where, action = text.split("=")
    role, kind, number = where.split("/")
    return Fault(role, kind, int(number), action)


def faults_at(point: Point, power_seed: int) -> Iterator[Fault]:
    """Everything that can go wrong at a point."""
    for action in actions_at(point):
        name = f"{POWER}-{power_seed}" if action == POWER else action
        yield Fault(point.role, point.kind, point.number, name)


def actions_at(point: Point) -> Sequence[str]:
    """The actions that mean something at a point."""
    actions = [KILL_BEFORE, KILL_AFTER, ALL_BEFORE, ALL_AFTER]
    if point.role.endswith(CONDUCTOR):
        actions += SIGNALS
    else:
        actions += [TERM]
    if point.kind in FILE_KINDS:
        actions += [*ERRORS, POWER]
    elif point.kind in ("popen", "process", "lock"):
        actions += [EIO, EACCES]
    elif point.kind in ("mlflow", "ray", "send"):
        actions += [EIO]
    if point.kind in _WRITES:
        actions += [FULL]
    if point.kind in _WRITTEN:
        actions += [SHORT]
    if point.role.endswith(CONDUCTOR) or point.role.endswith(UPLOADER):
        actions += [HANG]
    return actions
