"""The places where something can go wrong: calls that change files, send messages, start processes or lock.

`watch` wraps those calls, in this process and in all it forks. Every call counts as a point, named by the process's
role, the kind of call and how many of that kind the process has made. A process that a `Watcher` does not fire in
behaves as if nothing were wrapped.
"""

from __future__ import annotations

import builtins
import functools
import io
import multiprocessing.connection
import multiprocessing.process
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Protocol

ROLE = "role"  # in the control pipe: ``role PROCESS NAME``
CONDUCTOR, FORK_SERVER, UPLOADER = "conductor", "fork-server", "uploader"
FILE_KINDS = ("rename", "unlink", "rmdir", "mkdir", "open", "fsync", "parquet", "csv", "copy")
OTHER_KINDS = ("send", "receive", "process", "popen", "lock", "mlflow", "ray")

_MLFLOW_CALLS = (
    "create_experiment",
    "create_run",
    "delete_run",
    "get_experiment_by_name",
    "log_artifact",
    "log_batch",
    "log_metric",
    "search_runs",
    "set_tag",
    "set_terminated",
)
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Point:
    """One call of one process.

    Attributes:
        role: conductor, fork-server, uploader, or ``model NAME``; with two commands at once, ``2:`` comes before
            those of the second.
        kind: one of `FILE_KINDS` or `OTHER_KINDS`.
        number: how many calls of that kind the process had made before.
        what: the file or the call, for people; not part of the point's identity.
    """

    role: str
    kind: str
    number: int
    what: str = ""

    def __str__(self) -> str:
        return f"{self.role}/{self.kind}/{self.number}"


class Watcher(Protocol):
    """Is told of every point before and after its call."""

    def before(self, point: Point, paths: Sequence[str]) -> None:
        """May raise, kill the process, or come back. ``paths``: none, one, or source and target of a rename."""

    def after(self, point: Point, paths: Sequence[str], result: Any) -> Any:
        """What the caller gets in place of ``result``; the same or something that stands for it."""


class _State:
    def __init__(self) -> None:
        self.watcher: Optional[Watcher] = None
        self.root = ""
        self.prefix = ""
        self.role = CONDUCTOR
        self.counts: Counter[str] = Counter()
        self.inside = False
        self.told: Optional[int] = None


_state = _State()


def watch(watcher: Optional[Watcher], root: Path, prefix: str = "") -> None:
    """From now on, in this process and those it forks, tell ``watcher`` of every point below ``root``."""
    _state.watcher, _state.root, _state.prefix = watcher, str(root), prefix
    become(CONDUCTOR)


def become(role: str) -> None:
    """This process is a new one with a role of its own; its count begins anew."""
    _state.role = role
    _state.counts = Counter()
    _state.inside = False
    if _state.told is not None:
        os.write(_state.told, f"{ROLE} {os.getpid()} {current_role()}\n".encode())


def tell_roles_to(descriptor: int) -> None:
    """Write every process's id and role there as it begins."""
    _state.told = descriptor


def install() -> None:
    """Wrap the calls, once, in the process from which all others are forked."""
    for name in ("replace", "rename"):
        _wrap(os, name, "rename", _both_paths)
    for name, kind in {"unlink": "unlink", "remove": "unlink", "rmdir": "rmdir", "mkdir": "mkdir"}.items():
        _wrap(os, name, kind, _path_of)
    _wrap(os, "open", "open", _path_if_flags_write)
    _wrap(os, "fsync", "fsync", _path_of_descriptor)
    _wrap(io, "open", "open", _path_if_mode_writes)
    builtins.open = io.open
    _wrap_copy()
    _wrap_tables()
    _wrap(multiprocessing.connection.Connection, "send", "send", _no_path)
    _wrap(multiprocessing.connection.Connection, "recv", "receive", _no_path)
    _wrap(multiprocessing.process.BaseProcess, "start", "process", _no_path)
    _wrap(subprocess.Popen, "__init__", "popen", _no_path)
    import fcntl

    _wrap(fcntl, "flock", "lock", _no_path)


def install_mlflow() -> None:
    """Wrap the calls of MLflow's client."""
    from mlflow import MlflowClient

    for name in _MLFLOW_CALLS:
        _wrap(MlflowClient, name, "mlflow", _no_path)


