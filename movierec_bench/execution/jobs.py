"""What a run has to do: the jobs it consists of, which of them are due, and how each of them ends."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from movierec_bench.data.user_groups import UserGroup
from movierec_bench.errors import DataError
from movierec_bench.execution.model_code import code_hash
from movierec_bench.runs.folder import FIT_FILES, ModelFolder, RunFolder
from movierec_bench.runs.publishing import damaged, publish, seal
from movierec_bench.runs.records import BUDGET, FAILED, SKIPPED, Fingerprint, RunManifest, Status, StoredFile
from movierec_bench.runs.seeds import with_seed
from movierec_bench.schema import SCORES_VERSION
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.protocol import TRAIN_AND_VALID

logger = logging.getLogger(__name__)

_TRAINING_SHARE = 0.85  # of a model's time; the rest is for loading and ranking


@dataclass(frozen=True)
class Job:
    """One model of one run: everything its process is told.

    Attributes:
        entry: the catalogued model.
        dataset: folder of the atomic files.
        run: folder of the run.
        data_hash: hash of the data that the run rests on.
        protocol_hash: hash of the run's protocol.
        test_fit: the rows of the fit that ranks for the test, one of ``protocol.TEST_FITS``.
        seed: seed of everything random in the model.
        budget: seconds of training each fit gets; None: no limit.
        filter: the candidate filter as given; empty for none.
        refit: whether to train again on every row and submit.
        keep_model: whether the refitted model itself is stored.
        device: where PyTorch trains; None: a GPU if there is one.
        code_hash: hash of the model's own source.
        only: the users it is trained on and ranks; None: everybody.
        kept: the status of a fit that stands, so that only the refit is due; None: start afresh.
        kept_staged: whether that fit lies in the staged folder, left by a command that was killed.
        ends_at: when the whole command is to end, seconds since 1970; None: no limit.
        memory_share: bytes each of several models that run at once on this machine may take; None: all there is.
        turns: how many models, this one included, each worker has still to train in the time that is left at its turn.
    """

    entry: ModelEntry
    dataset: Path
    run: Path
    data_hash: str
    protocol_hash: str
    test_fit: str
    seed: int
    budget: Optional[float]
    filter: str
    refit: bool
    code_hash: str
    keep_model: bool = False
    device: Optional[str] = None
    only: Optional[UserGroup] = None
    kept: Optional[Status] = None
    kept_staged: bool = False
    ends_at: Optional[float] = None
    memory_share: Optional[int] = None
    turns: float = 1.0

    @property
    def folder(self) -> ModelFolder:
        """The model's folder in the run, with the earlier result if there is one."""
        return RunFolder(self.run).model(self.entry.name)

    @property
    def staged(self) -> ModelFolder:
        """Where the model's process leaves its result, until that is complete."""
        return self.folder.staged

    def seconds_a_fit(self, now: float) -> Optional[float]:
        """Seconds of training that each fit may take: the budget, or the model's share of the time left if less.

        Args:
            now: seconds since 1970.
        """
        if self.ends_at is None:
            return self.budget
        fits = 1 + (self.test_fit == TRAIN_AND_VALID) + self.refit
        share = _TRAINING_SHARE * max(0.0, self.ends_at - now) / max(1.0, self.turns) / fits
        return max(1.0, share if self.budget is None else min(share, self.budget))

    def fingerprint(self, reads: Optional[Iterable[str]] = None) -> str:
        """Sha256 (16 hex digits) of all that the fit depends on but data of other names, versions and time.

        Args:
            reads: the settings that its training is known to look up; None: all that it has.
        """
        depends_on = [
            self.entry.fingerprint(reads),
            self.code_hash,
            SCORES_VERSION,
            self.data_hash,
            self.protocol_hash,
            self.seed,
            self.filter,
            *([] if self.only is None else [self.only.hash]),
        ]
        return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]


