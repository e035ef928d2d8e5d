"""From a recipe to a finished mix: ranked, scored on test rows, submitted, and put on the run's board."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.split import read_part
from movierec_bench.evaluation.metrics import per_user, summarize
from movierec_bench.evaluation.statistics import paired_tests
from movierec_bench.mixing.members import check_members, read_rankings
from movierec_bench.mixing.mix import Mix
from movierec_bench.mixing.recipe import Recipe
from movierec_bench.mixing.rules import concatenate, mix
from movierec_bench.mixing.stack_rankings import Stack
from movierec_bench.mixing.stacking import beside
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.submission import write_submission
from movierec_bench.reports.user_segments import run_segments, segment_of
from movierec_bench.runs.files import write_parquet, write_yaml
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.publishing import publish, seal
from movierec_bench.runs.records import DONE, ENSEMBLE, SUBMISSION, Seconds, Status
from movierec_bench.runs.staleness import redone_since
from movierec_bench.schema import MAIN_METRIC, STORED_K, USER


@dataclass(frozen=True)
class Maker:
    """Makes the mix of ``recipe`` in ``run``."""

    run: RunFolder
    data: AtomicData
    recipe: Recipe
    seed: int

    @property
    def folder(self) -> ModelFolder:
        """Where the finished mix lies."""
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
        refitted = all(member.has_topk("full") for member in members)
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
        """(int32 [U, K], float32 [U, K]) as ``rules.mix`` returns them."""
        recipe, vocabulary = self.recipe, self.data.vocabulary
        if self._stack is not None:
            ranked = self._stack.rank(part, users)
            if recipe.share is None:
                return ranked
            there = read_rankings(self.run, [str(recipe.beside)], part, users, vocabulary, with_scores=True)
            assert there.scores is not None
            return beside(ranked, (there.items[0], there.scores[0]), recipe.share)
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