def install_ray() -> None:
    """Wrap Ray's calls."""
    import ray

    for name in ("init", "get", "put", "wait", "shutdown"):
        _wrap(ray, name, "ray", _no_path)


def _wrap(owner: Any, name: str, kind: str, paths_of: Callable[..., Optional[list[str]]]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if _state.watcher is None or _state.inside:
            return real(*args, **kwargs)
        paths = paths_of(*args, **kwargs)
        if paths is None or (paths and not _below_root(paths[-1])):
            return real(*args, **kwargs)
        point = _next_point(kind, _label(paths[-1]) if paths else name)
        _tell_before(point, paths)
        result = real(*args, **kwargs)
        return _tell_after(point, paths, result)

    setattr(owner, name, wrapped)


def _next_point(kind: str, what: str) -> Point:
    number = _state.counts[kind]
    _state.counts[kind] += 1
    return Point(_state.prefix + _state.role, kind, number, what)


def _tell_before(point: Point, paths: Sequence[str]) -> None:
    assert _state.watcher is not None
    _state.inside = True  # what a watcher does itself is no point
    try:
        _state.watcher.before(point, paths)
    finally:
        _state.inside = False


def _tell_after(point: Point, paths: Sequence[str], result: Any) -> Any:
    assert _state.watcher is not None
    _state.inside = True
    try:
        return _state.watcher.after(point, paths, result)
    finally:
        _state.inside = False


def _wrap_copy() -> None:
    import shutil

    _wrap(shutil, "copyfile", "copy", lambda source, target, **_: _path_of(target))


def _wrap_tables() -> None:
    import pandas
    import pyarrow.parquet

    _wrap(pyarrow.parquet, "write_table", "parquet", lambda table, where, *_, **__: _path_of(where))
    _wrap(pandas.DataFrame, "to_csv", "csv", lambda self, where=None, *_, **__: _path_of(where))


def _below_root(path: str) -> bool:
    return path == _state.root or path.startswith(_state.root + os.sep)


def _label(path: str) -> str:
    """The path below the root with what differs from one command to the next taken out."""
    label = os.path.relpath(path, _state.root)
    label = re.sub(r"\b[0-9a-f]{32}\b", "<id>", label)
    label = re.sub(r"movierec_bench-\w+", "movierec_bench-<id>", label)
    label = re.sub(r"\.\d+-[0-9a-f]{12}\.(tmp|new|old)\b", r".<id>.\1", label)
    return re.sub(r"\.\d+\.tmp|(?<=\.)\w{8,}(?=\.tmp)", ".<id>.tmp", label)


def _no_path(*_: Any, **__: Any) -> list[str]:
    return []


def _path_of(path: Any, *_: Any, dir_fd: Optional[int] = None, **__: Any) -> Optional[list[str]]:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    name = os.fsdecode(path)
    return [os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), name) if dir_fd is not None else os.path.abspath(name)]


def _both_paths(source: Any, target: Any, **_: Any) -> Optional[list[str]]:
    return [os.path.abspath(os.fsdecode(source)), os.path.abspath(os.fsdecode(target))]


def _path_of_descriptor(descriptor: Any) -> Optional[list[str]]:
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    return [os.readlink(f"/proc/self/fd/{number}")]


def _path_if_flags_write(
    path: Any, flags: int, *_: Any, dir_fd: Optional[int] = None, **__: Any
) -> Optional[list[str]]:
    return _path_of(path, dir_fd=dir_fd) if flags & _WRITING else None


def _path_if_mode_writes(path: Any, mode: str = "r", *_: Any, **__: Any) -> Optional[list[str]]:
    return _path_of(path) if set(mode) & set("wax+") else None


def current_role() -> str:
    """Of this process, as in `Point.role`."""
    return _state.prefix + _state.role


def command_module(argv: list[str]) -> Optional[str]:
    """The module of ours that a command line runs with ``-m``; None for any other command."""
    if len(argv) > 2 and argv[0] == sys.executable and argv[1] == "-m" and argv[2].startswith("movierec_bench"):
        return argv[2]
    return None