def make_job(
    entry: ModelEntry,
    run_folder: RunFolder,
    dataset: Path,
    manifest: RunManifest,
    test_fit: str,
    seed: int,
    budget: Optional[float],
    filters: str,
    refit: bool,
    keep_model: bool = False,
    device: Optional[str] = None,
    ends_at: Optional[float] = None,
    only: Optional[UserGroup] = None,
    further_seed: bool = False,
    memory_share: Optional[int] = None,
) -> Job:
    """The job of one model, with the earlier fit that still stands, if one does.

    Trained for some users only, or once more with a further seed, it is a model of another name.
    """
    name = entry.name if only is None else f"{entry.name}@{only.name}"
    job = Job(
        entry=replace(entry, name=with_seed(name, seed) if further_seed else name),
        dataset=dataset,
        run=run_folder.path,
        data_hash=manifest.data_hash,
        protocol_hash=manifest.protocol_hash,
        test_fit=test_fit,
        seed=seed,
        budget=budget,
        filter=filters,
        refit=refit,
        code_hash=code_hash(entry),
        keep_model=keep_model,
        device=device,
        ends_at=ends_at,
        only=only,
        memory_share=memory_share,
    )
    for staged, folder in ((False, job.folder), (True, job.staged)):
        kept = _kept_fit(job, folder)
        if kept is not None:
            return replace(job, kept=kept, kept_staged=staged)
    return job


def _kept_fit(job: Job, folder: ModelFolder) -> Optional[Status]:
    """The stored status whose fit still stands, if there is one."""
    if not folder.status.exists():
        return None
    try:
        status = folder.read_status()
    except DataError as error:
        logger.warning("%s; the model is redone", error)
        return None
    fitted = status.metrics and status.state != SKIPPED and status.model == job.entry.name
    if not fitted or status.fingerprint.fit != job.fingerprint(status.reads or None):
        return None
    if status.fit_out_of_budget and _other_budget(job, status):
        return None  # another budget may take it further
    lost = [name for name in _damaged(job, folder, status) if name in FIT_FILES]
    if lost:
        logger.warning("%s: %s damaged or gone; the model is redone", folder.path, ", ".join(lost))
        return None
    return status


def _damaged(job: Job, folder: ModelFolder, status: Status) -> list[str]:
    return damaged(RunFolder(job.run), folder, status)


def is_due(job: Job) -> bool:
    """Whether something of the job is left to do: the fit, the refit, or a submission that was lost."""
    stored = job.kept
    if stored is None or job.kept_staged or stored.state == FAILED:
        return True
    if not job.refit:
        return False
    refit_out_of_budget = stored.state == BUDGET and not stored.fit_out_of_budget
    return (
        stored.fingerprint.refit != stored.fingerprint.fit
        or (refit_out_of_budget and _other_budget(job, stored))
        or bool(_damaged(job, job.folder, stored))
        or (job.keep_model and not job.folder.kept.is_dir())
    )


def _other_budget(job: Job, status: Status) -> bool:
    """Whether a fit that ran out of its budget now has another; a share of ``--hours`` is never the same twice."""
    return job.ends_at is None and job.budget != status.budget


def in_turn(jobs: Sequence[Job], workers: int) -> list[Job]:
    """Jobs of a command with a time limit: the cheap ones first, each told how many share the time left at its turn.

    Rules come first, then closed forms, then models that train by epochs; of each kind, those that took least before.
    """
    ordered = sorted(jobs, key=lambda job: (_dearness(job), _seconds_before(job)))
    by_epochs = sum(job.entry.trainer == "epochs" for job in ordered)
    turns = []
    for job in ordered:
        turns.append(replace(job, turns=max(1.0, by_epochs / workers)))
        by_epochs -= job.entry.trainer == "epochs"
    return turns


def _dearness(job: Job) -> int:
    return 2 if job.entry.trainer == "epochs" else 0 if job.entry.family == "rule" else 1


def _seconds_before(job: Job) -> float:
    status = job.folder.finished()
    return 0.0 if status is None else sum(part or 0.0 for part in vars(status.seconds).values())


def will_replace(jobs: Sequence[Job]) -> str:
    """One line that says which finished results will be redone; empty where none will."""
    finished = [(job, job.folder.finished()) for job in jobs if job.kept is None and not job.entry.needs]
    redone = [(job, status) for job, status in finished if status is not None]
    if not redone:
        return ""
    reasons = sorted({_difference(job, status) for job, status in redone})
    names = ", ".join(job.entry.name for job, _ in redone)
    return (
        f"{len(redone)} finished model{'s' if len(redone) > 1 else ''} will be redone ({'; '.join(reasons)}): {names}; "
        "each keeps its result and submission until its new one is complete"
    )


