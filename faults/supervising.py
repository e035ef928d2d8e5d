"""Runs one command of the library, lets the planned troubles happen to it, and sees what is left of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from faults import breaking, cases, forks, points
from faults.cases import Fault, TimedSignal, Trouble
from faults.journal import Journal, cut_power, modification_times

COMMAND_SECONDS = 40.0  # a command of these scenes takes one or two; on a machine that is busy with nothing else
LEFT_SECONDS = 10.0  # after its end, until nothing of it runs any more; likewise
_HANGING_SECONDS = 0.3  # before somebody who sees nothing happen presses Ctrl-C, and again before the second time

_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass
class Outcome:
    """How a command went.

    Attributes:
        argv: what was called.
        code: exit code, negative for a signal; None where it did not end within `COMMAND_SECONDS`.
        output: standard output and error.
        seconds: wall clock, over the `patience` that the machine's load asked for.
        rss_mb: peak memory of the command's own process, MiB.
        left: processes that still ran `LEFT_SECONDS` after its end, and were killed then.
        happened: how many of the planned troubles took place.
        lost: by the power cut.
    """

    argv: Sequence[str]
    code: Optional[int] = None
    output: str = ""
    seconds: float = 0.0
    rss_mb: float = 0.0
    left: list[str] = field(default_factory=list)
    happened: int = 0
    lost: list[str] = field(default_factory=list)


def patience() -> float:
    """How much longer than on an idle machine things may take now, as others compete for its processors; at least 1."""
    return max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def adopt_orphans() -> None:
    """Become the parent of whatever a command leaves behind, so that it can be seen and ended."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def record(argv: Sequence[str], folder: Path, environment: dict[str, str], into: Path) -> Outcome:
    """Run a command undisturbed and write its points into a file."""

    def prepare() -> None:
        recorder = breaking.Recorder(into)
        forks.keep_descriptor(recorder.descriptor)
        points.watch(recorder, folder)

    return Supervised([argv], folder, environment, prepare=prepare).run()[0]


