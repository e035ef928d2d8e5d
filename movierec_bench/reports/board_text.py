"""A board as text: Markdown, an HTML page, and the terminal's table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import jinja2
import pandas as pd

from movierec_bench.evaluation.confidence_set import DIFFERENCE, HIGH, LEVEL, LOW, P_BEST
from movierec_bench.reports.board_columns import COUNTS, DEVICE, FRACTIONS, MAY_BE_BEST, REPETITIONS, TEXTS
from movierec_bench.runs.records import BUDGET, DONE, RunManifest
from movierec_bench.runs.seeds import is_further_seed
from movierec_bench.schema import (
    CI_HIGH,
    CI_LOW,
    ERROR,
    FIT_SECONDS,
    MAIN_METRIC,
    MODEL,
    NDCG,
    PEAK_RSS,
    PLACE,
    RANK_SECONDS,
    STATUS,
)

if TYPE_CHECKING:  # half a second to import
    from rich.table import Table


# Columns that the terminal always shows in some form; NDCG gives its place to another one that the board is sorted by.
_ON_TERMINAL = (
    PLACE,
    MODEL,
    STATUS,
    MAIN_METRIC,
    CI_LOW,
    CI_HIGH,
    MAY_BE_BEST,
    FIT_SECONDS,
    RANK_SECONDS,
    PEAK_RSS,
    ERROR,
)
_PROCESSOR = "cpu"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Cell:
    """One cell as text, and the value that the page sorts by."""

    text: str
    value: Union[str, float]

    @property
    def is_number(self) -> bool:
        """Whether the page sorts by a number."""
        return not isinstance(self.value, str)


def render_board(
    template: str,
    escape: Callable[[str], str],
    manifest: RunManifest,
    best: Optional[str],
    contenders: Sequence[str],
    table: pd.DataFrame,
    tests: pd.DataFrame,
) -> str:
    """A template of ours filled with a board, whose fields the arguments are.

    Args:
        template: the file's name, such as ``leaderboard.md``.
        escape: makes a cell's text safe for that kind of file.
        manifest: what the run rests on.
        best: the model in first place; None where no model was scored.
        contenders: the models that may be the best.
        table: the board.
        tests: the comparison with the best.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = escape
    return environment.get_template(template).render(
        manifest=manifest,
        best=best,
        contenders=contenders,
        columns=headings(table),
        rows=board_cells(table),
        test_columns=headings(tests),
        tests=board_cells(tests),
    )


def headings(table: pd.DataFrame) -> list[tuple[str, bool]]:
    """Each column's name, and whether it holds numbers."""
    return [(name, name not in TEXTS) for name in table.columns]


def board_cells(table: pd.DataFrame) -> list[list[Cell]]:
    """The cells of ``table``, columns of a board or of its tests, row by row."""
    columns = [[_cell(name, value) for value in table[name].tolist()] for name in table.columns]
    return [list(row) for row in zip(*columns)]


def _cell(column: str, value: Any) -> Cell:
    if pd.isna(value):
        return Cell("", "")
    if isinstance(value, str):
        return Cell(value, value)
    return Cell(_number(column, float(value)), float(value))


def _number(column: str, value: float) -> str:
    if column in (*COUNTS, *REPETITIONS):
        return f"{value:.0f}"
    if column == P_BEST and value < 0.0001:
        return "<0.0001"
    if column in (*FRACTIONS, DIFFERENCE, LOW, HIGH, P_BEST):
        return f"{value:.4f}"
    if "@" in column:  # at other depths, novelty and the like
        return f"{value:.4f}"
    return f"{value:.1f}"  # seconds and MiB


def markdown_cell(text: str) -> str:
    """``text`` as one Markdown table cell that shows exactly that text: no markup, no HTML, no line end."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def terminal_table(
    dataset: str, board: pd.DataFrame, sorted_by: str, added: Sequence[str], compared: bool, notes: Sequence[str]
) -> Table:
    """The main columns of a board as a table of rich's, with the reasons of failed models below it.

    Args:
        dataset: the data set's name, for the title.
        board: the board's table.
        sorted_by: its column that the table is sorted by, shown too.
        added: further columns to show.
        compared: whether models were compared with the best, so that the column of who may be it is explained.
        notes: lines to put below the reasons.
    """
    # rich takes a tenth of a second to import, which only a terminal needs
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Leaderboard: {dataset}"), box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold", min_width=10)
    table.add_column("status", no_wrap=True)
    told = sorted_by not in _ON_TERMINAL and sorted_by not in added
    chosen = sorted_by if told else NDCG
    for heading in (MAIN_METRIC, "95% CI", "best?", chosen, "fit s", "rank s", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in added:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in board.to_dict("records"):
        if is_further_seed(row[MODEL]) and row[STATUS] in (DONE, BUDGET):
            continue  # the table over seeds has them
        more = [_cell(column, row[column]).text for column in added]
        table.add_row(*(Text(text) for text in [*_terminal_row(row, chosen), *more]))
    verdict = [f"best?: may be the best of all; {LEVEL:.0%} of boards of equal models would say no to any"] * compared
    table.caption = Text("\n".join([*verdict, *_reasons(board), *notes]))
    table.caption_justify = "left"
    return table


def _terminal_row(row: dict[str, Any], chosen: str) -> list[str]:
    def text(column: str) -> str:
        return _cell(column, row[column]).text

    scored = not math.isnan(row[MAIN_METRIC])
    interval = f"{row[CI_LOW]:.3f}-{row[CI_HIGH]:.3f}" if scored else ""
    memory = "" if math.isnan(row[PEAK_RSS]) else f"{row[PEAK_RSS]:.0f}"
    recall, told, fit, rank = (text(column) for column in (MAIN_METRIC, chosen, FIT_SECONDS, RANK_SECONDS))
    return [text(PLACE), row[MODEL], row[STATUS], recall, interval, row[MAY_BE_BEST], told, fit, rank, memory]


def _reasons(table: pd.DataFrame) -> list[str]:
    """One line for each model that has something to explain, and one for each device besides the processor."""
    explained = table[table[ERROR] != ""]
    reasons = [f"{model}: {error.splitlines()[0]}" for model, error in zip(explained[MODEL], explained[ERROR])]
    others = table[~table[DEVICE].isin(("", _PROCESSOR))].groupby(DEVICE)[MODEL]
    return [*reasons, *(f"trained on {device}: {', '.join(models)}" for device, models in others)]
