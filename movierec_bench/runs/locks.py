"""Locks of folders: one command at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from movierec_bench.errors import ConfigError


@contextmanager
def locked(path: Path, seconds: float, held: str) -> Iterator[None]:
    """Hold the lock file ``path``, in a folder that is made where it is missing; freed when the process dies.

    Args:
        path: the lock file.
        seconds: how long to wait for another holder.
        held: the message where another process holds it still.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written to or locked.
    """
    lock = FileLock(path, timeout=seconds)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(held) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{path.parent} cannot be locked ({reason}); expected a folder that can be written to, on a disk "
            "that locks files; give permission, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
