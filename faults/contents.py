"""What is in the files a command left, with what differs from one undisturbed command to the next taken out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

# Times of day, how long things took, and who did them.
_OF_THE_MOMENT = {
    "seconds",
    "peak_rss_mb",
    "run_id",
    "git_revision",
    "command",
    "started",
    "ended",
    "fit_seconds",
    "rank_seconds",
    "refit_seconds",
    "test_fit_seconds",
    "home",
}
_HOLD_MOMENTS = ("status.json", "manifest.json", "epochs.csv", "log.txt", "params.yaml")
_ARTIFACTS = "mlartifacts"  # MLflow's copies of files, in folders of random names; `tracked_results` counts its runs
_NOT_COMPARED = (".lock", ".db", ".db-journal", "log.txt", ".html", ".md")


def contents(folder: Path) -> dict[str, str]:
    """A digest or the text of every file below ``folder`` that an undisturbed command leaves the same, by path."""
    return {
        path.relative_to(folder).as_posix(): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _is_compared(path.relative_to(folder)) and not is_passing(path, folder)
    }


def _is_compared(path: Path) -> bool:
    return not path.name.endswith(_NOT_COMPARED) and _ARTIFACTS not in path.parts


def content(path: Path) -> str:
    """What is compared of one file; ``damaged`` with the reason where it cannot be read."""
    raw = path.read_bytes()
    try:
        if path.suffix == ".json":
            return json.dumps(_without_moments(json.loads(raw)), sort_keys=True)
        if path.suffix == ".csv":
            return _table(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"damaged: {error}"
    return f"{len(raw)} bytes, {hashlib.sha256(raw).hexdigest()[:16]}"


def is_passing(path: Path, folder: Path) -> bool:
    """Whether this is scratch space or a temporary name, that must not outlive the command that made it."""
    parts = path.relative_to(folder).parts
    return parts[0] == "tmp" or any(_is_temporary(part) for part in parts)


def _is_temporary(name: str) -> bool:
    return name.endswith((".tmp", ".part", ".new", ".old")) or (name.startswith(".") and not name.endswith(".lock"))


def leftovers(folder: Path) -> list[str]:
    """The temporary files and folders that are there, but for those that MLflow itself makes when it copies a file."""
    found = [path for path in sorted(folder.rglob("*")) if is_passing(path, folder) and path != folder / "tmp"]
    ours = [path.relative_to(folder) for path in found]
    return [path.as_posix() for path in ours if _ARTIFACTS not in path.parts]


def tracked_results(database: Path) -> list[tuple[str, str]]:
    """(run folder's id, name) of every result that the MLflow database holds, each as often as it is there."""
    if not database.is_file():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "select r.name, r.run_uuid from runs r where r.lifecycle_stage = 'active' order by 1"
        ).fetchall()
        tags: dict[str, dict[str, str]] = {}
        for run, key, value in connection.execute("select run_uuid, key, value from tags"):
            tags.setdefault(run, {})[key] = value
    found = []
    for name, run in rows:
        own = next((value for key, value in tags.get(run, {}).items() if key.endswith("run_id")), "")
        found.append((own, str(name)))
    return found


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_moments(entry)
            for key, entry in value.items()
            if key not in _OF_THE_MOMENT and not key.endswith(_HOLD_MOMENTS)
        }
    return [_without_moments(entry) for entry in value] if isinstance(value, list) else value


def _table(text: str) -> str:
    rows = list(csv.DictReader(io.StringIO(text)))
    if rows and None in rows[0]:
        raise ValueError("rows longer than the heading")
    return json.dumps([{key: value for key, value in row.items() if key not in _OF_THE_MOMENT} for row in rows])


def differences(found: dict[str, str], expected: dict[str, str]) -> Iterator[str]:
    """One line for each file that is missing, too many or other."""
    for path in sorted({*found, *expected}):
        if path not in found:
            yield f"{path} is missing"
        elif path not in expected:
            yield f"{path} is there and should not be"
        elif found[path] != expected[path]:
            yield f"{path} is {found[path][:90]}; undisturbed it is {expected[path][:90]}"
