"""Mixes of a run's models: chosen on validation rows, scored on test rows, submitted from the refits."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.split import read_part
from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import per_user, summarize
from movierec_bench.evaluation.statistics import paired_tests
from movierec_bench.mixing.asked import Named, Numbers, check_options, firsts_of, pairs, weights_of
from movierec_bench.mixing.choose import Choice, choose
from movierec_bench.mixing.files import FILE_METHODS, FileMix, FileOptions, file_names, mix_files
from movierec_bench.mixing.members import check_members, find_members, read_rankings, with_refits
from movierec_bench.mixing.recipe import AUTO, CONCAT, METHODS, Recipe, check_choice, rule_text
from movierec_bench.mixing.rules import LINEAR, RRF, concatenate, mix
from movierec_bench.mixing.stack_rankings import Stack
from movierec_bench.notebook import text_html
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.submission import write_submission
from movierec_bench.reports.user_segments import read_data, run_segments, segment_of
from movierec_bench.runs.files import write_parquet, write_yaml
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.publishing import publish, seal
from movierec_bench.runs.records import DONE, ENSEMBLE, SUBMISSION, RunManifest, Seconds, Status
from movierec_bench.runs.staleness import redone_since
from movierec_bench.schema import MAIN_METRIC, STORED_K, USER, PathLike
from movierec_bench.tracking.tracker import open_tracking

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mix:
    """A finished mix.

    Args:
        folder: its files.
        recipe: how it is made.
        status: its numbers on the test rows.
        submission: the submission; None where a member was not refitted.
        best_single: the model of the run with the best test Recall@10.
        difference: the mix's test Recall@10 less that model's.
        p_value: of the paired test of that difference.
        redone: members whose results are not those that the recipe was found on.
        tracking: one line that says where the run is tracked, or why not; None where it is not.
    """

    folder: ModelFolder
    recipe: Recipe
    status: Status
    submission: Optional[Path]
    best_single: str
    difference: float
    p_value: float
    redone: tuple[str, ...] = ()
    tracking: Optional[str] = None

    def _repr_html_(self) -> str:
        return text_html(self.describe())

    def describe(self) -> str:
        """The mix in a few lines of plain text."""
        metrics = self.status.metrics
        recall = metrics[MAIN_METRIC]
        share = self.difference / (recall - self.difference) if recall != self.difference else float("nan")
        return "\n".join(
            (
                f"{self.recipe.name}: {_contents(self.recipe)}",
                f"test {MAIN_METRIC} {recall:.4f} (95 % interval {metrics['ci_low']:.4f} to {metrics['ci_high']:.4f}), "
                f"{self.difference:+.4f} ({share:+.1%}) to {self.best_single}, the best single model, "
                f"p = {self.p_value:.2g} in a paired test",
                *self._out_of_fold_text(),
                f"recipe: {self.folder.params}",
                f"submission: {self.submission or 'none, as not every member was refitted on every row'}",
                *([self._redone_text()] if self.redone else []),
                *([] if self.tracking is None else [self.tracking]),
            )
        )

    def _out_of_fold_text(self) -> list[str]:
        """What a search found on validation rows, by users that had no say in the mix that they judge."""
        search = self.recipe.search or {}
        mixed, single = (search.get(f"{prefix}out_of_fold_{MAIN_METRIC}") for prefix in ("", "best_single_"))
        if mixed is None or single is None:
            return []
        error, share = search["standard_error_of_gain"], search.get("share_of_mix")
        text = f"validation {MAIN_METRIC} {mixed:.4f} out of fold, {mixed - single:+.4f} to the best single model, "
        text += f"standard error {error:.4f}"
        return [text if share is None else f"{text}; {share:.0%} of the mix, the rest the best single model"]

    def _redone_text(self) -> str:
        return (
            f"{', '.join(self.redone)} redone since the recipe was found, so that what it chose may no longer be best; "
            f"search again with --method {self.recipe.method}"
        )


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

    Everything that is chosen is chosen on validation rows; the test rows are first read when the recipe stands. With
    ``files``, submissions from anywhere are mixed instead, into one more submission.

    Args:
        run: a run's folder, such as ``runs/ml-100k``. With ``files`` it may be left out.
        method: ``vote``, ``linear``, ``tail``, ``log2``, ``rrf``, ``zscore``, ``minmax``: that rule (see
            ``mixing.Rule``); ``concat``: the first movies of one model, then of the next; ``route``: each
            segment's users get one model's ranking; ``stack``: a learner fitted on validation rows, over ranks, scores,
            agreement, popularity and tastes; ``fit``, ``greedy``: weights found on validation rows, by
            coordinate ascent or forward selection; ``auto``: members, weights and rule, or a stack, found there in
            folds and shrunk towards the best single model by as much as the gain might be luck. None: auto.
        models: names and groups, as in ``run``; mixes of the run by name, too. None: every finished model.
        name: the mix's own; one of that name is replaced. None: the method.
        weights: one a model, in the order of the models, or ``Model=weight``. None: 1 each.
        rule: the rule that ``fit`` and ``greedy`` find weights for, and by which ``files`` are mixed. None: linear.
        depth: ranks that count. None: what suits the rule (``mixing.DEPTHS``).
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
        seed: of the folds and of the draw of users. None: the run's.
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
    with held_run(folder) as manifest:
        started = time.perf_counter()
        data = read_data(folder, atomic)
        chosen = _chosen(folder, data, manifest, asked) if recipe is None else _reread(folder, manifest, asked)
        _check_name(folder, chosen)
        with open_tracking(folder, tracking_uri, no_track) as tracking:
            made = _Maker(folder, data, chosen, manifest.seed).make(time.perf_counter() - started)
    return replace(made, tracking=tracking.line)


def _file_options(
    files: Union[str, Sequence[PathLike]], method: Optional[str], options: Mapping[str, Any]
) -> FileOptions:
    """How files are to be mixed. Raises ConfigError for an option that means nothing there."""
    rule = options.get("rule")
    if method is not None and rule is not None and method != rule:
        raise ConfigError(f"files are mixed by the method {method!r} or the rule {rule!r}; expected one of both")
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


@dataclass(frozen=True)
class _Maker:
    """Makes the mix of ``recipe`` in ``run``."""

    run: RunFolder
    data: AtomicData
    recipe: Recipe
    seed: int

    @property
    def folder(self) -> ModelFolder:
        return self.run.ensemble(self.recipe.name)

    @cached_property
    def _stack(self) -> Optional[Stack]:
        """The stack of a recipe that is one, fitted once for all parts."""
        if self.recipe.learner is None:
            return None
        return Stack.of(self.run, self.data, self.recipe.members, self.recipe.stack_settings())

    @property
    def staged(self) -> ModelFolder:
        """Where the mix is made, while an earlier one of its name stands."""
        return self.folder.staged

    def make(self, seconds_choosing: float) -> Mix:
        """Rank, score, write, submit, take the place of an earlier mix of that name, and renew the board."""
        check_members(self.run, self.recipe.members)
        members = [self.run.find(name) for name in self.recipe.members]
        refitted = all(member.topk("full").is_file() for member in members)
        shutil.rmtree(self.staged.path, ignore_errors=True)  # what a command that was killed had begun
        write_yaml(self.staged.params, self.recipe.to_mapping())
        started = time.perf_counter()
        self._write_ranking("valid", _users(read_part(self.run.split, "valid")))
        test = read_part(self.run.split, "test")
        topk = self._write_ranking("test", _users(test))
        ranked = time.perf_counter()
        scored = per_user(topk, test)
        write_parquet(self.staged.per_user, scored)
        scoring_ended = time.perf_counter()
        if refitted:
            self._submit()
        seconds = Seconds(
            fit=seconds_choosing,
            rank=ranked - started,
            score=scoring_ended - ranked,
            submit=time.perf_counter() - scoring_ended if refitted else None,
        )
        status = self._status(scored, topk, seconds, [member.read_status() for member in members])
        seal(self.staged, status)
        status = publish(self.run, self.folder)
        build_board(self.run).write(self.run)
        return self._compared(status, scored, self.run.submission(self.recipe.name) if refitted else None)

    def _write_ranking(self, part: str, users: np.ndarray) -> pd.DataFrame:
        # ranking brings torch, which searching and checking do without
        from movierec_bench.ranking.top_k import TopK, topk_frame

        items, totals = self._mixed(part, users)
        vocabulary = self.data.vocabulary
        topk = topk_frame(TopK(vocabulary.user_ix(users), items, totals), vocabulary)
        self.staged.write_topk(part, topk)
        return topk

    def _mixed(self, part: str, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int32 [U, K], float32 [U, K]) as ``mixing.mix`` returns them."""
        recipe, vocabulary = self.recipe, self.data.vocabulary
        if self._stack is not None:
            return self._stack.rank(part, users)
        if recipe.rule is not None:
            rule = recipe.mixing_rule()
            there = read_rankings(self.run, recipe.members, part, users, vocabulary, rule.depth, rule.reads_scores)
            weights = np.array([(recipe.weights or {})[name] for name in recipe.members])
            return mix(rule, there.items, weights, there.scores)
        items = read_rankings(self.run, recipe.members, part, users, vocabulary).items
        best = concatenate(items, self._order(users), self._limits())
        from_the_end = np.broadcast_to(np.arange(STORED_K, 0, -1, dtype=np.float32), best.shape)
        return best, np.where(best > 0, from_the_end, np.float32(np.nan))

    def _order(self, users: np.ndarray) -> np.ndarray:
        """Whose turn it is: members by number, int64 [M], or for each user, [M, U]."""
        listed = np.arange(len(self.recipe.members))
        if self.recipe.routes is None:
            return listed
        segments = run_segments(self.run.path, str(self.recipe.by), self.recipe.judges, self.data.folder.parent)
        number = {name: place for place, name in enumerate(self.recipe.members)}
        own = {segment: number[name] for segment, name in self.recipe.routes.items()}
        first = np.array([own.get(segment, 0) for segment in segment_of(segments, users)], dtype=np.int64)
        # The user's own member goes to the front, the others keep their order behind it.
        return np.argsort(np.where(listed[:, None] == first, -1, listed[:, None]), axis=0, kind="stable")

    def _limits(self) -> np.ndarray:
        return np.array(self.recipe.firsts or [STORED_K] * len(self.recipe.members))

    def _status(self, scored: pd.DataFrame, topk: pd.DataFrame, seconds: Seconds, members: list[Status]) -> Status:
        summary = summarize(scored, topk, len(self.data.vocabulary.items), self.seed)
        filters = {member.filter for member in members}
        return Status(
            model=self.recipe.name,
            state=DONE,
            family=ENSEMBLE,
            source="ours",
            seconds=seconds,
            metrics=summary.metrics,
            users=summary.users,
            missing_users=summary.missing_users,
            filter=filters.pop() if len(filters) == 1 else None,
            members={name: member.result_hash for name, member in zip(self.recipe.members, members)},
        )

    def _submit(self) -> None:
        self._write_ranking("full", self.data.vocabulary.users)
        write_submission(self.staged, self.staged.path / SUBMISSION, self.data)

    def _compared(self, status: Status, scored: pd.DataFrame, submission: Optional[Path]) -> Mix:
        """The finished mix beside the single model that is best on the test rows, which is the hardest to beat."""
        singles = {
            folder.name: folder.read_per_user((MAIN_METRIC,)) for folder in self.run.models() if folder.finished()
        }
        best = min(singles, key=lambda name: (-singles[name][MAIN_METRIC].mean(), name))
        test = paired_tests({best: singles[best], self.recipe.name: scored}, best).iloc[0]
        return Mix(
            folder=self.folder,
            recipe=self.recipe,
            status=status,
            submission=submission,
            best_single=best,
            difference=float(test["difference"]),
            p_value=float(test["p_value"]),
            redone=redone_since(self.run, self.recipe.found_on or {}),
        )


def _users(rows: pd.DataFrame) -> np.ndarray:
    return np.unique(rows[USER].to_numpy())


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


def _contents(recipe: Recipe) -> str:
    if recipe.weights is not None:
        members = ", ".join(f"{weight:g} {name}" for name, weight in recipe.weights.items())
        return f"{rule_text(recipe.mixing_rule())} of {members}"
    if recipe.learner is not None:
        return f"{recipe.learner} stack (depth {recipe.depth}) of {', '.join(recipe.members)}"
    if recipe.routes is not None:
        return f"by {recipe.by}: " + ", ".join(f"{segment} {name}" for segment, name in recipe.routes.items())
    return "concatenation of " + ", ".join(recipe.members)
