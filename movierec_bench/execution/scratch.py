"""Folders for what a process writes only to read it itself; nobody's once the process is over, however it ended."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing.util
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
_SOCKET_BYTES = 103  # of a local socket's path: macOS, Linux allows four more
_SOCKET = "/pymp-12345678/listener-12345678"  # how multiprocessing names one in a folder for temporary files
_AFTER_MULTIPROCESSING = -200  # its own folder inside is removed at -100


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new folder among the system's temporary ones, and removes it when the block ends.

    A process that is killed cannot do that: `sweep_scratch` does it then. The name says whose the folder is.
    """
    folder = _new_folder(tempfile.gettempdir())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now is swept later


@contextmanager
def sockets_in_scratch() -> Iterator[None]:
    """Have multiprocessing make its sockets in a scratch folder of this process, for as long as the process lives.

    Its own folder would stay for good when this process is killed, and a socket's path may be only some hundred bytes
    long: where the system's temporary folder is too deep, ``/tmp`` is taken if there is one.
    """
    before = tempfile.tempdir
    tempfile.tempdir = _socket_folder(os.getpid())
    try:
        yield
    finally:
        tempfile.tempdir = before


@functools.lru_cache(maxsize=1)
def _socket_folder(process: int) -> str:
    """The scratch folder for sockets of this process, whose id is asked for because a fork has a folder of its own."""
    room = tempfile.gettempdir()
    longest = Path(room, f"{_PREFIX}{_host()}-{process}-{_began(process)}-12345678").as_posix() + _SOCKET
    if len(os.fsencode(longest)) > _SOCKET_BYTES and os.access("/tmp", os.W_OK):  # noqa: S108 - mkdtemp makes it safe
        room = "/tmp"  # noqa: S108
    folder = _new_folder(room)
    multiprocessing.util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=_AFTER_MULTIPROCESSING)
    return str(folder)


def _new_folder(room: str) -> Path:
    process = os.getpid()
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{_host()}-{process}-{_began(process)}-", dir=room))


def sweep_scratch() -> None:
    """Remove the scratch folders of processes of this machine and user that are over."""
    for room in {tempfile.gettempdir(), "/tmp"}:  # noqa: S108 - see `sockets_in_scratch`
        for path in Path(room).glob(f"{_PREFIX}*"):
            name = _NAME.fullmatch(path.name)
            if name and name["host"] == _host() and _is_mine(path) and not _lives(int(name["process"]), name["began"]):
                shutil.rmtree(path, ignore_errors=True)  # another process may be sweeping, too


@functools.lru_cache(maxsize=1)
def _host() -> str:
    """What stands for this machine: folders for temporary files may be shared, process ids are not."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


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
