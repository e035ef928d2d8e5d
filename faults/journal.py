"""What a power cut would leave: the order in which folders were changed, and which of it had reached the disk.

The journal is the most forgetful file system that keeps its promises: a file's bytes are safe once the file was
fsynced and not written since; a file's name, a rename or a removal once its folder was fsynced afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# Not vouched for by anything, or synced by SQLite itself, below Python.
_NOT_JUDGED = (".db", ".db-journal", ".db-wal", ".db-shm", ".lock", "log.txt")


@dataclass(frozen=True)
class _Entry:
    what: str  # create, rename, unlink, mkdir, rmdir, fsync
    path: str
    source: Optional[str] = None
    shadow: Optional[str] = None
    inode: int = 0
    stamp: int = 0

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)


class Journal:
    """Written by all processes of a command, one line a change.

    Args:
        folder: outside of what is judged, on the same file system: the lines, and links to what was removed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._shadows = folder
        self._file = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._created = False
        self._shadow: Optional[str] = None

    @property
    def descriptor(self) -> int:
        """To be kept open."""
        return self._file

    def before(self, kind: str, paths: Sequence[str]) -> None:
        """Keep a link to what the call takes away."""
        target = paths[-1]
        self._created = not os.path.lexists(target)
        takes_away = kind in ("unlink", "rename") and not self._created and not os.path.isdir(target)
        self._shadow = self._link(target) if takes_away else None

    def after(self, kind: str, paths: Sequence[str]) -> None:
        """Write down what the call has changed."""
        path = paths[-1]
        if kind in ("open", "parquet", "csv", "copy"):
            if self._created and os.path.isfile(path):
                self._write(_Entry("create", path))
        elif kind == "fsync":
            with contextlib.suppress(OSError):
                there = os.stat(path)
                self._write(_Entry("fsync", path, inode=there.st_ino, stamp=there.st_mtime_ns))
        elif kind == "rename":
            self._write(_Entry("rename", path, source=paths[0], shadow=self._shadow))
        elif kind in ("unlink", "mkdir", "rmdir"):
            self._write(_Entry(kind, path, shadow=self._shadow))

    def _link(self, path: str) -> str:
        shadow = str(self._shadows / f"{os.getpid()}-{os.urandom(6).hex()}")
        os.link(path, shadow, follow_symlinks=False)
        return shadow

    def _write(self, entry: _Entry) -> None:
        os.write(self._file, (json.dumps(vars(entry)) + "\n").encode())


def cut_power(folder: Path, journal: Path, before: dict[int, int], seed: int) -> list[str]:
    """Leave of ``folder`` what a power cut leaves.

    Args:
        folder: what the command worked in.
        journal: the folder its `Journal` wrote to.
        before: modification times in ns by inode, of every file that lay there before the command.
        seed: by which unsynced changes of folders are lost: all, none, or those after a random one.

    Returns:
        What was lost, for people.
    """
    rng = random.Random(seed)
    lines = (journal / "journal").read_text().splitlines()
    entries = [_Entry(**json.loads(line)) for line in lines]
    synced = {entry.inode: entry.stamp for entry in entries if entry.what == "fsync"}
    kept = rng.choice([0, len(entries), rng.randint(0, len(entries))])
    lost = _empty_unsynced(folder, {**before, **synced})
    for number in range(len(entries) - 1, kept - 1, -1):
        entry = entries[number]
        later_syncs = {later.path for later in entries[number + 1 :] if later.what == "fsync"}
        if entry.what != "fsync" and entry.folder not in later_syncs:
            with contextlib.suppress(OSError):  # a change that a durable later one has overtaken
                _undo(entry)
                lost.append(f"{entry.what} {os.path.relpath(entry.path, folder)}")
    return lost


def _undo(entry: _Entry) -> None:
    if entry.what == "create":
        os.unlink(entry.path)
    elif entry.what == "mkdir":
        shutil.rmtree(entry.path)
    elif entry.what == "rmdir":
        os.mkdir(entry.path)
    elif entry.what == "rename":
        assert entry.source is not None
        os.rename(entry.path, entry.source)
        if entry.shadow is not None:
            os.link(entry.shadow, entry.path)
    elif entry.what == "unlink" and entry.shadow is not None:
        os.link(entry.shadow, entry.path)


def _empty_unsynced(folder: Path, safe: dict[int, int]) -> list[str]:
    lost = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.name.endswith(_NOT_JUDGED):
            continue
        there = path.stat()
        if there.st_size and safe.get(there.st_ino) != there.st_mtime_ns:
            os.truncate(path, 0)
            lost.append(f"bytes of {path.relative_to(folder)}")
    return lost


def modification_times(folder: Path) -> dict[int, int]:
    """Modification times in ns by inode of every file below ``folder``."""
    files = (path.stat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {there.st_ino: there.st_mtime_ns for there in files}
