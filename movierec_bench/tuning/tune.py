"""Searches for better parameters on the validation rows, and writes them as a YAML that `run` takes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.split import read_known, read_part
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.execution.devices import check_device, every_gpu_visible
from movierec_bench.execution.processes import usable_cpus
from movierec_bench.execution.ray_cluster import connected, has_room, in_words
from movierec_bench.notebook import in_notebook, table_html, text_html
from movierec_bench.progress_bars import bars, watched
from movierec_bench.runs.command import check_positive, command_line, recorded
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset, only_run, open_run
from movierec_bench.runs.records import BUDGET, FAILED
from movierec_bench.runs.trials import DEFAULT, STOPPED, Trial, TrialFolder, best_config, best_trial, trial_label
from movierec_bench.schema import MAIN_METRIC, PathLike
from movierec_bench.settings.catalog import ModelEntry, load_catalog, select
from movierec_bench.settings.protocol import Protocol, protocol_of
from movierec_bench.settings.recbole_package import recbole_folder
from movierec_bench.settings.yaml_files import ConfigFolders
from movierec_bench.tracking.tracker import Tracking, open_tracking
from movierec_bench.tuning.best_yaml import write_best
from movierec_bench.tuning.space import load_space

logger = logging.getLogger(__name__)

_NODES_LOST = 3  # machines of a cluster that may die under one trial before it counts as failed


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    Attributes:
        folder: ``out/<dataset>``.
        models: one record a model, in catalogue order.
        command: the command that runs the models with what was found.
        tracking: one line that says where the search is tracked, or why not; None where it is not.
    """

    folder: Path
    models: Sequence[ModelTuning]
    command: str
    tracking: Optional[str] = None

    @property
    def configs(self) -> Path:
        """A folder laid out like recbole_configs that holds the best parameters: what ``run --configs`` takes."""
        return self.folder / "configs"

    @property
    def failed(self) -> list[str]:
        """Models of which every trial failed."""
        return [model.model for model in self.models if model.best is None]

    def to_frame(self) -> pd.DataFrame:
        """One row a model: default's and best's validation Recall@10, trials in all, stopped early and failed."""
        return pd.DataFrame(
            [
                {
                    "model": model.model,
                    "default": model.default.recall,
                    "best": float("nan") if model.best is None else model.best.recall,
                    "best_trial": None if model.best is None else model.best.number,
                    "trials": len(model.trials),
                    STOPPED: model.count(STOPPED),
                    FAILED: model.count(FAILED),
                    "seconds": sum(trial.seconds for trial in model.trials),
                    "config": None if model.config is None else str(model.config),
                }
                for model in self.models
            ]
        )

    def _repr_html_(self) -> str:
        return f"{table_html(self.to_rich())}{text_html(f'next: {self.command}')}"

    def to_rich(self) -> Table:
        """The same as a table for a terminal."""
        table = Table(title=f"{MAIN_METRIC} on the validation rows", title_justify="left")
        for column in ("model", "default", "best", "trials", STOPPED, FAILED, "seconds"):
            table.add_column(column, justify="left" if column == "model" else "right")
        table.add_column("best parameters", overflow="fold")
        for model in self.models:
            best = model.best
            table.add_row(
                model.model,
                _metric(model.default),
                _metric(best),
                str(len(model.trials)),
                str(model.count(STOPPED)),
                str(model.count(FAILED)),
                f"{sum(trial.seconds for trial in model.trials):.0f}",
                _finding(model, best),
            )
        return table


