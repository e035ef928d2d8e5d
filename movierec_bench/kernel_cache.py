"""Where numba keeps compiled kernels: beside the code, in the user's cache, or at least among temporary files.

Numba refuses to load a kernel that it is to keep where neither of the first two can be written: a package that the
administrator installed, and a home that is read-only or not there, as in many containers.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"  # numba's own


def settle_kernel_cache() -> None:
    """Name a folder for kernels to numba and to the processes started from here, unless it finds one itself."""
    if os.environ.get(VARIABLE) or _can_write(Path(__file__).parent / "ranking" / "__pycache__") or _has_user_cache():
        return
    folder = _private_folder()
    if folder is None:
        return  # numba says what it lacks
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)


def _has_user_cache() -> bool:
    home = Path.home()
    if sys.platform == "darwin":
        return _can_write(home / "Library" / "Caches" / "numba")
    return os.name == "nt" or _can_write(Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numba")


def _can_write(folder: Path) -> bool:
    """Whether the folder can be written, or made where it is not there."""
    there = next(part for part in (folder, *folder.parents) if part.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _private_folder() -> Path | None:
    """A folder among temporary files that is this user's alone: what lies there is run.

    None: somebody else has taken its name, or nothing can be written there either.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"movierec_bench-kernels-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if mine else None
