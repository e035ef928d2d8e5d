"""Mixes of a run's models: chosen on validation rows, scored on test rows, submitted from the refits."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

from movierec_bench.data.atomic import AtomicData
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.asked import Named, Numbers, check_options, firsts_of, pairs, weights_of
from movierec_bench.mixing.choose import Choice, choose
from movierec_bench.mixing.files import FILE_METHODS, FileMix, FileOptions, file_names, mix_files
from movierec_bench.mixing.making import Maker
from movierec_bench.mixing.members import check_members, find_members, with_refits
from movierec_bench.mixing.mix import Mix, SplitGain
from movierec_bench.mixing.recipe import AUTO, CONCAT, METHODS, Recipe, check_choice
from movierec_bench.mixing.rules import LINEAR, RRF
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.user_segments import best_on_validation, read_data
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.records import RunManifest
from movierec_bench.runs.seeds import split_runs
from movierec_bench.schema import MAIN_METRIC, PathLike
from movierec_bench.tracking.tracker import open_tracking

logger = logging.getLogger(__name__)


def ensemble(
    run: Optional[PathLike] = None,
    method: Optional[str] = None,
    models: Optional[Union[str, Sequence[str]]] = None,
    name: Optional[str] = None,
    weights: Optional[Union[Numbers, Named]] = None,
    rule: Optional[str] = None,
    depth: Optional[int] = None,
    rrf_k: Optional[float] = None,
    firsts: Optional[Union[int, Numbers]] = None,
    by: Optional[str] = None,
    routes: Optional[Named] = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    folds: Optional[int] = None,
    steps: Optional[int] = None,
    seed: Optional[int] = None,
    recipe: Optional[PathLike] = None,
    atomic: Optional[PathLike] = None,
    configs: Optional[PathLike] = None,
    tracking_uri: Optional[str] = None,
    no_track: bool = False,
    learner: Optional[str] = None,
    strength: Optional[float] = None,
    files: Optional[Union[str, Sequence[PathLike]]] = None,
    out: Optional[PathLike] = None,
) -> Union[Mix, FileMix]:
    """Mix stored rankings of a run's models, without training; the mix joins the run and its board.

    Everything that is chosen is chosen on validation rows; the test rows are read once the recipe is fixed. Where
    the run has several splits (``run --split-seeds``), the same is searched for and mixed in each of them. With
    ``files``, submissions from anywhere are mixed instead, into one more submission.

    Args:
        run: a run's folder, such as ``runs/ml-100k``. With ``files`` it may be left out.
        method: ``vote``, ``linear``, ``tail``, ``log2``, ``rrf``, ``zscore``, ``minmax``: that rule (see
            docs/how-to/mix.md); ``concat``: the first movies of one model, then of the next; ``route``: each
            segment's users get one model's ranking; ``stack``: a learner fitted on validation rows, over ranks, scores,
            agreement, popularity and tastes; ``fit``, ``greedy``: weights found on validation rows, by
            coordinate ascent or forward selection; ``auto``: members, weights and rule, or a stack, found there in
            folds and shrunk towards the best single model by as much as the gain might be luck. None: auto.
        models: names and groups, as in ``run``; mixes of the run by name, too. None: every finished model.
        name: name of the mix; an earlier mix of that name is replaced. None: the method.
        weights: one a model, in the order of the models, or ``Model=weight``. None: 1 each.
        rule: the rule that ``fit`` and ``greedy`` find weights for, and by which ``files`` are mixed. None: linear.
        depth: ranks that count. None: what suits the rule, such as 20 for linear.
        rrf_k: the constant of ``rrf``. None: 60.
        firsts: for ``concat``, how many movies each model gives before the next one's turn; models without
            a number fill what is left. None: equal shares of ten.
        by: for ``route``, the kind of segments: length, span, age, focus, good; or a file of users, as in
            `leaderboard`. None: length.
        routes: for ``route``, ``segment=Model``; the best of the models on validation serves all other users.
            None: each segment's winner on validation rows, where it beats that best one out of fold.
        judges: for ``route`` by ``good``, the models that tell good users from bad. None: the best four.
        folds: for ``auto``, ``fit`` and ``greedy``, folds of the users. None: 5.
        steps: for ``auto`` and ``greedy``, the most models to add. None: 20.
        seed: seed of the folds and of the draw of users. None: the run's.
        recipe: a ``params.yaml`` of a mix of this run: make that mix again, byte for byte.
        atomic: folder that holds the data set's folder. None: the run's own.
        configs: a user's own configuration folder, whose models may name groups.
        tracking_uri: the MLflow server or database to track in, as in ``run``.
        no_track: leave MLflow alone, as in ``run``.
        learner: for ``stack``: logistic or lambdamart. None: logistic.
        strength: for ``stack`` by the logistic learner, the inverse of its L2 penalty. None: 0.01.
        files: submissions to mix, comma-separated or a sequence: CSV files ``user,item``, ten rows a user, from other
            runs, other programs, other people. By a rule that reads ranks, or ``concat``; checked like our own.
        out: with ``files``, the file to write. None: among the run's submissions, or ``<name>.csv``.

    Returns:
        The finished mix: a Mix, or with ``files`` a FileMix.

    Raises:
        ConfigError: an unknown method, model or setting, one that means nothing here, or unfinished members.
        DataError: no run there, other data than the run's, or a damaged file.
    """
    options = _given(
        weights=weights,
        rule=rule,
        depth=depth,
        rrf_k=rrf_k,
        firsts=firsts,
        by=by,
        routes=routes,
        judges=judges,
        folds=folds,
        steps=steps,
        seed=seed,
        learner=learner,
        strength=strength,
    )
    if files is not None:
        _check_no_others(models=models, recipe=recipe, configs=configs, tracking_uri=tracking_uri)
        return mix_files(files, _file_options(files, method, options), run, name, out, atomic)
    if run is None or out is not None:
        raise ConfigError(
            "no run was given; expected a run's folder, such as runs/ml-100k, or submissions with --files A.csv,B.csv"
            if run is None
            else "--out says where a mix of files goes; give submissions with --files A.csv,B.csv, or leave it out"
        )
    folder = RunFolder(Path(run))
    asked = _Asked(method, models, name, options, recipe, atomic, configs)
    made = _made(folder, asked, tracking_uri, no_track)
    others = [] if recipe is not None else split_runs(folder)
    if not others:
        return made
    gains = [_split_gain(folder, made)]
    for other in others:
        try:
            gains.append(_split_gain(other, _made(other, asked, tracking_uri, no_track)))
        except ConfigError as error:  # a split whose models are not all finished costs the others nothing
            logger.warning("no mix of the split in %s: %s", other.path, error)
    with held_run(folder):
        build_board(folder).write(folder)  # with the mix of the other splits
    return replace(made, splits=tuple(gains))


def _made(folder: RunFolder, asked: _Asked, tracking_uri: Optional[str], no_track: bool) -> Mix:
    """The mix that is asked for, made in one run's folder."""
    with held_run(folder) as manifest:
        started = time.perf_counter()
        data = read_data(folder, asked.atomic)
        again = asked.recipe is not None
        chosen = _reread(folder, manifest, asked) if again else _chosen(folder, data, manifest, asked)
        _check_name(folder, chosen)
        with open_tracking(folder, tracking_uri, no_track) as tracking:
            made = Maker(folder, data, chosen, manifest.seed).make(time.perf_counter() - started)
    return replace(made, tracking=tracking.line)


