"""The record of a board: every model of a run, best Recall@10 first, sorted, filtered and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

import pandas as pd

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.evaluation.confidence_set import LEVEL, P_BEST
from movierec_bench.notebook import table_html, text_html
from movierec_bench.reports.board_columns import BOARD_FAMILIES, BOARD_STATES, FRACTIONS
from movierec_bench.reports.board_text import markdown_cell, render_board, terminal_table
from movierec_bench.reports.interval_chart import interval_chart
from movierec_bench.reports.more_columns import GINI
from movierec_bench.reports.over_seeds import seeds_table
from movierec_bench.runs.files import write_csv, write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import FAILED, RunManifest
from movierec_bench.schema import ERROR, FAMILY, MAIN_METRIC, MODEL, STATUS

if TYPE_CHECKING:  # half a second to import
    import altair
    from rich.table import Table


@dataclass(frozen=True)
class Board:
    """The models of one run, best first.

    Args:
        table: one row a model, ``schema.BOARD_COLUMNS`` and then the filter, the device, the p-value of being among
            the best, and whether the model may be the best; then the seconds of the fit that ranked for the test, the
            seed, and versions and threads where they are not those of most models; and those of `seed_columns` where
            there are several seeds. A model's further seeds have rows without a place.
        tests: each placed model beside ``best``: model, difference with its interval, p_best.
        best: the model in first place; None where no model was scored.
        manifest: what the run rests on.
        folder: the run's folder.
        tracking: one line from `run` that says where it is tracked, or why not; None where nobody asked.
        added: names of further columns that were asked for.
        sorted_by: the column that ``table`` is sorted by.
        not_replaced: models that failed in `run` while an earlier result of theirs stays on the board, and those that
            failed under other splits: why, by name.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    best: Optional[str]
    manifest: RunManifest
    folder: Path
    tracking: Optional[str] = None
    sorted_by: str = MAIN_METRIC
    added: tuple[str, ...] = ()
    not_replaced: Mapping[str, str] = field(default_factory=dict)

    @property
    def contenders(self) -> list[str]:
        """The models that may be the best, by place; empty where none was scored."""
        return [] if self.best is None else [self.best, *self.tests.loc[self.tests[P_BEST] >= LEVEL, MODEL]]

    @property
    def failed_models(self) -> dict[str, str]:
        """Why models of this board failed, by name."""
        rows = self.table[self.table[STATUS] == FAILED]
        return dict(zip(rows[MODEL], rows[ERROR]))

    @property
    def failed(self) -> bool:
        """Whether a model of this board failed."""
        return bool(self.failed_models) or bool(self.not_replaced)

    def to_frame(self) -> pd.DataFrame:
        """The board as a DataFrame: unrounded numbers, missing values where nothing was measured."""
        return self.table.copy()

    def to_markdown(self) -> str:
        """The board, the comparison with the best and their origin as GitHub-flavoured Markdown."""
        return self._rendered("leaderboard.md", markdown_cell)

    def to_html(self) -> str:
        """The same as one self-contained page that loads nothing from elsewhere."""
        return self._rendered("leaderboard.html", str)

    def _rendered(self, template: str, escape: Callable[[str], str]) -> str:
        return render_board(template, escape, self.manifest, self.best, self.contenders, self.table, self.tests)

    def plot(self, models: int = 40) -> altair.LayerChart:
        """A chart of Recall@10 with its 95 % intervals, coloured by family; a notebook draws it under the cell.

        Args:
            models: how many of the placed models to draw, from the first row on.

        Raises:
            ConfigError: no model of this board was scored to the end.
        """
        return interval_chart(self.table, models)

    def _repr_html_(self) -> str:
        told = "" if self.tracking is None else text_html(self.tracking)
        seeds = self.seeds_to_rich()
        return table_html(self.to_rich()) + ("" if seeds is None else table_html(seeds)) + told

    def to_rich(self) -> Table:
        """The main columns as a table for the terminal, the reasons of failed models below it."""
        notes = [f"{model}: {error}" for model, error in self.not_replaced.items()]
        if self.manifest.lists_candidates:
            notes.append("the test ranks listed candidates alone: not to be compared with other boards")
        return terminal_table(
            self.manifest.dataset, self.table, self.sorted_by, self.added, bool(len(self.tests)), notes
        )

    def seeds_to_rich(self) -> Optional[Table]:
        """Means over training seeds and over splits as a table for the terminal; None where there is one of each."""
        return seeds_table(self.table, self.best)

    def select(self, sort: str = MAIN_METRIC, family: Optional[str] = None, status: Optional[str] = None) -> Board:
        """This board sorted by ``sort`` and filtered; places stay those of the whole run.

        Args:
            sort: a column. Metrics run from the largest, all else from the smallest; empty cells come last.
            family: one of ``BOARD_FAMILIES``; None for all.
            status: one of ``BOARD_STATES``; None for all.

        Raises:
            ConfigError: no such column, family or status.
        """
        _check_choice("sort", sort, tuple(self.table.columns))
        _check_choice("family", family, BOARD_FAMILIES)
        _check_choice("status", status, BOARD_STATES)
        rows = self.table
        for column, wanted in ((FAMILY, family), (STATUS, status)):
            rows = rows if wanted is None else rows[rows[column] == wanted]
        rows = rows.sort_values(
            [sort, MODEL], ascending=[sort not in (*FRACTIONS, *set(self.added) - {GINI}), True], na_position="last"
        )
        return replace(self, table=rows.reset_index(drop=True), sorted_by=sort)

    def write(self, run: RunFolder) -> None:
        """Write leaderboard.csv, leaderboard.md and leaderboard.html into ``run``."""
        write_csv(run.leaderboard("csv"), self.table)
        write_text(run.leaderboard("md"), self.to_markdown())
        write_text(run.leaderboard("html"), self.to_html())


def _check_choice(what: str, found: Optional[str], allowed: tuple[str, ...]) -> None:
    if found is None or found in allowed:
        return
    step = did_you_mean(found, allowed) or "choose one of these"
    raise ConfigError(f"{what} {found!r} is not known; expected one of {', '.join(allowed)}; {step}")
