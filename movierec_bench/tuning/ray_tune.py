"""Runs the trials of a search on Ray Tune; the only place that knows Ray Tune."""

from __future__ import annotations

import logging
import math
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Callable, Optional

import pandas as pd
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.environment import restored_environment
from movierec_bench.execution.processes import limit_threads
from movierec_bench.execution.scratch import scratch_folder, sweep_scratch
from movierec_bench.runs.files import write_text
from movierec_bench.runs.records import BUDGET, DONE, FAILED
from movierec_bench.runs.trials import DEFAULT, STOPPED, Trial, TrialFolder
from movierec_bench.schema import USER, EpochRecord
from movierec_bench.settings.catalog import ModelEntry

GRACE_EPOCHS = 5  # epochs every trial gets
REDUCTION = 3  # of the trials that come so far, one in three goes on; at 5, 15, 45, ... epochs

# Ray Tune's own files and signal handling, which have no other switch. Ctrl-C is to raise KeyboardInterrupt.
_RAY_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

# Ray 2.6 is what Python 3.10 and 3.11 get by plain pip. Later ones copy no trial's files elsewhere unless told to.
if tuple(map(int, ray.__version__.split(".")[:2])) < (2, 7):
    from ray.air.session import report

    _STAY_HERE: dict[str, Any] = {"sync_config": tune.SyncConfig(syncer=None), "chdir_to_trial_dir": False}
else:
    from ray.tune import report

    _STAY_HERE = {}


RayTrial = Any  # Ray Tune's own record of a trial, which runs one `Trial` of ours; Ray hands it on as ``trial``


@dataclass(frozen=True)
class SearchRows:
    """What trials train on and are measured on. The test rows are in none of it.

    Attributes:
        data: the data set's movies, triples and vocabulary; its table of interactions is empty.
        train: the training rows.
        valid: the validation rows: user, item, time.
        seen: the rows that are read when the validation is ranked.
    """

    data: AtomicData
    train: Interactions
    valid: pd.DataFrame
    seen: Interactions

    @classmethod
    def of(cls, data: AtomicData, train: pd.DataFrame, valid: pd.DataFrame, known: pd.DataFrame) -> SearchRows:
        """From a data set, of which every row but the given ones is left out.

        Args:
            data: the data set.
            train: the training rows.
            valid: the validation rows.
            known: the training rows, and those shown of users held out whole.
        """
        bare = replace(data, interactions=data.interactions.iloc[:0].copy())
        fitted = Interactions.from_rows(train, data.vocabulary)
        if len(known) == len(train):
            return cls(bare, fitted, valid, fitted)
        told = known[USER].isin(train[USER]) | known[USER].isin(valid[USER])  # nothing of the test's users
        return cls(bare, fitted, valid, Interactions.from_rows(known[told], data.vocabulary))


