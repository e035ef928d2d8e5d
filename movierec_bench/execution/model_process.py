"""One model through the whole line, in a process of its own."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.split import Split, read_split
from movierec_bench.errors import DataError
from movierec_bench.execution.jobs import Job, status_of
from movierec_bench.execution.memory import lacking_memory
from movierec_bench.execution.processes import Send
from movierec_bench.execution.scratch import scratch_folder
from movierec_bench.reports.submission import write_submission
from movierec_bench.runs.files import write_csv, write_parquet, write_yaml
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import package_versions
from movierec_bench.runs.publishing import seal
from movierec_bench.runs.records import BUDGET, DONE, SUBMISSION, Fingerprint, Seconds, Status, StoredFile
from movierec_bench.schema import MAIN_METRIC, STORED_K, USER, K
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.protocol import TRAIN_AND_VALID

if TYPE_CHECKING:  # torch and RecBole take seconds to import; only the models' processes need them
    from movierec_bench.ranking.top_k import Candidates
    from movierec_bench.training.trainer import FitSettings, Fitted


@dataclass(frozen=True)
class Phase:
    """Sent by a model's process when it enters a phase."""

    name: str


@dataclass(frozen=True)
class DoesNotFit:
    """Sent by a model's process in the place of all results: why the model was not started."""

    reason: str


def bench_model(job: Job, send: Send) -> None:
    """One model through the whole line: split, train, validate; train again and test; train on every row, submit.

    Runs in the model's own process and leaves its results in the model's staged folder. Sends a `Phase` and an
    `EpochRecord` as they come, and `DoesNotFit` where there is too little memory for it to begin.

    Raises:
        DataError: the data set is another one than the run's by now.
    """
    from movierec_bench.data.interactions import Interactions
    from movierec_bench.evaluation.validation import validator
    from movierec_bench.recbole_backend.settings_read import settings_read
    from movierec_bench.training.trainer import FitSettings, fit

    job = replace(job, budget=job.seconds_a_fit(time.time()))
    clock = _Clock(send, job.kept)
    with clock.phase("load"):
        data, everybody = _load(job)
    sizes = (len(data.interactions), len(data.vocabulary.users), len(data.vocabulary.items))
    lacking = lacking_memory(job.entry, *sizes, share=job.memory_share)
    if lacking:
        send(DoesNotFit(lacking))
        return
    split = everybody if job.only is None else everybody.only(job.only)
    status = job.kept
    with scratch_folder() as scratch:
        settings = FitSettings(seed=job.seed, scratch=scratch, budget=job.budget, device=job.device)
        if status is None:
            with settings_read() as reads:
                with clock.phase("fit"):
                    train = Interactions.from_rows(split.fitted("valid"), data.vocabulary)
                    seen, seen_rows = train, split.seen("valid")
                    if split.shown is not None:
                        seen = Interactions.from_rows(seen_rows, data.vocabulary)
                    validate = validator(split.valid, seen, data, _allowed(job, data, seen_rows))
                    fitted = fit(job.entry, data, train, _resumable(job, settings, "fit"), validate, send)
                clock.add("fit", fitted.earlier_seconds)
                with clock.phase("rank"):
                    _store_ranking(job, data, fitted, "valid", seen=split.seen("valid"), users=split.valid)
            status = _store_fit(job, fitted)
            if job.test_fit == TRAIN_AND_VALID:
                del fitted  # the next fit needs the memory
                with clock.phase("test_fit"):
                    train = Interactions.from_rows(split.fitted("test"), data.vocabulary)
                    again = _resumable(job, _same_epochs(settings, status), "test_fit")
                    fitted = fit(_same_stages(job, status), data, train, again, on_epoch=send)
                clock.add("test_fit", fitted.earlier_seconds)
                status = replace(status, fit_out_of_budget=status.fit_out_of_budget or fitted.out_of_budget)
            with clock.phase("rank"):
                _store_ranking(job, data, fitted, "test", split.seen("test"), users=split.test, listed=split.candidates)
            del fitted
            with clock.phase("score"):
                status = _scored(job, data, everybody, status)
            fingerprint = Fingerprint(fit=job.fingerprint(reads))
            status = replace(status, reads=tuple(sorted(reads)), fingerprint=fingerprint, **clock.measured())
            seal(job.staged, status)
        refit_out_of_budget = False
        if job.refit:
            every_row = split.seen("full")
            with clock.phase("refit"):
                rows = Interactions.from_rows(every_row, data.vocabulary)
                again = _resumable(job, _same_epochs(settings, status), "refit")
                fitted = fit(_same_stages(job, status), data, rows, again, on_epoch=send)
            clock.add("refit", fitted.earlier_seconds)
            with clock.phase("submit"):
                _store_ranking(job, data, fitted, "full", seen=every_row, users=every_row)
                write_submission(job.staged, job.staged.path / SUBMISSION, data)
                if job.keep_model:
                    from movierec_bench.kept.model_folder import keep

                    keep(job.staged.kept, fitted, data, rows, job.seed, job.filter)
            refit_out_of_budget = fitted.out_of_budget
            status = replace(status, fingerprint=Fingerprint(status.fingerprint.fit, status.fingerprint.fit))
        state = BUDGET if status.fit_out_of_budget or refit_out_of_budget else DONE
        status = replace(status, state=state, error=None, budget=job.budget, **clock.measured())
        seal(job.staged, status, kept=_files_that_stay(job))


