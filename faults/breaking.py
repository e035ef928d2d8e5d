"""Makes things go wrong at points: the part that acts inside the library's processes."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional

from faults import cases
from faults.cases import Fault
from faults.journal import Journal
from faults.points import Point

# What a process asks of its supervisor, one line each through the control pipe.
KILL_ALL, INTERRUPT_TWICE, STARTED, HANGS = "kill-all", "interrupt-twice", "started", "hangs"

_ERRNO = {cases.ENOSPC: errno.ENOSPC, cases.EIO: errno.EIO, cases.EACCES: errno.EACCES}
_NEEDS_ROOM = ("open", "parquet", "csv", "mkdir", "copy")


class Recorder:
    """Writes every point down and lets it be."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @property
    def descriptor(self) -> int:
        """To be kept open."""
        return self._file

    def before(self, point: Point, paths: Sequence[str]) -> None:
        """Append one line."""
        line = json.dumps([point.role, point.kind, point.number, point.what]) + "\n"
        os.write(self._file, line.encode())

    def after(self, point: Point, paths: Sequence[str], result: Any) -> Any:
        """Nothing."""
        return result


class Breaker:
    """Lets faults happen, each once.

    Args:
        faults: what happens where.
        control: descriptor of the pipe to the supervisor.
        memory: shared by all processes of the command: one byte a fault, 1 once it has happened; and one that says
            that the disk is full.
        command: process group of the command.
        journal: told of what changes in folders, for a power cut; None where none is planned.
    """

    def __init__(
        self, faults: Sequence[Fault], control: int, memory: mmap.mmap, command: int, journal: Optional[Journal]
    ) -> None:
        self._faults = faults
        self._control = control
        self._memory = memory
        self._command = command
        self._journal = journal

    def before(self, point: Point, paths: Sequence[str]) -> None:
        """What comes before the call; may not come back."""
        path = paths[-1] if paths else None
        if self._memory[len(self._faults)] and point.kind in _NEEDS_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        for place, fault in enumerate(self._faults):
            later = fault.action.endswith("-after") or fault.action == cases.SHORT
            if not later and fault.hits(point) and self._claim(place):
                self._act(fault.action, path)
        if self._journal is not None and paths:
            self._journal.before(point.kind, paths)

    def after(self, point: Point, paths: Sequence[str], result: Any) -> Any:
        """What comes after the call; may not come back."""
        path = paths[-1] if paths else None
        if self._journal is not None and paths:
            self._journal.after(point.kind, paths)
        for place, fault in enumerate(self._faults):
            if not fault.hits(point):
                continue
            if fault.action == cases.SHORT and self._claim(place):
                return _ShortWriter(result) if point.kind == "open" else self._cut(path)
            if fault.action.endswith("-after") and self._claim(place):
                self._act(fault.action, path)
        return result

    def _claim(self, place: int) -> bool:
        if self._memory[place]:
            return False
        self._memory[place] = 1
        return True

    def _act(self, action: str, path: Optional[str]) -> None:
        if action in (cases.KILL_BEFORE, cases.KILL_AFTER):
            _die()
        elif action in (cases.ALL_BEFORE, cases.ALL_AFTER) or action.startswith(cases.POWER):
            self._ask(KILL_ALL)
            _wait_for_death()
        elif action == cases.TERM:
            os.kill(os.getpid(), signal.SIGTERM)
        elif action == cases.HUP:
            os.kill(os.getpid(), signal.SIGHUP)
        elif action == cases.INT:
            os.killpg(self._command, signal.SIGINT)
        elif action == cases.INT_TWICE:
            self._ask(INTERRUPT_TWICE)
            time.sleep(0.05)
        elif action == cases.HANG:
            self._ask(HANGS)
            _wait_for_death()
        elif action == cases.FULL:
            self._memory[len(self._faults)] = 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        else:
            raise OSError(_ERRNO[action], os.strerror(_ERRNO[action]), path or "injected")

    def _ask(self, what: str) -> None:
        os.write(self._control, f"{what} {self._command}\n".encode())

    def _cut(self, path: Optional[str]) -> NoReturn:
        if path:
            os.truncate(path, os.path.getsize(path) // 2)
        _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    _wait_for_death()


def _wait_for_death() -> NoReturn:
    while True:
        time.sleep(60)


class _ShortWriter:
    """An open file whose first write writes half, and kills the process."""

    def __init__(self, file: Any) -> None:
        if isinstance(file, int):  # from os.open
            _die()
        self._file = file

    def write(self, data: Any) -> NoReturn:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        _die()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _ShortWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)
