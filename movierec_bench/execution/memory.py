"""Whether a model fits into memory, told before it starts: one that does not would be killed by the system."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Optional

import psutil

from movierec_bench.settings.entry import ModelEntry

_PROCESS = 600 * 10**6  # bytes of a process with torch and RecBole
_A_ROW = 250  # bytes of a row of the log with all copies of it, and of the rankings: from the runs of small models
_FLOAT = 4  # bytes

# Where a container's limit and use stand, of version 2 and of version 1 of Linux's control groups.
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
_GIVEN_BACK = ("inactive_file", "total_inactive_file")  # bytes of files the kernel drops when memory is short


def needed_bytes(entry: ModelEntry, rows: int, users: int, movies: int) -> int:
    """About how much memory a fit of a model takes at its peak.

    Args:
        entry: the model; ``entry.matrices`` says which dense matrices it holds at once.
        rows: of the log.
        users: of the log.
        movies: of the catalogue.
    """
    sizes = {"movies_by_movies": movies * movies, "users_by_movies": users * movies}
    matrices = sum(count * sizes[which] for which, count in entry.matrices.items())
    return int(_PROCESS + _A_ROW * rows + _FLOAT * matrices)


def free_bytes(limits: tuple[tuple[str, str, str], ...] = _LIMITS) -> int:
    """Memory that a process started now can have: of the machine, or what a container's limit leaves if that is less.

    Args:
        limits: files of the container's limit, of its use, and of what of its use is given back; the first that exist.
    """
    free = int(psutil.virtual_memory().available)
    for limit, used, statistics in limits:
        with suppress(OSError, ValueError):  # "max" is no limit, and elsewhere there are no such files
            left = int(Path(limit).read_text()) - int(Path(used).read_text()) + _given_back(Path(statistics))
            return max(0, min(free, left))
    return free


def lacking_memory(entry: ModelEntry, rows: int, users: int, movies: int, share: Optional[int] = None) -> str:
    """Why a model cannot start: what it needs, what there is, and what to do; empty where it fits.

    Args:
        entry: the model.
        rows: of the log.
        users: of the log.
        movies: of the catalogue.
        share: bytes that each of several models running at once may take; None: what is free.
    """
    if not entry.matrices:
        return ""
    needed, free = needed_bytes(entry, rows, users, movies), free_bytes()
    if needed <= min(free, free if share is None else share):
        return ""
    what = " and ".join(
        f"{count:g} matrices of {which.replace('_', ' ')} ({users if which.startswith('users') else movies:,} x "
        f"{movies:,})"
        for which, count in entry.matrices.items()
    )
    needs = f"needs about {needed / 1e9:.1f} GB of memory, {what} at once"
    if share is not None and needed <= free:
        return f"{needs}, and each of the workers has {share / 1e9:.1f} GB; run it with --workers 1"
    return (
        f"{needs}, and {free / 1e9:.1f} GB are free; take a machine with more, convert with --min-item-rows for fewer "
        "movies, or a model that holds no such matrix (ItemKNN, RP3beta, SLIM, ALS)"
    )


def _given_back(statistics: Path) -> int:
    entries = dict(line.split() for line in statistics.read_text().splitlines())
    return max((int(entries[name]) for name in _GIVEN_BACK if name in entries), default=0)
