"""The benchmark: every model through the same line, each in a process of its own, resumable."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.log_split import check_protocol
from movierec_bench.data.user_groups import read_group
from movierec_bench.errors import ConfigError
from movierec_bench.execution.devices import check_device
from movierec_bench.execution.jobs import (
    Job,
    begin,
    discard_staged,
    discard_unfinished,
    in_turn,
    is_due,
    make_job,
    record_end,
    settle,
    status_of,
    will_replace,
)
from movierec_bench.execution.memory import free_bytes
from movierec_bench.execution.model_process import DoesNotFit, Phase, bench_model
from movierec_bench.execution.processes import Ended, NotStarted, Task, run_tasks, usable_cpus
from movierec_bench.execution.progress import listener
from movierec_bench.execution.ray_cluster import connected
from movierec_bench.execution.ray_tasks import Placed, run_tasks_on_ray
from movierec_bench.reports.board import Board
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.submission import check_unseen
from movierec_bench.runs.command import check_positive, check_seed, recorded
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset, only_run, open_run
from movierec_bench.runs.records import FAILED, SKIPPED
from movierec_bench.runs.seeds import split_run
from movierec_bench.schema import EpochRecord, PathLike
from movierec_bench.settings.catalog import ModelEntry, load_catalog, select
from movierec_bench.settings.protocol import Protocol, protocol_of
from movierec_bench.settings.recbole_package import recbole_folder
from movierec_bench.tracking.tracker import Tracking, open_tracking

if TYPE_CHECKING:  # torch takes seconds to import
    from movierec_bench.ranking.candidate_filters import Filters

logger = logging.getLogger(__name__)

_Runner = Callable[[list[Task]], Generator[tuple[Task, Any], None, None]]


@recorded
def run(  # noqa: D417  `recorded` hands over the command
    command: str,
    models: Union[str, Iterable[str]] = "all",
    dataset: Optional[str] = None,
    out: PathLike = "runs",
    budget: Optional[float] = None,
    timeout: Optional[float] = None,
    hours: Optional[float] = None,
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
    keep_models: bool = False,
    only_users: Optional[str] = None,
    device: Optional[str] = None,
    seeds: int = 1,
    split_seeds: int = 1,
) -> Board:
    """Train, rank, score, refit and submit models under one protocol; what is finished already is kept.

    Args:
        models: names and groups, comma-separated or a sequence; ``-Name`` leaves one out.
        dataset: a data set of ``atomic``; may be left out when there is only one.
        out: folder of the runs; this one goes to ``out/<dataset>``.
        budget: seconds of training a model gets, in each of its fits; the epoch in hand then breaks off and the
            best is kept. None: no limit.
        timeout: seconds a model gets in all, loading, ranking and the refit included; its process is then ended and
            the model has failed. None: no limit.
        hours: hours the whole command gets: cheap models come first, the others share what is left of it, each
            with a submission at its end; running again goes on with those that had no turn. None: no limit.
        workers: models trained at once; they share the processor's cores. None: one, or on a cluster as many as
            it has room for.
        ray: train on this Ray cluster: HOST:PORT of its head, or ``auto`` for the one this machine has joined.
            None: on this machine.
        filter: drop candidates: ``future``, ``future:YEARS``, ``unpopular:COUNT``, joined by commas.
        seed: seed of everything random in the models (the split has the protocol's own).
        no_refit: stop after the test ranking: no training on every row, no submission.
        fresh: delete what was made of the run and start anew; what `tune` made there stays.
        protocol: another protocol than protocol.yaml names: competition, random, last, ratio, halves, time,
            users or given.
        atomic: folder of the converted data sets.
        configs: a folder laid out like ``recbole_configs`` whose files win over the packaged ones.
        quiet: no progress bars, also on a terminal.
        tracking_uri: the MLflow server or database to track in. None: ``MLFLOW_TRACKING_URI``, or else
            ``out/mlflow.db``. One that is down costs no result; `track` uploads later.
        no_track: leave MLflow alone, as does the environment's ``MOVIEREC_BENCH_TRACK=0``.
        device: where PyTorch trains: cpu, cuda, cuda:N or mps. None: the first GPU that PyTorch sees, or else the
            processor; several ``workers`` on one GPU must be asked for by naming it.
        keep_models: store each refitted model too, for `recommend`, `load` and MLflow.
        only_users: train on these users' rows alone, and rank them: a file of users, or FILE:SEGMENT of one with
            segments. The models join the run as ``Model@FILE``, where everybody else counts as missing.
        seeds: how many seeds each model is trained with, from ``seed`` on. The further ones join the run as
            ``Model@seedN``; the board has mean, standard deviation and interval.
        split_seeds: how many draws of the split to run all of this under, from the protocol's seed on. Each further one
            is a run of its own in ``out/<dataset>@splitN``; the board has mean, standard deviation and interval.

    Returns:
        The board of the run folder, also written there as leaderboard.csv, .md and .html.

    Raises:
        ConfigError: an unknown model, flag value or YAML key; a device that is not there; another run is using the
            folder; no cluster answers, or one of its nodes has other versions than this machine.
        DataError: no such data set, or the folder holds a run of other data or another protocol.
    """
    from movierec_bench.ranking.candidate_filters import Filters

    entries = select(load_catalog(configs), models)
    filters = Filters.parse(filter)
    check_positive("--workers", workers)
    check_positive("--budget", budget)
    check_positive("--timeout", timeout)
    check_device(device, workers, on_cluster=ray is not None)
    recbole_folder()  # or every model would fail without it
    if keep_models and no_refit:
        raise ConfigError("--keep-models keeps the refitted model, and --no-refit makes none; leave one of them out")
    check_positive("--hours", hours)
    check_positive("--seeds", seeds)
    check_positive("--split-seeds", split_seeds)
    check_seed(seed, seeds)
    rules = protocol_of(configs, protocol)
    _check_drawn(rules, split_seeds)
    folder = find_dataset(atomic, dataset)
    run_folder = RunFolder(Path(out) / folder.name)
    asked = _Asked(
        entries=entries,
        dataset=folder,
        seeds=range(seed, seed + seeds),
        filters=filters,
        only_users=only_users,
        budget=budget,
        timeout=timeout,
        refit=not no_refit,
        keep_models=keep_models,
        fresh=fresh,
        device=device,
        workers=workers,
        on_ray=ray is not None,
        quiet=quiet,
        tracking_uri=tracking_uri,
        no_track=no_track,
        command=command,
    )
    now = time.time()
    with connected(ray) if ray is not None else nullcontext():
        boards = []
        for number in range(split_seeds):
            here, own_rules = _split(run_folder, rules, number)
            ends_at = None if hours is None else _share_end(now + 3600 * hours, split_seeds - number)
            if split_seeds > 1:
                logger.info("split %d of %d, seed %d, in %s", number + 1, split_seeds, own_rules.seed, here.path)
            with only_run(here):
                boards.append(_run_split(asked, here, own_rules, ends_at))
    return boards[0] if split_seeds == 1 else _over_splits(run_folder, boards)


@dataclass(frozen=True)
class _Asked:
    """What is asked for, the same in every split; each as `run` takes it unless it says otherwise.

    Attributes:
        entries: the catalogued models.
        dataset: the data set's folder.
        seeds: of everything random in the models; the first is the run's own.
        refit: whether to train on every row and submit.
        on_ray: whether to train on the Ray cluster that is connected.
    """

    entries: Sequence[ModelEntry]
    dataset: Path
    seeds: range
    filters: Filters
    only_users: Optional[str]
    budget: Optional[float]
    timeout: Optional[float]
    refit: bool
    keep_models: bool
    fresh: bool
    device: Optional[str]
    workers: Optional[int]
    on_ray: bool
    quiet: bool
    tracking_uri: Optional[str]
    no_track: bool
    command: str

    @property
    def memory_share(self) -> Optional[int]:
        """Bytes that each of several models may take that run at once on this machine; None: all there is."""
        several = not self.on_ray and self.workers is not None and self.workers > 1
        return free_bytes() // self.workers if several and self.workers else None


# -- splits -----------------------------------------------------------------------------------


def _check_drawn(rules: Protocol, split_seeds: int) -> None:
    """Raise ConfigError where several splits are asked for and every seed would give the same."""
    if split_seeds > 1 and not rules.is_drawn:
        raise ConfigError(
            f"--split-seeds {split_seeds}: the protocol {rules.name!r} draws nothing, so all splits would be the "
            "same; leave it out, or choose a protocol that draws, such as --protocol competition"
        )


def _split(run_folder: RunFolder, rules: Protocol, number: int) -> tuple[RunFolder, Protocol]:
    """The folder and the protocol of a split by its number; of number 0 those of the run itself."""
    own_rules = replace(rules, seed=rules.seed + number)
    return (split_run(run_folder, own_rules.seed) if number else run_folder), own_rules


def _share_end(ends_at: float, splits_left: int) -> float:
    """When a split is to end, seconds since 1970, so that all that are left get equal shares of the time."""
    now = time.time()
    return now + max(0.0, ends_at - now) / splits_left


def _over_splits(run_folder: RunFolder, boards: Sequence[Board]) -> Board:
    """The first split's board, written anew with what the others came to, whose failed models it tells of."""
    with only_run(run_folder):
        board = build_board(run_folder)
        _write_board(board, run_folder)
    first, *others = boards
    failed = {
        f"{model} of {Path(other.folder).name}": error
        for other in others
        for model, error in {**other.failed_models, **other.not_replaced}.items()
    }
    return replace(board, tracking=first.tracking, not_replaced={**first.not_replaced, **failed})


# -- running ----------------------------------------------------------------------------------


def _run_split(asked: _Asked, run_folder: RunFolder, rules: Protocol, ends_at: Optional[float]) -> Board:
    """The board of one split's run, whose folder the caller holds, after all that was due in it.

    Args:
        asked: what is asked for.
        run_folder: the run of this split.
        rules: the protocol, with this split's seed.
        ends_at: when it is to end, seconds since 1970; None: no limit.
    """
    jobs = _jobs(asked, run_folder, rules, ends_at)
    with open_tracking(run_folder, asked.tracking_uri, asked.no_track) as tracking:
        due = [job for job in jobs if is_due(job)]
        due = due if ends_at is None else in_turn(due, asked.workers or 1)
        for job in jobs:
            discard_staged(job)
        runner = _runner(asked.workers, asked.timeout, ends_at, asked.on_ray)
        try:
            failed = _run_jobs(run_folder, due, runner, asked.quiet, tracking)
        finally:
            for job in due:
                discard_unfinished(job)
        board = build_board(run_folder)
        _write_board(board, run_folder)
    return replace(board, tracking=tracking.line, not_replaced=failed)


def _jobs(asked: _Asked, run_folder: RunFolder, rules: Protocol, ends_at: Optional[float]) -> list[Job]:
    """A job for each model and seed, in a run that has been opened with data that were checked."""
    data = read_atomic(asked.dataset)
    check_protocol(data, rules)
    if asked.refit:
        check_unseen(data.interactions, data.vocabulary)
    group = None if asked.only_users is None else read_group(str(asked.only_users), data.vocabulary)
    manifest = open_run(run_folder, data, rules, asked.seeds[0], asked.fresh, asked.command)
    del data  # the models' processes read their own
    lacking = manifest.lacking.split(",")
    asked.filters.check_data(lacking, asked.dataset.name, "leave the filter out")
    memory_share = asked.memory_share
    return [
        make_job(
            entry.without(lacking),
            run_folder,
            asked.dataset,
            manifest,
            test_fit=rules.test_fit,
            seed=seed,
            budget=asked.budget,
            filters=str(asked.filters),
            refit=asked.refit,
            keep_model=asked.keep_models,
            device=asked.device,
            ends_at=ends_at,
            only=group,
            further_seed=seed != asked.seeds[0],
            memory_share=memory_share,
        )
        for seed in asked.seeds
        for entry in asked.entries
    ]


def _run_jobs(
    run_folder: RunFolder, jobs: list[Job], runner: _Runner, quiet: bool, tracking: Tracking
) -> dict[str, str]:
    """Run jobs and write the board after each, so that a morning after a crash finds all that was finished.

    Returns:
        Why each model failed whose earlier result stays on the board, by name.
    """
    tasks = [Task(job.entry.name, job, job.staged.log) for job in jobs if not job.entry.needs]
    phases: dict[str, str] = {}
    not_replaced: dict[str, str] = {}
    without_turn: list[str] = []
    too_large: dict[str, str] = {}
    redone = will_replace(jobs)
    if redone:
        logger.warning("%s", redone)
    with listener(len(jobs), quiet) as listening:
        for job in jobs:
            begin(job)
            if job.entry.needs:
                status = record_end(job, status_of(job, SKIPPED, f"needs {job.entry.needs}"))
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
                    if phases.get(task.name) == "fit":
                        tracking.epoch(task.name, message)
                elif isinstance(message, DoesNotFit):
                    too_large[task.name] = message.reason
                elif isinstance(message, NotStarted):
                    without_turn.append(task.name)
                elif isinstance(message, Ended):
                    if message.error is None and task.name in too_large:
                        status = record_end(task.argument, status_of(task.argument, SKIPPED, too_large[task.name]))
                    else:
                        status = settle(task.argument, phases.get(task.name, "start"), message.error)
                    if status.state == FAILED and task.argument.folder.finished():
                        not_replaced[task.name] = str(status.error)
                    listening.finished(status)
                    tracking.finished(task.name)
                    _write_board(build_board(run_folder), run_folder)
    if without_turn:
        logger.warning("--hours was over before %s; running again goes on from there", ", ".join(without_turn))
    return not_replaced


def _write_board(board: Board, run_folder: RunFolder) -> None:
    """Write the board; one that cannot be written costs no result, and `leaderboard` shows it all the same."""
    try:
        board.write(run_folder)
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s); expected a file that no other program holds open, and room; the results are "
            "stored, and running again writes it",
            run_folder.leaderboard("csv"),
            error.strerror,
        )


def _runner(workers: Optional[int], timeout: Optional[float], until: Optional[float], on_ray: bool) -> _Runner:
    """What runs the tasks: this machine's processes, or the cluster's."""
    if on_ray:
        return partial(run_tasks_on_ray, work=bench_model, workers=workers, timeout=timeout, until=until)
    workers = workers or 1
    threads = max(1, usable_cpus() // workers)
    return partial(run_tasks, work=bench_model, workers=workers, threads=threads, timeout=timeout, until=until)
