"""The benchmark: every model through the same line, each in a process of its own, resumable."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.atomic import AtomicData, read_atomic
from movierec_bench.catalog import load_catalog, select
from movierec_bench.cluster import connected
from movierec_bench.cluster_tasks import Placed, run_tasks_on_ray
from movierec_bench.jobs import (
    Job,
    check_positive,
    command_line,
    find_dataset,
    forget,
    is_due,
    make_job,
    only_run,
    open_run,
    protocol_of,
    status_of,
)
from movierec_bench.outputs.leaderboard import Board, build_board
from movierec_bench.outputs.submission import make_submission
from movierec_bench.processes import Ended, Send, Task, run_tasks, usable_cpus
from movierec_bench.progress import listener
from movierec_bench.results import (
    BUDGET,
    DONE,
    FAILED,
    SKIPPED,
    Fingerprint,
    RunFolder,
    Seconds,
    Status,
    write_csv,
    write_parquet,
    write_yaml,
)
from movierec_bench.schema import MAIN_METRIC, STORED_K, USER, EpochRecord, K, PathLike
from movierec_bench.split import Split, read_split
from movierec_bench.tracking import Tracker, tracker

if TYPE_CHECKING:  # torch and RecBole take seconds to import; only the models' processes need them
    from movierec_bench.recbole_backend.trainer import Fitted

logger = logging.getLogger(__name__)

_Runner = Callable[[list[Task]], Generator[tuple[Task, Any], None, None]]


@dataclass(frozen=True)
class Phase:
    """Sent by a model's process when it enters a phase."""

    name: str


def run(
    models: Union[str, Iterable[str]] = "all",
    dataset: Optional[str] = None,
    out: PathLike = "runs",
    budget: Optional[float] = None,
    workers: Optional[int] = None,
    ray: Optional[str] = None,
    filter: Optional[str] = None,
    seed: int = 42,
    no_refit: bool = False,
    fresh: bool = False,
    protocol: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    configs: Optional[PathLike] = None,
    quiet: bool = False,
    tracking_uri: Optional[str] = None,
    no_track: bool = False,
) -> Board:
    """Train, rank, score, refit and submit models under one protocol; what is finished already is kept.

    Args:
        models: names and groups, comma-separated or a sequence; ``-Name`` leaves one out.
        dataset: a data set of ``atomic``; may be left out when there is only one.
        out: folder of the runs; this one goes to ``out/<dataset>``.
        budget: seconds of training a model gets, in the fit and again in the refit; it then stops after
            the epoch in hand and keeps its best. None: no limit.
        workers: models trained at once; they share the processor's cores. None: one, or on a cluster as many as
            it has room for.
        ray: train on this Ray cluster: HOST:PORT of its head, or ``auto`` for the one this machine has joined.
            None: on this machine.
        filter: drop candidates: ``future``, ``future:YEARS``, ``unpopular:COUNT``, joined by commas.
        seed: seed of everything random in the models (the split has the protocol's own).
        no_refit: stop after the test ranking: no training on every row, no submission.
        fresh: delete the run folder and start anew.
        protocol: another protocol than protocol.yaml names: competition, random, last, ratio, halves.
        atomic: folder of the converted data sets.
        configs: a folder laid out like ``recbole_configs`` whose files win over the packaged ones.
        quiet: no progress bars, also on a terminal.
        tracking_uri: the MLflow server or database to track in. None: ``MLFLOW_TRACKING_URI``, or else
            ``out/mlflow.db``. One that is down costs no result; `track` uploads later.
        no_track: leave MLflow alone, as does the environment's ``MOVIEREC_BENCH_TRACK=0``.

    Returns:
        The board of the run folder, also written there as leaderboard.csv, .md and .html.

    Raises:
        ConfigError: an unknown model, flag value or YAML key; another run is using the folder; or no cluster
            answers, or one of its nodes has other versions than this machine.
        DataError: no such data set, or the folder holds a run of other data or another protocol.
    """
    command = command_line("run", locals())  # before any other name is bound
    from movierec_bench.filters import Filters

    entries = select(load_catalog(configs), models)
    filters = str(Filters.parse(filter))
    check_positive("--workers", workers)
    check_positive("--budget", budget)
    rules = protocol_of(configs, protocol)
    folder = find_dataset(atomic, dataset)
    run_folder = RunFolder(Path(out) / folder.name)
    with only_run(run_folder), connected(ray) if ray is not None else nullcontext():
        manifest = open_run(run_folder, folder, rules, seed, fresh, command)
        jobs = [
            make_job(entry, run_folder, folder, manifest, seed, budget, filters, refit=not no_refit)
            for entry in entries
        ]
        with tracker(run_folder, tracking_uri, no_track) as tracking:
            due = [job for job in jobs if is_due(job)]
            _run_jobs(run_folder, due, _runner(workers, on_ray=ray is not None), quiet, tracking)
            board = build_board(run_folder)
            board.write(run_folder)
    return replace(board, tracking=tracking.line)


