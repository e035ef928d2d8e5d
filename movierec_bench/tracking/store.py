"""The client of an MLflow store, whose database is made whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from movierec_bench.runs.files import replacing, sweep
from movierec_bench.runs.locks import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_LOCK_SECONDS = 120  # MLflow takes ten for a new database, and more on a slow disk


def open_store(uri: str) -> MlflowClient:
    """The client of the store at ``uri``, an MLflow tracking URI; an SQLite file that is not there yet is made.

    MLflow makes the tables of a new database one after the other, and if it is killed meanwhile refuses the file for
    good. So a new one is made beside its place, and takes it when it is complete.
    """
    from mlflow import MlflowClient

    path = _sqlite_file(uri)
    if path is not None and not path.exists():
        held = f"{path} is being made by another process; expected it to be there by now; try again"
        with locked(path.with_name(f".{path.name}.lock"), _LOCK_SECONDS, held):
            _make(path)
    return MlflowClient(tracking_uri=uri)


def _make(path: Path) -> None:
    from mlflow import MlflowClient

    if path.exists():  # another process was first
        return
    sweep(path.parent)  # what a process that was killed had begun
    with replacing(path, durable=True) as begun:
        MlflowClient(tracking_uri=f"{_SQLITE}{begun.as_posix()}").search_experiments(max_results=1)


def _sqlite_file(uri: str) -> Optional[Path]:
    """The file of an SQLite database; None for any other store."""
    name = uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(name) if uri.startswith(_SQLITE) and name not in ("", ":memory:") else None