@dataclass(frozen=True)
class Resources:
    """What one trial asks of Ray."""

    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of numerical libraries."""
        return max(1, int(self.cpus))


@dataclass(frozen=True)
class _Told:
    """What every trial of one model is told."""

    entry: ModelEntry
    rows: Any  # ray.ObjectRef of SearchRows: a reference, so that the object store holds them once for all models
    seed: int
    budget: Optional[float]
    threads: int
    device: Optional[str]


def run_trials(
    entry: ModelEntry,
    wanted: Sequence[Trial],
    finished: Sequence[Trial],
    rows: Any,
    folder: TrialFolder,
    resources: Resources,
    workers: Optional[int],
    retries: int,
    seed: int,
    budget: Optional[float],
    device: Optional[str],
    on_trial: Callable[[Trial], None],
    on_epoch: Callable[[Trial, EpochRecord], None],
) -> None:
    """Run trials of one model; each is handed on as soon as it is over, whatever becomes of the others.

    Args:
        entry: the model with its default parameters.
        wanted: the trials to run, of which number, parameters and fingerprint are read.
        finished: trials of an earlier call, against which the new ones are measured for stopping early.
        rows: reference to the `SearchRows` in the object store.
        folder: receives the tracebacks of failed trials.
        resources: what one trial asks for.
        workers: trials at once; None: as many as there is room for.
        retries: times that a trial starts again, elsewhere if need be, after its process or its machine died.
        seed: seed of everything random in the model, the same for every trial.
        budget: seconds of training a trial gets; None: no limit.
        device: where PyTorch puts the model; see `build_config`.
        on_trial: called in this process with every trial that is over.
        on_epoch: called in this process with a trial that is not over, as it was wanted, and an epoch that it ended.
    """
    told = _Told(entry, rows, seed, budget, resources.threads, device)
    scheduler = _Scheduler(most_epochs=int(entry.parameters.get("epochs", GRACE_EPOCHS)))
    for trial in finished:
        scheduler.remember(trial)
    sweep_scratch()
    recorder = _Recorder({trial.number: trial for trial in wanted}, folder, on_trial, on_epoch)
    with _ray_settings(), scratch_folder() as scratch:
        tune.run(
            tune.with_parameters(_train, told=told),
            config={
                "trial": tune.grid_search(
                    [{"number": trial.number, "parameters": dict(trial.parameters)} for trial in wanted]
                )
            },
            name=entry.name,
            storage_path=str(scratch),
            resources_per_trial={"cpu": resources.cpus, "gpu": resources.gpus},
            scheduler=scheduler,
            callbacks=[recorder],
            max_concurrent_trials=workers,
            reuse_actors=True,  # a fresh process would import torch for every trial
            max_failures=retries,
            raise_on_failed_trial=False,
            verbose=0,
            **_STAY_HERE,
        )


# -- in a trial's process ---------------------------------------------------------------------


def _train(config: Mapping[str, Any], told: _Told) -> None:
    """One trial: fit, and report Recall@10 on the validation rows after every epoch."""
    from movierec_bench.evaluation.validation import validator
    from movierec_bench.training.trainer import FitSettings, fit

    limit_threads(told.threads)
    rows: SearchRows = ray.get(told.rows)
    best = math.nan

    def on_epoch(record: EpochRecord) -> None:
        nonlocal best
        best = _best(best, record.valid_recall)
        report({"epoch": record.epoch, "recall": best, "record": asdict(record)})

    try:
        entry = told.entry.with_parameters(config["trial"]["parameters"])
        validate = validator(rows.valid, rows.seen, rows.data)
        with scratch_folder() as scratch:
            settings = FitSettings(seed=told.seed, scratch=scratch, budget=told.budget, device=told.device)
            fitted = fit(entry, rows.data, rows.train, settings, validate, on_epoch)
            if entry.trainer == "closed_form":
                best = validate(fitted)
        state = BUDGET if fitted.out_of_budget else DONE
        end = {"state": state, "error": None, "traceback": None}
    except Exception as error:  # whatever a configuration does wrong is its trial's error; the traceback goes along
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        end = {"state": FAILED, "error": reason, "traceback": traceback.format_exc()}
    report({"epoch": 0, "recall": best, "end": end})


def _best(best: float, recall: float) -> float:
    return recall if math.isnan(best) or recall > best else best


# -- in the process that searches -------------------------------------------------------------


class _Scheduler(ASHAScheduler):
    """Asynchronous successive halving that lets the default parameters train to their end.

    Source:
        Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
    """

    def __init__(self, most_epochs: int) -> None:
        super().__init__(
            time_attr="epoch",
            metric="recall",
            mode="max",
            max_t=max(most_epochs, GRACE_EPOCHS),
            grace_period=GRACE_EPOCHS,
            reduction_factor=REDUCTION,
            stop_last_trials=False,
        )

    def on_trial_result(self, trial_runner: Any, trial: RayTrial, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(trial_runner, trial, result)
        must_go_on = "end" in result or trial.config["trial"]["number"] == DEFAULT
        return TrialScheduler.CONTINUE if must_go_on else decision

    def remember(self, trial: Trial) -> None:
        """Measure later trials against this one, too."""
        runner: Any = None  # which the scheduler does not ask anything
        stand_in: Any = SimpleNamespace(trial_id=trial.fingerprint)
        super().on_trial_add(runner, stand_in)
        best = math.nan
        for record in trial.epochs:
            best = _best(best, record.valid_recall)
            super().on_trial_result(runner, stand_in, {"epoch": record.epoch, "recall": best})


@dataclass
class _Running:
    started: float
    epochs: list[EpochRecord] = field(default_factory=list)
    recall: float = math.nan
    end: Optional[Mapping[str, Any]] = None


class _Recorder(tune.Callback):
    """Writes down what Ray Tune tells of its own trials as `Trial` records, one each."""

    def __init__(
        self,
        wanted: Mapping[int, Trial],
        folder: TrialFolder,
        on_trial: Callable[[Trial], None],
        on_epoch: Callable[[Trial, EpochRecord], None],
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._on_trial = on_trial
        self._on_epoch = on_epoch
        self._running: dict[int, _Running] = {}

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self._running[_number(trial)] = _Running(time.perf_counter())
        self._folder.log(_number(trial)).unlink(missing_ok=True)

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        running = self._running[_number(trial)]
        running.recall = result["recall"]
        running.end = result.get("end")
        if "record" in result:
            running.epochs.append(EpochRecord(**result["record"]))
            self._on_epoch(self._wanted[_number(trial)], running.epochs[-1])

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        running = self._running[_number(trial)]
        if running.end is None:
            self._over(trial, STOPPED)
            return
        if running.end["traceback"] is not None:
            write_text(self._folder.log(_number(trial)), running.end["traceback"])
        self._over(trial, running.end["state"], running.end["error"])

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self._over(trial, FAILED, "its process ended before the trial did (out of memory, killed, or its machine died)")

    def _over(self, trial: RayTrial, state: str, error: Optional[str] = None) -> None:
        running = self._running.pop(_number(trial), _Running(time.perf_counter()))
        self._on_trial(
            replace(
                self._wanted[_number(trial)],
                state=state,
                recall=running.recall,
                seconds=time.perf_counter() - running.started,
                error=error,
                epochs=tuple(running.epochs),
            )
        )


def _number(trial: RayTrial) -> int:
    """The number of the `Trial` that Ray's trial runs."""
    return int(trial.config["trial"]["number"])


@contextmanager
def _ray_settings() -> Iterator[None]:
    """Ray Tune's environment variables for the block, and its chatter off: the trials' records say the same."""
    chatter = logging.getLogger("ray.tune")
    level = chatter.level
    with restored_environment(*_RAY_SETTINGS):
        os.environ.update(_RAY_SETTINGS)
        chatter.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            chatter.setLevel(level)