def _split_gain(folder: RunFolder, made: Mix) -> SplitGain:
    single = best_on_validation(folder, 1)[0]
    recalls = [status.metrics[MAIN_METRIC] for status in (made.status, folder.model(single).read_status())]
    return SplitGain(folder.path, recalls[0], single, recalls[1])


def _file_options(
    files: Union[str, Sequence[PathLike]], method: Optional[str], options: Mapping[str, Any]
) -> FileOptions:
    """How files are to be mixed. Raises ConfigError for an option that means nothing there."""
    rule = options.get("rule")
    if method is not None and rule is not None and method != rule:
        raise ConfigError(
            f"files are mixed by the method {method!r} or the rule {rule!r}; expected one of them; leave out the other"
        )
    method = method or rule or LINEAR
    check_choice("method", method, FILE_METHODS)
    check_options(method, {option: value for option, value in options.items() if option != "rule"})
    names = file_names(files)
    return FileOptions(
        method=method,
        depth=options.get("depth"),
        rrf_k=options.get("rrf_k") if method == RRF else None,
        weights=weights_of(options.get("weights"), names),
        firsts=firsts_of(options.get("firsts"), len(names)) if method == CONCAT else None,
    )


def _check_no_others(**others: Any) -> None:
    given = list(_given(**others))
    if given:
        raise ConfigError(
            f"{', '.join(given)} mean nothing with files; leave them out, and give a model's submission as a file, "
            "such as runs/ml-100k/submissions/EASE.csv"
        )


@dataclass(frozen=True)
class _Asked:
    """What ``ensemble`` was asked for."""

    method: Optional[str]
    models: Optional[Union[str, Sequence[str]]]
    name: Optional[str]
    options: Mapping[str, Any]
    recipe: Optional[PathLike]
    atomic: Optional[PathLike]
    configs: Optional[PathLike]


def _chosen(run: RunFolder, data: AtomicData, manifest: RunManifest, asked: _Asked) -> Recipe:
    """The recipe found for what was asked."""
    method = AUTO if asked.method is None else asked.method
    check_choice("method", method, METHODS)
    check_options(method, asked.options)
    routed_to = list(pairs(asked.options.get("routes", {})).values())
    expression = asked.models or routed_to or "all"
    members = find_members(run, expression, asked.configs)
    check_members(run, members)
    members = with_refits(run, members, expression)
    chosen = choose(Choice(run, data, asked.name or method, method, members, asked.options))
    found_on = {name: run.find(name).read_status().result_hash for name in chosen.members}
    return replace(chosen, data_hash=manifest.data_hash, protocol_hash=manifest.protocol_hash, found_on=found_on)


def _reread(run: RunFolder, manifest: RunManifest, asked: _Asked) -> Recipe:
    """The recipe of the file that was given."""
    _check_alone(asked.options, method=asked.method, models=asked.models, configs=asked.configs)
    chosen = Recipe.read(Path(str(asked.recipe)))
    chosen = chosen if asked.name is None else replace(chosen, name=asked.name)
    chosen.check_belongs(run.path, manifest)
    return chosen


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _check_alone(options: Mapping[str, Any], **others: Any) -> None:
    given = [*options, *_given(**others)]
    if given:
        raise ConfigError(f"a recipe says everything; leave out {', '.join(given)}, or leave out the recipe")


def _check_name(run: RunFolder, recipe: Recipe) -> None:
    if recipe.name in {folder.name for folder in run.models()}:
        raise ConfigError(f"{recipe.name} is a model of {run.path}; give the mix another name with --name")
    if recipe.name in recipe.members:
        raise ConfigError(f"the mix {recipe.name} is its own member; give the new mix another name with --name")