@recorded
def tune(  # noqa: D417  `recorded` hands over the command
    command: str,
    models: Union[str, Iterable[str]],
    dataset: Optional[str] = None,
    samples: int = 20,
    out: PathLike = "tuned",
    budget: Optional[float] = None,
    workers: Optional[int] = None,
    ray: Optional[str] = None,
    seed: int = 42,
    protocol: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    configs: Optional[PathLike] = None,
    fresh: bool = False,
    quiet: bool = False,
    tracking_uri: Optional[str] = None,
    no_track: bool = False,
    device: Optional[str] = None,
) -> Tuned:
    """Search parameters with Ray Tune: the default ones and ``samples`` others, measured on the validation rows.

    Trials that are behind others after as many epochs are stopped early; the default parameters never are. A trial
    that is over is kept, so that the same call goes on where a killed one ended; failed trials are tried again.
    The test rows are not read.

    Args:
        models: names and groups, comma-separated or a sequence; each must have a ``recbole_configs/tune/<Model>.yaml``.
        dataset: a data set of ``atomic``; may be left out when there is only one.
        samples: configurations tried besides the default one.
        out: folder of the searches; this one goes to ``out/<dataset>``.
        budget: seconds of training a trial gets; the epoch in hand then breaks off. None: no limit.
        workers: trials at once. None: one on this machine, which then has all its cores; on a cluster as many as fit.
        ray: address of a Ray cluster, ``HOST:PORT`` or ``auto``; a trial asks it for the ``resources`` of the model's
            YAML, and starts again elsewhere when its machine dies. None: this machine.
        seed: of the configurations that are tried and of everything random in the models.
        protocol: another protocol than protocol.yaml names: competition, random, last, ratio, halves.
        atomic: folder of the converted data sets.
        configs: a folder laid out like ``recbole_configs`` whose files win over the packaged ones.
        device: where PyTorch trains: cpu, cuda, cuda:N or mps. None: the first GPU that PyTorch sees, or else the
            processor; several ``workers`` on one GPU must be asked for by naming it.
        fresh: forget the earlier trials of these models.
        quiet: no progress bars, also on a terminal.
        tracking_uri: the MLflow server or database to track in. None: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db``
            in ``out``.
        no_track: leave MLflow alone, as does ``MOVIEREC_BENCH_TRACK=0``.

    Returns:
        One record a model; ``out/<dataset>/configs`` holds the best parameters of each.

    Raises:
        ConfigError: an unknown model, flag value, device or YAML key; a model that has no search space; a cluster that
            cannot be reached or has no room for a trial; or another search is using the folder.
        DataError: no such data set, or the folder holds trials on other data or under another protocol.
    """
    folders = ConfigFolders(configs)
    entries = _tunable(select(load_catalog(configs), models))
    for flag, value in (("--samples", samples), ("--budget", budget), ("--workers", workers)):
        check_positive(flag, value)
    spaces = {entry.name: load_space(entry, folders) for entry in entries}
    check_device(device, workers, on_cluster=ray is not None)
    recbole_folder()  # or every model would fail without it
    rules = protocol_of(configs, protocol)
    source = find_dataset(atomic, dataset)
    folder = RunFolder(Path(out) / source.name)
    with only_run(folder):
        _open(folder, source, rules, seed, fresh, command)
        lacking = folder.read_manifest().lacking.split(",")
        entries = _tunable([entry.without(lacking) for entry in entries])
        searches = []
        for entry in entries:
            trial_folder = TrialFolder.of(folder, entry.name)
            if fresh:
                trial_folder.clear()
            trial_folder.path.mkdir(parents=True, exist_ok=True)
            drawn = spaces[entry.name].draw(samples, seed, besides=entry.parameters)
            default = {name: entry.parameters[name] for name in spaces[entry.name].domains}
            searches.append(_Search(entry, [default, *drawn], trial_folder, seed, budget))
        with open_tracking(folder, tracking_uri, no_track) as tracking:
            _run_searches(searches, source, folder, workers, ray, device, quiet, tracking)
            found = [_write(search, folder, folders, command) for search in searches]
    again: dict[str, Any] = {
        "models": [model.model for model in found if model.config],
        "dataset": source.name,
        "configs": str(folder.path / "configs"),
        "protocol": protocol,
        "atomic": None if Path(atomic) == Path("atomic_data") else str(atomic),
    }
    return Tuned(folder.path, found, command_line("run", again), tracking.line)