class Supervised:
    """Commands that run at the same time in one folder; usually one.

    Args:
        commands: the arguments of each.
        folder: their working directory, and all they may change.
        environment: variables that differ from this process's.
        troubles: what happens to them.
        prepare: called in each new process in place of what would let the troubles happen.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        folder: Path,
        environment: dict[str, str],
        troubles: Sequence[Trouble] = (),
        prepare: Optional[Callable[[], None]] = None,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._faults = [trouble for trouble in troubles if isinstance(trouble, Fault)]
        self._signals = [trouble for trouble in troubles if isinstance(trouble, TimedSignal)]
        self._prepare = prepare
        self._memory = mmap.mmap(-1, max(1, len(self._faults) + 1))
        self._outcomes = [Outcome(argv) for argv in commands]
        self._alive: dict[int, Outcome] = {}
        self._roles: dict[str, int] = {}
        self._plans: list[tuple[float, int, int]] = []  # when, process (negative: group), signal
        self._sent = 0
        self._overdue = False

    def run(self) -> list[Outcome]:
        """How each went, once nothing of them runs any more."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        powers = [fault for fault in self._faults if fault.action.startswith(cases.POWER)]
        journal = Path(f"{self._folder}.journal")
        before = modification_times(self._folder) if powers else {}
        self._journal = Journal(journal) if powers else None
        self._started = time.monotonic()
        for number, outcome in enumerate(self._outcomes):
            process = self._start(outcome, number, write)
            self._alive[process] = outcome
            self._roles[points.CONDUCTOR if number == 0 else f"{number + 1}:{points.CONDUCTOR}"] = process
        os.close(write)
        self._watch(read)
        os.close(read)
        happened = sum(self._memory[: len(self._faults)]) + self._sent
        for number, outcome in enumerate(self._outcomes):
            outcome.happened = happened
            path = self._output(number)  # made before the process: it may be killed before it writes
            outcome.output = path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
        if powers and self._memory[self._faults.index(powers[0])]:
            seed = int(powers[0].action.rpartition("-")[2])
            self._outcomes[0].lost = cut_power(self._folder, journal, before, seed)
        return self._outcomes

    def _output(self, number: int) -> Path:
        return Path(f"{self._folder}.{number}.output")

    def _start(self, outcome: Outcome, number: int, write: int) -> int:
        def prepare() -> None:
            forks.keep_descriptor(write)
            if self._prepare is not None:
                self._prepare()
                return
            if self._journal is not None:
                forks.keep_descriptor(self._journal.descriptor)
            breaker = breaking.Breaker(self._faults, write, self._memory, os.getpid(), self._journal)
            points.tell_roles_to(write)
            points.watch(breaker, self._folder, "" if number == 0 else f"{number + 1}:")

        self._output(number).touch()
        return forks.fork_command(outcome.argv, self._folder, self._environment, self._output(number), prepare)

    def _watch(self, read: int) -> None:
        """Until every process of the commands is gone."""
        for trouble in self._signals:
            if trouble.role in self._roles:
                self._plan(trouble)
        waiting, ended, pause = b"", None, 0.002
        while self._reap():
            time.sleep(pause)
            pause = min(pause * 1.2, 0.02)
            *lines, waiting = (waiting + _read_some(read)).split(b"\n")
            for line in lines:
                self._heed(line.decode())
            now = time.monotonic()
            self._send_planned(now)
            if ended is None and not self._alive:
                ended = now
            if ended is not None and now > ended + LEFT_SECONDS * patience():
                self._outcomes[0].left += [_describe(process) for process in descendants()]
                kill_descendants()
            elif ended is None and now > self._started + COMMAND_SECONDS * patience():
                self._overdue = True
                kill_descendants()

    def _reap(self) -> bool:
        """Whether anything still runs."""
        while True:
            try:
                process, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            outcome = self._alive.pop(process, None)
            if outcome is not None:
                outcome.seconds = (time.monotonic() - self._started) / patience()
                outcome.rss_mb = usage.ru_maxrss / 1024
                outcome.code = None if self._overdue else os.waitstatus_to_exitcode(status)

    def _heed(self, line: str) -> None:
        """Do what a process of a command asks."""
        word, *rest = line.split(" ", 2)
        now = time.monotonic()
        if word == points.ROLE:
            process, role = int(rest[0]), rest[1]
            self._roles[role] = process
            for trouble in self._signals:
                if trouble.role == role:
                    self._plan(trouble)
        elif word == breaking.KILL_ALL:
            kill_descendants()
        elif word == breaking.INTERRUPT_TWICE:
            group = -int(rest[0])
            self._plans += [(now, group, signal.SIGINT), (now + 0.15, group, signal.SIGINT)]
        elif word == breaking.HANGS:
            group = -int(rest[0])
            self._plans += [(now + _HANGING_SECONDS * (1 + again), group, signal.SIGINT) for again in range(2)]

    def _plan(self, trouble: TimedSignal) -> None:
        number = signal.Signals[f"SIG{trouble.signal}"]
        process = self._roles[trouble.role]
        group = -process if number == signal.SIGINT else process
        self._plans.append((self._started + trouble.seconds, group, number))

    def _send_planned(self, now: float) -> None:
        for plan in [plan for plan in self._plans if plan[0] <= now]:
            self._plans.remove(plan)
            try:
                os.kill(plan[1], plan[2])
                self._sent += 1
            except (ProcessLookupError, PermissionError):
                pass  # it had ended before


def descendants() -> list[int]:
    """Every process that this one started, and those started by them; zombies left out."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                after_name = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            if after_name[0] != "Z":
                parents[int(name)] = int(after_name[1])
    found = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def kill_descendants() -> None:
    """Kill them all at once: each is stopped before the first is killed, so that none can react."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in descendants():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue  # ended meanwhile


def _read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _describe(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = "ended just now"
    return f"{process} {words}".strip()
