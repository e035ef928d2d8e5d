"""Opening a run folder: its lock, its manifest, its split."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Optional

from filelock import FileLock, Timeout

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.log_split import BY_USER, check_protocol, split_data
from movierec_bench.data.split import write_split
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import RunManifest
from movierec_bench.schema import PathLike
from movierec_bench.settings.catalog import KNOWN_USERS
from movierec_bench.settings.protocol import Protocol

_VERSIONS_OF = (
    "movierec_bench",
    "recbole",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "numba",
    "pyarrow",
    "mlflow",
)


def package_versions() -> dict[str, str]:
    """The installed version of every package that results depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS_OF}


def find_dataset(atomic: PathLike, name: Optional[str]) -> Path:
    """The folder of a converted data set. Raises DataError when it is missing or the choice is unclear."""
    root = Path(atomic)
    there = (
        sorted(path.name for path in root.iterdir() if (path / f"{path.name}.inter").is_file()) if root.is_dir() else []
    )
    if not there:
        raise DataError(f"{root} holds no converted data set; run `python -m movierec_bench convert` first")
    if name is None and len(there) > 1:
        raise DataError(f"{root} holds {', '.join(there)}; say which with --dataset NAME")
    if name is not None and name not in there:
        raise DataError(f"{root} holds no data set {name!r}; expected one of {', '.join(there)}")
    return root / (name or there[0])


@contextmanager
def only_run(run_folder: RunFolder) -> Iterator[None]:
    """Hold the run folder, whatever links lead to it; a second holder is refused. Freed when the process dies."""
    real = run_folder.path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(real.parent / f".{real.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{run_folder.path} is being written by another command; wait for it to end, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held_run(run_folder: RunFolder) -> Iterator[RunManifest]:
    """The manifest of a run that is there; while it is held, no other command writes into its folder.

    Raises:
        DataError: there is no run.
        ConfigError: another command is writing into it.
    """
    run_folder.read_manifest()  # refuses what is no run before a lock file is made
    with only_run(run_folder):
        yield run_folder.read_manifest()


def open_run(
    run_folder: RunFolder, dataset: Path, rules: Protocol, seed: int, fresh: bool, command: str
) -> RunManifest:
    """The run's manifest, with the split on disk; a folder of other data or protocol is refused."""
    data = read_atomic(dataset)
    manifest = RunManifest(
        dataset=data.name,
        atomic=str(dataset.parent),
        data_hash=data.data_hash,
        protocol=rules.name,
        protocol_hash=rules.hash,
        seed=seed,
        versions=package_versions(),
        command=command,
        run_id=uuid.uuid4().hex,
        git_revision=_git_revision(),
        lacking=",".join([*data.lacking, *([KNOWN_USERS] if rules.name == BY_USER else [])]),
    )
    check_protocol(data, rules)
    if fresh and run_folder.path.exists():
        shutil.rmtree(run_folder.path)
    if run_folder.manifest.exists():
        there = run_folder.read_manifest()
        _check_same(run_folder, there, manifest)
        manifest = replace(manifest, run_id=there.run_id or manifest.run_id, home=there.home)
    elif run_folder.path.exists() and any(run_folder.path.iterdir()):
        raise DataError(
            f"{run_folder.path} is not empty and holds no manifest.json, so it is no run of ours; "
            "choose another --out, or --fresh to delete it and start anew"
        )
    if not all((run_folder.split / f"{part}.parquet").is_file() for part in ("train", "valid", "test")):
        write_split(split_data(data, rules), run_folder.split)
    run_folder.write_manifest(manifest)
    return manifest


def _git_revision() -> Optional[str]:
    """The commit of the working directory's repository; None without git or a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git, or a folder that takes too long to search
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _check_same(run_folder: RunFolder, there: RunManifest, wanted: RunManifest) -> None:
    for what, found, expected in (
        ("data", there.data_hash, wanted.data_hash),
        ("protocol", f"{there.protocol} {there.protocol_hash}", f"{wanted.protocol} {wanted.protocol_hash}"),
    ):
        if found != expected:
            raise DataError(
                f"{run_folder.path} holds a run of other {what} (found {found}, expected {expected}), "
                "and results of both cannot stand on one board; choose another --out, or --fresh to start anew"
            )
