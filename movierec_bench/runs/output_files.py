"""Files that a user names for a command to write: which of those that are there may be overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable

from movierec_bench.errors import ConfigError
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import PathLike

_BYTES_OF_A_HEADING = 1 << 12


def check_output(
    flag: str, path: Path, kind: str, is_one: Callable[[Path], bool], inputs: Iterable[PathLike] = ()
) -> None:
    """Raise ConfigError, before any work, unless ``path`` may be written: nothing is lost but an earlier output.

    Args:
        flag: what named the file, for the message.
        path: the file to write, there or not.
        kind: what the command writes, in words, for the message.
        is_one: whether a file that is there is of that kind, so that overwriting it is what the user expects.
        inputs: files that the command reads.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise ConfigError(f"{flag} {path} is no regular file; expected a file to write; give another as {flag}")
    if any(Path(given).exists() and path.samefile(given) for given in inputs):
        raise ConfigError(
            f"{flag} {path} is an input of the same command, which would be overwritten; give another file as {flag}"
        )
    _check_no_result(path)
    if path.stat().st_size and not is_one(path):
        raise ConfigError(
            f"{flag} {path} is there and is no {kind}; expected nothing there, or an earlier {kind} to overwrite; move "
            f"it away, or give another file as {flag}"
        )


def has_columns(path: Path, *choices: Sequence[str]) -> bool:
    """Whether a CSV file has one of these lists of columns."""
    with path.open("rb") as file:
        heading = file.readline(_BYTES_OF_A_HEADING).decode("utf-8-sig", errors="replace").strip()
    return heading in {",".join(columns) for columns in choices}


def _check_no_result(path: Path) -> None:
    """Raise ConfigError where the file is the submission of a model or mix, which its status vouches for."""
    real = path.resolve()
    run = RunFolder(real.parent.parent)
    if not run.manifest.is_file() or real != run.submission(real.stem):
        return
    if real.stem in {folder.name for folder in run.models() + run.ensembles()}:
        raise ConfigError(
            f"{path} is the submission of {real.stem}, a model or mix of {run.path}; expected a file that is no result "
            "of a run; give another"
        )