class _Search:
    """The trials of one model: those that are over, and those to come.

    Args:
        entry: the model with its default parameters.
        configurations: what to try, the default parameters first.
        folder: where the trials are kept.
        seed: see `tune`.
        budget: see `tune`.
    """

    def __init__(
        self,
        entry: ModelEntry,
        configurations: Sequence[dict[str, Any]],
        folder: TrialFolder,
        seed: int,
        budget: Optional[float],
    ) -> None:
        self.entry, self.folder, self.seed, self.budget = entry, folder, seed, budget
        wanted = [
            Trial(number, "", values, self._hash(values), budget=budget) for number, values in enumerate(configurations)
        ]
        numbers = {trial.fingerprint: trial.number for trial in wanted}
        # A larger or other search of the same model left these; they count, with the numbers after the wanted ones.
        kept = [trial for trial in folder.read() if self._stands(trial)]
        extra = [trial.fingerprint for trial in kept if trial.fingerprint not in numbers]
        numbers.update({fingerprint: len(wanted) + place for place, fingerprint in enumerate(extra)})
        self.total = len(numbers)
        self.over = {trial.fingerprint: replace(trial, number=numbers[trial.fingerprint]) for trial in kept}
        self.missing = [trial for trial in wanted if trial.fingerprint not in self.over]

    @property
    def trials(self) -> list[Trial]:
        """Those that are over, by number."""
        return sorted(self.over.values(), key=lambda trial: trial.number)

    def add(self, trial: Trial) -> None:
        """Keep a trial that is over."""
        self.folder.write(trial)
        self.over[trial.fingerprint] = trial
        self.folder.write_tables(self.trials)

    def _hash(self, values: dict[str, Any]) -> str:
        depends_on = [self.entry.with_parameters(values).fingerprint(), self.seed]
        return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]

    def _stands(self, trial: Trial) -> bool:
        if trial.state == FAILED or (trial.state == BUDGET and trial.budget != self.budget):
            return False  # it may succeed now, or come further
        values = dict(trial.parameters)
        return set(values) <= set(self.entry.parameters) and self._hash(values) == trial.fingerprint


def _tunable(entries: Sequence[ModelEntry]) -> Sequence[ModelEntry]:
    for entry in entries:
        if entry.needs:
            raise ConfigError(f"{entry.name} cannot run here: needs {entry.needs}; leave it out with -{entry.name}")
    return entries


def _open(folder: RunFolder, source: Path, rules: Protocol, seed: int, fresh: bool, command: str) -> None:
    """The folder with its split; trials on other data or under another protocol go only where that was asked for."""
    data = read_atomic(source)
    try:
        open_run(folder, data, rules, seed, fresh=False, command=command)
    except DataError:
        if not fresh:
            raise
        open_run(folder, data, rules, seed, fresh=True, command=command)


def _run_searches(
    searches: Sequence[_Search],
    source: Path,
    folder: RunFolder,
    workers: Optional[int],
    address: Optional[str],
    device: Optional[str],
    quiet: bool,
    tracking: Tracking,
) -> None:
    """Run what is missing of every search, model by model."""
    if not any(search.missing for search in searches):
        return
    data = read_atomic(source)
    train, valid = (read_part(folder.split, name) for name in ("train", "valid"))
    at_once = workers if workers is not None or address is not None else 1
    sight = every_gpu_visible() if address is None and device is not None else nullcontext()
    with sight, connected(address, cpus=usable_cpus()):
        import ray

        from movierec_bench.tuning.ray_tune import SearchRows, run_trials

        shared = ray.put(
            SearchRows.of(data, train, valid, read_known(folder.split))
        )  # once, for all trials of all models
        for search in searches:
            if search.missing:
                with _Progress(search, quiet, tracking) as progress:
                    run_trials(
                        entry=search.entry,
                        wanted=search.missing,
                        finished=search.trials,
                        rows=shared,
                        folder=search.folder,
                        resources=_resources(search.entry, at_once, address, device),
                        workers=at_once,
                        retries=0 if address is None else _NODES_LOST,
                        seed=search.seed,
                        budget=search.budget,
                        device=device,
                        on_trial=progress.over,
                    )


