"""All that the chapters of a report are made from: a run's board, split, rankings and, where it is there, its data."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.split import Split, read_split
from movierec_bench.errors import DataError
from movierec_bench.reports.board import Board
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.report.evidence import Evidence, Items, read_evidence
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.schema import FAMILY, ITEM, MAIN_METRIC, MODEL, PLACE, STORED_K, TITLE, YEAR, K, PathLike

LINES = 8  # models that one chart compares; more lines than colours nobody tells apart


@dataclass(frozen=True)
class Material:
    """What a report tells of.

    Args:
        run: the run's folder.
        board: every model and mix.
        split: the rows.
        items: numbers of all movies met.
        test: rankings against the test rows.
        valid: the first ten of the rankings against the validation rows.
        movies: [item, title, year, genre, ...] of the data set; None where it is not at hand.
        movies_missing: why not.
        atomic: folder that holds the data set's folder; None for the run's own.
    """

    run: RunFolder
    board: Board
    split: Split
    items: Items
    test: Evidence
    valid: Evidence
    movies: Optional[pd.DataFrame]
    movies_missing: str
    atomic: Optional[Path]

    @functools.cached_property
    def placed(self) -> pd.DataFrame:
        """The board's rows of models with a place, best first."""
        return self.board.table[self.board.table[PLACE].notna()].reset_index(drop=True)

    @functools.cached_property
    def lineup(self) -> list[str]:
        """The models that charts compare: the best of each family, then the next best, in the board's order."""
        table = self.placed[self.placed[MODEL].isin(self.test.models)]
        firsts = table.drop_duplicates(FAMILY)[MODEL].tolist()
        others = [name for name in table[MODEL] if name not in firsts]
        chosen = {*firsts[:LINES], *others[: max(0, LINES - len(firsts))]}
        return [name for name in table[MODEL] if name in chosen]

    def number_of(self, model: str) -> int:
        """Place of a model in the test rankings."""
        return self.test.models.index(model)

    def recall_of(self, model: str) -> float:
        """A placed model's Recall@10 on the test rows."""
        return float(self.placed.set_index(MODEL)[MAIN_METRIC][model])

    @functools.cached_property
    def best_on_validation(self) -> list[str]:
        """Single models, the best validation Recall@10 first; judged without a look at the test rows."""
        mixes = {folder.name for folder in self.run.ensembles()}
        recall = self.valid.mean_recalls([K])[:, 0] if self.valid.models else np.zeros(0)
        order = sorted(range(len(recall)), key=lambda number: (-recall[number], self.valid.models[number]))
        return [self.valid.models[number] for number in order if self.valid.models[number] not in mixes]

    def movies_of(self, numbers: np.ndarray) -> pd.DataFrame:
        """What is known of movies by number: their rows of ``movies``, empty where nothing is known.

        Raises:
            DataError: the data set is not at hand.
        """
        if self.movies is None:
            raise DataError(self.movies_missing)
        return self.movies.set_index(ITEM).reindex(self.items.ids[numbers - 1]).reset_index()

    @functools.cached_property
    def titles(self) -> list[str]:
        """What each movie is called, by number - 1: title and year, or its id where there is no title."""
        ids = self.items.ids
        if self.movies is None:
            return [str(each) for each in ids]
        known = self.movies.set_index(ITEM).reindex(ids)
        years = known[YEAR] if YEAR in known else pd.Series(np.nan, index=ids)
        return [_title(*each) for each in zip(ids, known[TITLE], years)]


def read_material(path: PathLike, atomic: Optional[PathLike] = None) -> Material:
    """Read a run for its report; damaged models and missing data sets are told of, not fatal.

    Raises:
        DataError: no run there, or its split cannot be read.
    """
    run = RunFolder(Path(path))
    board = build_board(run)
    split = read_split(run.split)
    try:
        movies, missing = read_data(run, atomic).movies, ""
    except DataError as error:
        movies, missing = None, str(error)
    known = [] if movies is None else [movies[ITEM]]
    items = Items(pd.concat([*known, split.train[ITEM], split.valid[ITEM], split.test[ITEM]]))
    folders = _in_order(run, board)
    return Material(
        run=run,
        board=board,
        split=split,
        items=items,
        test=read_evidence(folders, "test", split.test, items, STORED_K),
        valid=read_evidence(folders, "valid", split.valid, items, K),
        movies=movies,
        movies_missing=missing,
        atomic=None if atomic is None else Path(atomic),
    )


def _in_order(run: RunFolder, board: Board) -> list[ModelFolder]:
    """The folders of the models with a place, in the board's order."""
    there = {folder.name: folder for folder in run.models() + run.ensembles()}
    return [there[name] for name in board.table.loc[board.table[PLACE].notna(), MODEL]]


def _title(item: object, title: object, year: object) -> str:
    if not isinstance(title, str) or not title:
        return str(item)
    has_year = isinstance(year, (int, float)) and not pd.isna(year) and f"({year:.0f})" not in title
    return f"{title} ({year:.0f})" if has_year else title