def bench_model(job: Job, send: Send) -> None:
    """One model through the whole line: split, train, rank, score; then refit on every row, rank, submit.

    Runs in the model's own process and leaves its results in the model's folder. Sends a `Phase` and an
    `EpochRecord` as they come.
    """
    from movierec_bench.recbole_backend.data import Interactions
    from movierec_bench.recbole_backend.trainer import FitSettings, fit
    from movierec_bench.validation import validator

    clock = _Clock(send, job.kept)
    with clock.phase("load"):
        data, split = read_atomic(job.dataset), read_split(RunFolder(job.run).split)
    status = job.kept
    with tempfile.TemporaryDirectory(prefix="movierec_bench-") as scratch:
        settings = FitSettings(seed=job.seed, scratch=Path(scratch), budget=job.budget)
        if status is None:
            with clock.phase("fit"):
                train = Interactions.from_rows(split.train, data.vocabulary)
                validate = validator(split.valid, train, data)
                fitted = fit(job.entry, data, train, settings, validate, send)
            with clock.phase("rank"):
                _store_ranking(job, data, fitted, "valid", seen=split.train, users=split.valid)
                _store_ranking(job, data, fitted, "test", seen=_rows(split.train, split.valid), users=split.test)
            with clock.phase("score"):
                status = _score(job, data, split, fitted)
            _store_fit(job, fitted, replace(status, seconds=clock.seconds, peak_rss_mb=peak_rss_mb()))
            del fitted  # the refit needs the memory
        if job.refit:
            every_row = _rows(split.train, split.valid, split.test)
            with clock.phase("refit"):
                rows = Interactions.from_rows(every_row, data.vocabulary)
                refit_settings = replace(settings, epochs=status.best_epoch)
                same_stages = job.entry.with_parameters(status.stage_epochs)
                refitted = fit(same_stages, data, rows, refit_settings, on_epoch=send)
            with clock.phase("submit"):
                _store_ranking(job, data, refitted, "full", seen=every_row, users=every_row)
                _submit(job, data)
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

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


# -- running ----------------------------------------------------------------------------------


def _run_jobs(run_folder: RunFolder, jobs: list[Job], runner: _Runner, quiet: bool, tracking: Tracker) -> None:
    """Run jobs and write the board after each, so that a morning after a crash finds all that was finished."""
    tasks = [Task(job.entry.name, job, job.folder.log) for job in jobs if not job.entry.needs]
    phases: dict[str, str] = {}
    with listener(len(jobs), quiet) as listening:
        for job in jobs:
            forget(job)
            if job.entry.needs:
                status = status_of(job, SKIPPED, f"needs {job.entry.needs}")
                job.folder.write_status(status)
                listening.finished(status)
                tracking.finished(status.model)
        with closing(runner(tasks)) as messages:
            for task, message in messages:
                if isinstance(message, Placed):
                    phases.pop(task.name, None)
                    listening.phase(task.name, f"on node {message.node}")
                elif isinstance(message, Phase):
                    phases[task.name] = message.name
                    listening.phase(task.name, message.name)
                elif isinstance(message, EpochRecord):
                    listening.epoch(task.name, message)
                elif isinstance(message, Ended):
                    if message.error is not None:
                        _record_failure(task.argument, phases.get(task.name, "start"), message.error)
                    listening.finished(task.argument.folder.read_status())
                    tracking.finished(task.name)
                    build_board(run_folder).write(run_folder)


def _runner(workers: Optional[int], on_ray: bool) -> _Runner:
    """What runs the tasks: this machine's processes, or the cluster's."""
    if on_ray:
        return partial(run_tasks_on_ray, work=bench_model, workers=workers)
    workers = workers or 1
    threads = max(1, usable_cpus() // workers)
    return partial(run_tasks, work=bench_model, workers=workers, threads=threads)


def _record_failure(job: Job, phase: str, error: str) -> None:
    """Keep the scores of a fit that had succeeded before its refit failed."""
    before = job.folder.read_status() if job.folder.status.exists() else status_of(job, FAILED)
    job.folder.write_status(replace(before, state=FAILED, error=f"in {phase}: {error}"))


# -- the steps of one model -------------------------------------------------------------------


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


def _rows(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def _store_ranking(
    job: Job, data: AtomicData, fitted: Fitted, part: str, seen: pd.DataFrame, users: pd.DataFrame
) -> None:
    """Rank everyone in ``users`` from the rows in ``seen``, which are masked, and store the top 100."""
    from movierec_bench.filters import Filters
    from movierec_bench.ranking import top_k, topk_frame
    from movierec_bench.recbole_backend.data import Interactions

    history = Interactions.from_rows(seen, data.vocabulary)
    user_ix = np.sort(data.vocabulary.user_ix(users[USER].unique()))
    allowed = Filters.parse(job.filter).candidates(data.movies, seen, data.vocabulary)
    best = top_k(fitted.scorer(history), user_ix, history.csr, STORED_K, allowed=allowed)
    job.folder.write_topk(part, topk_frame(best, data.vocabulary))


def _score(job: Job, data: AtomicData, split: Split, fitted: Fitted) -> Status:
    from movierec_bench.scoring import per_user, summarize

    topk = job.folder.read_topk("test", K)
    scores = per_user(topk, split.test)
    write_parquet(job.folder.per_user, scores)
    summary = summarize(scores, topk, n_items=len(data.vocabulary.items), seed=job.seed)
    status = status_of(job, BUDGET if fitted.out_of_budget else DONE)
    return replace(
        status,
        fit_out_of_budget=fitted.out_of_budget,
        epochs=len(fitted.epochs) or None,
        best_epoch=fitted.best_epoch,
        stage_epochs=fitted.stage_epochs,
        users=int(summary.pop("users")),
        missing_users=int(summary.pop("missing_users")),
        metrics=summary,
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


def _submit(job: Job, data: AtomicData) -> None:
    submission = make_submission(job.folder.read_topk("full", K), data.interactions, data.vocabulary)
    if submission.filled_users:
        logger.warning("%s: popular movies added for %d users", job.entry.name, submission.filled_users)
    write_csv(RunFolder(job.run).submission(job.entry.name), submission.rows)