def _resources(entry: ModelEntry, workers: Optional[int], address: Optional[str], device: Optional[str]) -> Any:
    """What a trial asks for: the YAML's resources on a cluster, an equal share of this machine without one."""
    import ray

    from movierec_bench.tuning.ray_tune import Resources

    if address is None:
        there, share = ray.cluster_resources(), workers or 1
        gpus = min(1, there.get("GPU", 0) / share) if entry.trainer == "epochs" and device is None else 0
        return Resources(max(1, there["CPU"] // share), gpus)
    if not has_room(entry.resources):
        raise ConfigError(
            f"{entry.path}: a trial of {entry.name} asks for {in_words(entry.resources)} on one machine, and no "
            f"machine of the cluster at {address} has as much; add one, or lower 'catalog.resources'"
        )
    return Resources(entry.resources["cpu"], entry.resources["gpu"])


def _write(search: _Search, folder: RunFolder, folders: ConfigFolders, command: str) -> ModelTuning:
    """The record of a search, with its tables and the YAML of its best trial on disk."""
    search.folder.write_tables(search.trials)
    path = best_config(folder, search.entry.name)
    best = best_trial(search.trials)
    if best is None:
        path.unlink(missing_ok=True)
        return ModelTuning(search.entry.name, search.trials, None, search.folder.path)
    manifest, default = folder.read_manifest(), next(trial for trial in search.trials if trial.number == DEFAULT)
    notes = [
        f"Tuned on the validation rows of {manifest.dataset}, protocol {manifest.protocol}, "
        f"with {len(search.trials)} trials:",
        f"{MAIN_METRIC} {_metric(best)}, default parameters {_metric(default)}; every trial is in {search.folder.path}",
        f"{command}",
    ]
    if best.number == DEFAULT:
        notes.insert(1, "none was better than the default parameters, and these are they.")
    write_best(path, search.entry, best, notes, folders)
    return ModelTuning(search.entry.name, search.trials, path, search.folder.path)


class _Progress(AbstractContextManager["_Progress"]):
    """Keeps each trial as it ends, has it tracked, and says how it went, above a bar or in the log."""

    def __init__(self, search: _Search, quiet: bool, tracking: Tracking) -> None:
        self._search, self._tracking = search, tracking
        self._watched = watched(quiet)
        self._level = logging.DEBUG if in_notebook() else logging.INFO
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = bars(*columns, *times, quiet=quiet)
        self._task = self._bar.add_task(search.entry.name, total=search.total, completed=len(search.over))

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def over(self, trial: Trial) -> None:
        """A trial is over."""
        self._search.add(trial)
        label = trial_label(self._search.entry.name, trial.number)
        self._tracking.finished(label)
        best = best_trial(self._search.trials)
        said = trial.error if trial.state == FAILED else f"{MAIN_METRIC} {_metric(trial)}, best {_metric(best)}"
        line = (
            f"[{len(self._search.over)}/{self._search.total}] {label} {trial.state}: {said}, "
            f"{trial.seconds:.1f} s; {_values(trial)}"
        )
        if self._watched:
            self._bar.say(line)
            self._bar.advance(self._task)
        else:
            logger.log(self._level, "%s", line)


def _finding(model: ModelTuning, best: Optional[Trial]) -> str:
    if best is None:
        return f"every trial failed; see {model.folder}"
    return "the default ones" if best.number == DEFAULT else _values(best)


def _values(trial: Trial) -> str:
    return ", ".join(f"{name} {value}" for name, value in trial.parameters.items())


def _metric(trial: Optional[Trial]) -> str:
    return "-" if trial is None or trial.recall != trial.recall else f"{trial.recall:.4f}"


@dataclass(frozen=True)
class ModelTuning:
    """How the search for one model's parameters ended.

    Attributes:
        model: the model's name.
        trials: every trial, by number; the first has the default parameters.
        config: the YAML with the best parameters; None where every trial failed.
        folder: holds trials.csv, epochs.csv and the tracebacks of failed trials.
    """

    model: str
    trials: Sequence[Trial]
    config: Optional[Path]
    folder: Path

    @property
    def default(self) -> Trial:
        """The trial with the default parameters."""
        return next(trial for trial in self.trials if trial.number == DEFAULT)

    @property
    def best(self) -> Optional[Trial]:
        """See `best_trial`."""
        return best_trial(self.trials)

    def count(self, state: str) -> int:
        """Trials of that state, one of ``TRIAL_STATES``."""
        return sum(trial.state == state for trial in self.trials)
