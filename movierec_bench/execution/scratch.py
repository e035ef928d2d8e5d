"""Folders for what a process writes only to read it itself; nobody's once the process is over, however it ended."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PREFIX = "movierec_bench-"
_NAME = re.compile(rf"{_PREFIX}(?P<host>\w+)-(?P<process>\d+)-(?P<began>\d+)-\w+")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new folder among the system's temporary ones, and removes it when the block ends.

    A process that is killed cannot do that: `sweep_scratch` does it then. The name says whose the folder is.
    """
    process = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{_host()}-{process}-{_began(process)}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now is swept later


def sweep_scratch() -> None:
    """Remove the scratch folders of processes of this machine and user that are over."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        name = _NAME.fullmatch(path.name)
        if name and name["host"] == _host() and _is_mine(path) and not _lives(int(name["process"]), name["began"]):
            shutil.rmtree(path, ignore_errors=True)  # another process may be sweeping, too


@functools.lru_cache(maxsize=1)
def _host() -> str:
    """This machine's name: folders for temporary files may be shared, process ids are not."""
    return re.sub(r"\W", "_", platform.node())[:40] or "_"


def _began(process: int) -> int:
    """When a process began, hundredths of a second; with its id it names one process and no later one."""
    return round(100 * psutil.Process(process).create_time())


def _lives(process: int, began: str) -> bool:
    try:
        return abs(_began(process) - int(began)) <= 1 and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _is_mine(path: Path) -> bool:
    """Whether it is a folder of this user's; a link with such a name is somebody's trap."""
    try:
        there = path.lstat()
    except OSError:
        return False
    return not path.is_symlink() and path.is_dir() and (not hasattr(os, "getuid") or there.st_uid == os.getuid())