def _load(job: Job) -> tuple[AtomicData, Split]:
    data = read_atomic(job.dataset)
    if data.data_hash != job.data_hash:
        raise DataError(
            f"{job.dataset} holds other data than the run (found {data.data_hash}, expected {job.data_hash}): it was "
            "converted again meanwhile; convert the run's data again, or run with --fresh or another --out"
        )
    return data, read_split(RunFolder(job.run).split).in_order_of(data.interactions, data.vocabulary)


def _files_that_stay(job: Job) -> dict[str, StoredFile]:
    """Those of a fit that was kept; a model that was kept of an earlier refit is not the new one's."""
    files = job.kept.files if job.kept is not None else {}
    model = f"{job.staged.kept.name}/"
    return {name: file for name, file in files.items() if not (job.refit and name.startswith(model))}


def _same_stages(job: Job, status: Status) -> ModelEntry:
    """The entry with what the validated fit settled: epochs of each stage, and parameters chosen on validation rows."""
    return job.entry.with_parameters({**status.stage_epochs, **status.chosen})


def _same_epochs(settings: FitSettings, status: Status) -> FitSettings:
    """The settings of a fit without validation, which runs as many epochs as were best with it."""
    return replace(settings, epochs=status.best_epoch)


def peak_rss_mb() -> float:
    """Peak resident memory of this process so far, in MiB."""
    import psutil

    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return float(memory.peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


class _Clock:
    """Measures the phases of a model and announces them; the seconds of a phase that comes twice are added up."""

    def __init__(self, send: Send, kept: Optional[Status]) -> None:
        self._send = send
        self._before = kept.seconds if kept is not None else Seconds()
        self._now: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._send(Phase(name))
        started = time.perf_counter()
        yield
        self._now[name] = self._now.get(name, 0.0) + time.perf_counter() - started

    def measured(self) -> dict[str, Any]:
        """What a status says of time and memory so far."""
        return {"seconds": replace(self._before, **self._now), "peak_rss_mb": peak_rss_mb()}

    def add(self, name: str, seconds: float) -> None:
        """Count seconds of a phase in processes that were killed, whose work was taken up."""
        self._now[name] = self._now.get(name, 0.0) + seconds


def _resumable(job: Job, settings: FitSettings, phase: str) -> FitSettings:
    """The settings of a fit that goes on where one of the same phase and job was killed."""
    from movierec_bench.training.resuming import StateFile, seconds_between_states

    identity = f"{phase} {job.fingerprint()} {settings.epochs}"
    state = StateFile(RunFolder(job.run).training_state(job.entry.name), identity, seconds_between_states())
    return replace(settings, state=state)


def _store_ranking(
    job: Job,
    data: AtomicData,
    fitted: Fitted,
    part: str,
    seen: pd.DataFrame,
    users: pd.DataFrame,
    listed: Optional[pd.DataFrame] = None,
) -> None:
    """Rank everyone in ``users`` whom the model can, from the rows in ``seen``, which are masked; store the top 100.

    Of ``listed``, the rows [user, item] of a split's candidates, no user is ranked any other movie.
    """
    from movierec_bench.data.interactions import Interactions
    from movierec_bench.ranking.candidate_filters import listed_alone
    from movierec_bench.ranking.top_k import topk_frame

    history = Interactions.from_rows(seen, data.vocabulary)
    user_ix = np.unique(data.vocabulary.user_ix(users[USER].to_numpy()))
    allowed = _allowed(job, data, seen)
    if listed is not None:
        allowed = listed_alone(allowed, listed, data.vocabulary)
    best = fitted.rank(history, user_ix, STORED_K, allowed)
    job.staged.write_topk(part, topk_frame(best, data.vocabulary))


def _allowed(job: Job, data: AtomicData, seen: pd.DataFrame) -> Optional[Candidates]:
    """The run's filter of candidates, where ``seen`` are the rows a ranking may see."""
    from movierec_bench.ranking.candidate_filters import Filters

    return Filters.parse(job.filter).candidates(data.movies, seen, data.vocabulary)


def _store_fit(job: Job, fitted: Fitted) -> Status:
    """Store what the validated fit was, and say it in a status, still without scores."""
    import torch

    write_yaml(job.staged.params, {**fitted.parameters, "seed": job.seed})
    epochs = pd.DataFrame(
        [dataclasses.astuple(record) for record in fitted.epochs],
        columns=["epoch", "train_loss", f"valid_{MAIN_METRIC}", "seconds"],
    )
    write_csv(job.staged.epochs, epochs)
    return replace(
        status_of(job, BUDGET if fitted.out_of_budget else DONE),
        fit_out_of_budget=fitted.out_of_budget,
        device=str(fitted.config["device"]),
        epochs=len(fitted.epochs) or None,
        best_epoch=fitted.best_epoch,
        stage_epochs=fitted.stage_epochs,
        chosen=fitted.chosen,
        versions={"python": platform.python_version(), **package_versions()},
        threads=torch.get_num_threads(),
    )


def _scored(job: Job, data: AtomicData, split: Split, status: Status) -> Status:
    """The status with the scores of the stored test ranking."""
    from movierec_bench.evaluation.metrics import per_user, summarize

    topk = job.staged.read_topk("test", K)
    scores = per_user(topk, split.test)
    write_parquet(job.staged.per_user, scores)
    summary = summarize(scores, topk, n_items=len(data.vocabulary.items), seed=job.seed)
    return replace(
        status,
        state=BUDGET if status.fit_out_of_budget else DONE,
        users=summary.users,
        missing_users=summary.missing_users,
        metrics=summary.metrics,
    )
