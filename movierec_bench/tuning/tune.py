"""Searches for better parameters on the validation rows, and writes them as a YAML that `run` takes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Optional, Union

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.split import read_known, read_part
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.execution.devices import check_device, every_gpu_visible
from movierec_bench.execution.processes import usable_cpus
from movierec_bench.execution.ray_cluster import connected, has_room, in_words
from movierec_bench.runs.command import check_positive, check_seed, command_line, recorded
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset, only_run, open_run
from movierec_bench.runs.trials import DEFAULT, TrialFolder, best_config, best_trial
from movierec_bench.schema import MAIN_METRIC, PathLike
from movierec_bench.settings.catalog import ModelEntry, load_catalog, select
from movierec_bench.settings.protocol import Protocol, protocol_of
from movierec_bench.settings.recbole_package import recbole_folder
from movierec_bench.settings.yaml_files import ConfigFolders
from movierec_bench.tracking.tracker import Tracking, open_tracking
from movierec_bench.tuning.best_yaml import write_best
from movierec_bench.tuning.search import Search, SearchProgress
from movierec_bench.tuning.space import load_space
from movierec_bench.tuning.tuned import ModelTuning, Tuned, metric_text

logger = logging.getLogger(__name__)

_NODES_LOST = 3  # machines of a cluster that may die under one trial before it counts as failed


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
        fresh: forget the earlier trials of these models; of all models where they are on other data or under another
            protocol.
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
    check_seed(seed)
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
            searches.append(Search(entry, [default, *drawn], trial_folder, seed, budget))
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
        if folder.models() or folder.ensembles():
            raise ConfigError(
                f"{folder.path} holds results of `run` on other data or under another protocol, which --fresh would "
                "delete; expected a folder of searches alone, or none; give another folder as --out"
            ) from None
        logger.warning(
            "%s holds searches on other data or under another protocol, which are deleted: %s",
            folder.path,
            ", ".join(folder.searched_models()),
        )
        open_run(folder, data, rules, seed, fresh=True, command=command, forget_searches=True)


def _run_searches(
    searches: Sequence[Search],
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
                with SearchProgress(search, quiet, tracking) as progress:
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
                        on_epoch=progress.epoch,
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


def _write(search: Search, folder: RunFolder, folders: ConfigFolders, command: str) -> ModelTuning:
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
        f"{MAIN_METRIC} {metric_text(best)}, default parameters {metric_text(default)}; "
        f"every trial is in {search.folder.path}",
        f"{command}",
    ]
    if best.number == DEFAULT:
        notes.insert(1, "none was better than the default parameters, and these are they.")
    write_best(path, search.entry, best, notes, folders)
    return ModelTuning(search.entry.name, search.trials, path, search.folder.path)
