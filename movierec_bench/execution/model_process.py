"""One model through the whole line, in a process of its own."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.split import Split, read_split
from movierec_bench.execution.jobs import Job, status_of
from movierec_bench.execution.processes import Send
from movierec_bench.execution.scratch import scratch_folder
from movierec_bench.reports.submission import write_submission
from movierec_bench.runs.files import write_csv, write_parquet, write_yaml
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import BUDGET, DONE, Fingerprint, Seconds, Status
from movierec_bench.schema import MAIN_METRIC, STORED_K, USER, K

if TYPE_CHECKING:  # torch and RecBole take seconds to import; only the models' processes need them
    from movierec_bench.ranking.top_k import Candidates
    from movierec_bench.training.trainer import Fitted
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """Sent by a model's process when it enters a phase."""

    name: str


def bench_model(job: Job, send: Send) -> None:
    """One model through the whole line: split, train, rank, score; then refit on every row, rank, submit.

    Runs in the model's own process and leaves its results in the model's folder. Sends a `Phase` and an
    `EpochRecord` as they come.
    """
    from movierec_bench.data.interactions import Interactions
    from movierec_bench.evaluation.validation import validator
    from movierec_bench.training.trainer import FitSettings, fit

    clock = _Clock(send, job.kept)
    with clock.phase("load"):
        data = read_atomic(job.dataset)
        split = read_split(RunFolder(job.run).split).in_order_of(data.interactions, data.vocabulary)
    status = job.kept
    with scratch_folder() as scratch:
        settings = FitSettings(seed=job.seed, scratch=scratch, budget=job.budget, device=job.device)
        if status is None:
            with clock.phase("fit"):
                train = Interactions.from_rows(split.fitted("valid"), data.vocabulary)
                seen, seen_rows = train, split.seen("valid")
                if split.shown is not None:
                    seen = Interactions.from_rows(seen_rows, data.vocabulary)
                validate = validator(split.valid, seen, data, _allowed(job, data, seen_rows))
                fitted = fit(job.entry, data, train, settings, validate, send)
            with clock.phase("rank"):
                _store_ranking(job, data, fitted, "valid", seen=split.seen("valid"), users=split.valid)
                _store_ranking(job, data, fitted, "test", seen=split.seen("test"), users=split.test)
            with clock.phase("score"):
                status = _score(job, data, split, fitted)
            _store_fit(job, fitted, replace(status, seconds=clock.seconds, peak_rss_mb=peak_rss_mb()))
            del fitted  # the refit needs the memory
        if job.refit:
            every_row = split.seen("full")
            with clock.phase("refit"):
                rows = Interactions.from_rows(every_row, data.vocabulary)
                refit_settings = replace(settings, epochs=status.best_epoch)
                same_stages = job.entry.with_parameters(status.stage_epochs)
                refitted = fit(same_stages, data, rows, refit_settings, on_epoch=send)
            with clock.phase("submit"):
                _store_ranking(job, data, refitted, "full", seen=every_row, users=every_row)
                write_submission(RunFolder(job.run), job.entry.name, data)
                if job.keep_model:
                    from movierec_bench.kept.model_folder import keep

                    keep(job.folder.kept, refitted, data, rows, job.seed, job.filter)
            status = replace(
                status,
                state=BUDGET if refitted.out_of_budget else status.state,
                fingerprint=Fingerprint(job.fingerprint, job.fingerprint),
            )
        job.folder.write_status(replace(status, seconds=clock.seconds, peak_rss_mb=peak_rss_mb()))


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
    """Measures the phases of a model and announces them."""

    def __init__(self, send: Send, kept: Optional[Status]) -> None:
        self._send = send
        self.seconds = kept.seconds if kept is not None else Seconds()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._send(Phase(name))
        started = time.perf_counter()
        yield
        self.seconds = replace(self.seconds, **{name: time.perf_counter() - started})


def _store_ranking(
    job: Job, data: AtomicData, fitted: Fitted, part: str, seen: pd.DataFrame, users: pd.DataFrame
) -> None:
    """Rank everyone in ``users`` whom the model can, from the rows in ``seen``, which are masked; store the top 100."""
    from movierec_bench.data.interactions import Interactions
    from movierec_bench.ranking.top_k import topk_frame

    history = Interactions.from_rows(seen, data.vocabulary)
    user_ix = np.unique(data.vocabulary.user_ix(users[USER].to_numpy()))
    best = fitted.rank(history, user_ix, STORED_K, _allowed(job, data, seen))
    job.folder.write_topk(part, topk_frame(best, data.vocabulary))


def _allowed(job: Job, data: AtomicData, seen: pd.DataFrame) -> Optional[Candidates]:
    """The run's filter of candidates, where ``seen`` are the rows a ranking may see."""
    from movierec_bench.ranking.candidate_filters import Filters

    return Filters.parse(job.filter).candidates(data.movies, seen, data.vocabulary)


def _score(job: Job, data: AtomicData, split: Split, fitted: Fitted) -> Status:
    from movierec_bench.evaluation.metrics import per_user, summarize

    topk = job.folder.read_topk("test", K)
    scores = per_user(topk, split.test)
    write_parquet(job.folder.per_user, scores)
    summary = summarize(scores, topk, n_items=len(data.vocabulary.items), seed=job.seed)
    return replace(
        status_of(job, BUDGET if fitted.out_of_budget else DONE),
        fit_out_of_budget=fitted.out_of_budget,
        device=str(fitted.config["device"]),
        epochs=len(fitted.epochs) or None,
        best_epoch=fitted.best_epoch,
        stage_epochs=fitted.stage_epochs,
        users=summary.users,
        missing_users=summary.missing_users,
        metrics=summary.metrics,
    )


def _store_fit(job: Job, fitted: Fitted, status: Status) -> None:
    """Everything of the fit is on disk before the status that says so."""
    write_yaml(job.folder.params, {**fitted.parameters, "seed": job.seed})
    epochs = pd.DataFrame(
        [dataclasses.astuple(record) for record in fitted.epochs],
        columns=["epoch", "train_loss", f"valid_{MAIN_METRIC}", "seconds"],
    )
    write_csv(job.folder.epochs, epochs)
    job.folder.write_status(status)
