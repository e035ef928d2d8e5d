"""What a run has to do: the folder it owns, the jobs it consists of, and which of them are due."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from movierec_bench.errors import DataError
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.records import BUDGET, DONE, FAILED, SKIPPED, Fingerprint, RunManifest, Status
from movierec_bench.settings.catalog import ModelEntry

logger = logging.getLogger(__name__)


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
        keep_model: whether the refitted model itself is stored.
        device: where PyTorch trains; None: a GPU if there is one.
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
    keep_model: bool = False
    device: Optional[str] = None
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
    keep_model: bool = False,
    device: Optional[str] = None,
) -> Job:
    """The job of one model, with what its fit depends on and the earlier fit that still stands, if one does."""
    depends_on = [entry.fingerprint(), manifest.data_hash, manifest.protocol_hash, seed, filters]
    fingerprint = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    job = Job(entry, dataset, run_folder.path, seed, budget, filters, refit, fingerprint, keep_model, device)
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
        or (job.keep_model and not job.folder.kept.is_dir())
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
