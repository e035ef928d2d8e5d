"""What a run has to do: the folder it owns, the jobs it consists of, and which of them are due."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from filelock import FileLock, Timeout

from movierec_bench.atomic import read_atomic
from movierec_bench.catalog import ConfigFolders, ModelEntry
from movierec_bench.results import (
    BUDGET,
    DONE,
    FAILED,
    SKIPPED,
    Fingerprint,
    ModelFolder,
    RunFolder,
    RunManifest,
    Status,
)
from movierec_bench.schema import ConfigError, DataError, PathLike
from movierec_bench.split import Protocol, load_protocol, make_split, write_split
from movierec_bench.upload import hide_password

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Job:
    """One model of one run: everything its process is told.

    Attributes:
        entry: the catalogued model.
        dataset: folder of the atomic files.
        run: folder of the run.
        seed: seed of everything random in the model.
        budget: seconds of training, in the fit and again in the refit; None: no limit.
        filter: the candidate filter as given; empty for none.
        refit: whether to train again on every row and submit.
        fingerprint: what the fit depends on.
        kept: the status of a fit that stands, so that only the refit is due; None: start afresh.
    """

    entry: ModelEntry
    dataset: Path
    run: Path
    seed: int
    budget: Optional[float]
    filter: str
    refit: bool
    fingerprint: str
    kept: Optional[Status] = None

    @property
    def folder(self) -> ModelFolder:
        """The model's folder in the run."""
        return RunFolder(self.run).model(self.entry.name)


def make_job(
    entry: ModelEntry,
    run_folder: RunFolder,
    dataset: Path,
    manifest: RunManifest,
    seed: int,
    budget: Optional[float],
    filters: str,
    refit: bool,
) -> Job:
    """The job of one model, with what its fit depends on and the earlier fit that still stands, if one does."""
    depends_on = [entry.fingerprint(), manifest.data_hash, manifest.protocol_hash, seed, filters]
    fingerprint = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    job = Job(entry, dataset, run_folder.path, seed, budget, filters, refit, fingerprint)
    return replace(job, kept=_kept_fit(job))


def _kept_fit(job: Job) -> Optional[Status]:
    """The stored status whose fit still stands, if there is one."""
    folder = job.folder
    if not folder.status.exists():
        return None
    try:
        status = folder.read_status()
    except DataError as error:
        logger.warning("%s; the model is redone", error)
        return None
    stands = status.fingerprint.fit == job.fingerprint and status.metrics and status.state != SKIPPED
    if stands and status.state == FAILED:  # its refit failed; the fit before it had succeeded
        return replace(status, state=BUDGET if status.fit_out_of_budget else DONE, error=None)
    if stands and status.state == BUDGET and job.budget != status.budget:
        return None  # another budget may take it further
    return status if stands else None


def is_due(job: Job) -> bool:
    """Whether something of the job is left to do: the fit, the refit, or a submission that was lost."""
    stored = job.folder.read_status() if job.kept is not None else None
    return (
        stored is None
        or stored.state == FAILED
        or (job.refit and stored.fingerprint.refit != job.fingerprint)
        or (job.refit and not RunFolder(job.run).submission(job.entry.name).is_file())
    )


def forget(job: Job) -> None:
    """Remove what an earlier attempt left, so that nothing stale is taken for a result."""
    RunFolder(job.run).submission(job.entry.name).unlink(missing_ok=True)
    if job.kept is None and job.folder.path.exists():
        shutil.rmtree(job.folder.path)
    job.folder.path.mkdir(parents=True, exist_ok=True)


def status_of(job: Job, state: str, error: Optional[str] = None) -> Status:
    """A status of this job without results."""
    return Status(
        model=job.entry.name,
        state=state,
        family=job.entry.family,
        source=job.entry.source,
        error=error,
        fingerprint=Fingerprint(fit=job.fingerprint),
        budget=job.budget,
        filter=job.filter or None,
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
    """Hold the run folder; a second run at the same time is refused. Freed when the process dies."""
    run_folder.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_folder.path.parent / f".{run_folder.path.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{run_folder.path} is being written by another run; wait for it to end, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


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
    )
    if fresh and run_folder.path.exists():
        shutil.rmtree(run_folder.path)
    if run_folder.manifest.exists():
        there = run_folder.read_manifest()
        _check_same(run_folder, there, manifest)
        manifest = replace(manifest, run_id=there.run_id or manifest.run_id)
    elif run_folder.path.exists() and any(run_folder.path.iterdir()):
        raise DataError(
            f"{run_folder.path} is not empty and holds no manifest.json, so it is no run of ours; "
            "choose another --out, or --fresh to delete it and start anew"
        )
    if not all((run_folder.split / f"{part}.parquet").is_file() for part in ("train", "valid", "test")):
        write_split(make_split(data.interactions, rules), run_folder.split)
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


def protocol_of(configs: Optional[PathLike], name: Optional[str]) -> Protocol:
    """The protocol of protocol.yaml, under another ``name`` where one is given. Raises ConfigError for a wrong one."""
    rules = load_protocol(ConfigFolders(configs).file("protocol.yaml"))
    return rules if name is None else dataclasses.replace(rules, name=name)


def check_positive(flag: str, value: Optional[float]) -> None:
    """Raises ConfigError unless ``value`` is above 0 or None."""
    if value is not None and not value > 0:
        raise ConfigError(f"{flag} is {value}; expected a number above 0")


def command_line(command: str, arguments: Mapping[str, Any]) -> str:
    """The shell command that does what a call of the function of that name with these arguments did."""
    words = ["python", "-m", "movierec_bench", command]
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        value = hide_password(value) if name == "tracking_uri" and value is not None else value
        if isinstance(value, bool):
            words += [flag] if value else []
        elif value is not None:
            words += [flag, str(value) if isinstance(value, (str, int, float, Path)) else ",".join(value)]
    return shlex.join(words)
