"""Folders that are replaced whole, what a killed process leaves of that, and what is safely on disk."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

# .NAME.PROCESS-STAMP.new and .old; older versions left out the process, which is long over.
_LEFT = re.compile(r"\.(?P<name>.+)\.(?:(?P<process>\d+)-)?(?P<stamp>[0-9a-f]{12,32})\.(?P<kind>new|old)")
_OF_DESKTOPS = (".DS_Store", "Thumbs.db", "desktop.ini")  # and macOS's ``._NAME`` beside any NAME


@contextmanager
def replaced_when_complete(target: Path) -> Iterator[Path]:
    """A new empty folder beside ``target`` that takes its place at the end; after an error nothing has changed.

    What a killed process left of the same is put right first. The files are safely on disk before the swap, so that
    a power cut, too, leaves the old folder or the new one.
    """
    target = target.resolve()  # of a link the folder it leads to is replaced
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    stamp = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    fresh = target.with_name(f".{target.name}.{stamp}.new")
    retired = target.with_name(f".{target.name}.{stamp}.old")
    fresh.mkdir()
    try:
        yield fresh
        sync_tree(fresh)
        if target.exists():
            target.rename(retired)
        fresh.rename(target)
        sync_folder(target.parent)
    except BaseException:
        if retired.exists() and not target.exists():
            retired.rename(target)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def strangers(folder: Path, made: Collection[str]) -> list[str]:
    """What is in ``folder`` but for the names in ``made`` and what desktops put everywhere, sorted by name."""
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if name not in made and name not in _OF_DESKTOPS and name[:2] != "._")


def recover(target: Path) -> None:
    """Put right what killed processes left of replacing ``target``; what a living one is at is left alone.

    A folder killed between being moved away and being replaced gets the new content, which was complete by then.

    Raises:
        OSError: the leftovers can be neither used nor removed.
    """
    target = target.resolve()
    for left, found in _leftovers(target.parent, target.name):
        if found["kind"] == "old" and not target.exists():
            complete = left.with_name(left.name.removesuffix("old") + "new")
            (complete if complete.exists() else left).rename(target)
            sync_folder(target.parent)
    for left, _ in _leftovers(target.parent, target.name):
        shutil.rmtree(left)


def recover_all(parent: Path) -> None:
    """`recover` every folder of ``parent`` of which something was left. Raises OSError as there."""
    for name in sorted({found["name"] for _, found in _leftovers(parent)}):
        recover(parent / name)


def _leftovers(parent: Path, name: Optional[str] = None) -> list[tuple[Path, re.Match[str]]]:
    """The leftovers of processes that are over, of all folders or of the one called ``name``."""
    if not parent.is_dir():
        return []
    found = [(path, _LEFT.fullmatch(path.name)) for path in sorted(parent.iterdir())]
    return [
        (path, match)
        for path, match in found
        if match and match["name"] == (name or match["name"]) and not is_running(match["process"])
    ]


def is_running(process: Optional[str]) -> bool:
    """Whether a process of that number is running; None is none."""
    import psutil  # which takes long to import, and is needed where something was left

    return process is not None and psutil.pid_exists(int(process))


def sync_tree(folder: Path) -> None:
    """Have everything in ``folder`` on disk, not only in memory."""
    for here, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(here) / name)
        sync_folder(Path(here))


def sync_file(path: Path) -> None:
    """Have a file's content on disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have a folder's list of names on disk. Nothing to do on Windows, which has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