def _difference(job: Job, status: Status) -> str:
    """Why a finished result does not stand, in a few words."""
    if status.seed not in (None, job.seed):
        return f"seed {status.seed} before, {job.seed} now"
    if (status.filter or "") != job.filter:
        return f"filter {status.filter or 'none'} before, {job.filter or 'none'} now"
    if status.fit_out_of_budget and status.budget != job.budget:
        return f"budget {status.budget} s before, {job.budget or 'none'} now"
    if status.code_hash not in (None, job.code_hash):
        return "changed code"
    if _damaged(job, job.folder, status):
        return "damaged files"
    return "changed settings, or an earlier version of this library"


def discard_staged(job: Job) -> None:
    """Remove what a command that was killed had staged, unless the job goes on from there."""
    if not job.kept_staged and job.staged.path.exists():
        shutil.rmtree(job.staged.path)


def discard_unfinished(job: Job) -> None:
    """Remove what a job that was stopped had staged, unless that is a whole fit; its process is over."""
    if job.staged.finished() is None:
        shutil.rmtree(job.staged.path, ignore_errors=True)


def begin(job: Job) -> None:
    """Make room for a new result beside the earlier one, which stays as it is."""
    job.folder.path.mkdir(parents=True, exist_ok=True)  # a model that has not ended is on the board, too


def settle(job: Job, phase: str, error: Optional[str]) -> Status:
    """Put what a model's process left into its place, and say how it ended.

    An earlier result of other settings gives way to a complete one only: a failed attempt leaves it its log, as
    ``failed_log.txt``, and is told here alone.

    Args:
        job: the job whose process is over.
        phase: where it was last, for the message.
        error: why it failed; None when it did its work.
    """
    staged = _staged_status(job)
    if error is None and (staged is None or (job.refit and staged.fingerprint.refit is None)):
        error = f"its process ended without a result; see {job.staged.log}"
    if error is None:
        return publish(RunFolder(job.run), job.folder)
    error = f"in {phase}: {error}".replace(str(job.staged.path), str(job.folder.path))
    return record_end(job, replace(staged or job.kept or status_of(job, FAILED), state=FAILED, error=error))


def record_end(job: Job, status: Status) -> Status:
    """Store the status of a model that failed or was skipped, unless an earlier result of other settings stands."""
    stands = job.folder.finished()
    same_fit = job.kept is not None and not job.kept_staged
    if stands is not None and (not same_fit or status.state == SKIPPED):
        log = job.folder.failed_log
        if job.staged.log.is_file():
            job.staged.log.replace(log)
        told = (status.error or "").replace(str(job.folder.log), str(log))
        if not job.staged.finished():
            shutil.rmtree(job.staged.path, ignore_errors=True)
        return replace(status, error=f"{told}; its earlier result stays")
    job.staged.path.mkdir(parents=True, exist_ok=True)
    kept = _whole_files(job) if same_fit else {}
    seal(job.staged, status, kept)
    return publish(RunFolder(job.run), job.folder)


def _whole_files(job: Job) -> dict[str, StoredFile]:
    """What stays of a kept fit, and of an earlier refit."""
    assert job.kept is not None
    lost = _damaged(job, job.folder, job.kept)
    return {name: file for name, file in job.kept.files.items() if name not in lost}


def _staged_status(job: Job) -> Optional[Status]:
    """The status that the process left; None where it left none, or half of one."""
    try:
        return job.staged.read_status()
    except DataError:  # settle says that the process ended without a result
        return None


def status_of(job: Job, state: str, error: Optional[str] = None) -> Status:
    """A status of this job without results."""
    return Status(
        model=job.entry.name,
        state=state,
        family=job.entry.family,
        source=job.entry.source,
        error=error,
        fingerprint=Fingerprint(fit=job.fingerprint()),
        budget=job.budget,
        filter=job.filter or None,
        seed=job.seed,
        code_hash=job.code_hash,
    )
