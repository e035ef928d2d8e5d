"""The board by segment: how each model does on the short logs, the one-day users, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

import pandas as pd

from movierec_bench.errors import DataError
from movierec_bench.evaluation.statistics import bootstrap_interval
from movierec_bench.notebook import table_html
from movierec_bench.reports.user_segments import (
    LENGTH,
    SEGMENT,
    UNKNOWN,
    run_segments,
    segment_names,
    segment_of,
)
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import (
    CI_HIGH,
    CI_LOW,
    MAIN_METRIC,
    METRICS,
    MODEL,
    PLACE,
    STATUS,
    USER,
    USERS,
    PathLike,
)

if TYPE_CHECKING:
    from rich.table import Table

SEGMENT_BOARD_COLUMNS = (SEGMENT, USERS, MODEL, MAIN_METRIC, CI_LOW, CI_HIGH)


@dataclass(frozen=True)
class SegmentBoard:
    """Recall@10 of the models and mixes of one run on each segment of its users.

    Args:
        dataset: name of the run's data set.
        by: one of ``user_segments.BY``, or a file of users.
        path: where the table of all models was written.
        table: a row a segment and model, ``SEGMENT_BOARD_COLUMNS``: segments in the order of ``user_segments.NAMES``,
            within each the models in the order of ``overall``. A segment without users with test rows has none.
        overall: the board's rows of the models asked for, in its order; those without a place are not in ``table``.
    """

    dataset: str
    by: str
    path: Path
    table: pd.DataFrame
    overall: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The board as a DataFrame: unrounded means, and the limits of their 95 % bootstrap intervals over users."""
        return self.table.copy()

    def _repr_html_(self) -> str:
        return table_html(self.to_rich())

    def to_rich(self) -> Table:
        """A row a model and a column a segment for the terminal; ``*`` marks the best model of each column."""
        # rich takes a tenth of a second to import, which only a terminal needs
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(f"{MAIN_METRIC} by {self.by}: {self.dataset}"), box=box.SIMPLE, padding=(0, 1, 0, 0))
        table.add_column("#", justify="right")
        table.add_column("model", overflow="fold", min_width=10)
        placed = self.overall[self.overall[PLACE].notna()]
        columns = [_column("everyone", placed)] if len(placed) else []
        columns += [_column(str(name), rows) for name, rows in self.table.groupby(SEGMENT, sort=False)]
        for heading, _ in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        for place, model in zip(placed[PLACE], placed[MODEL]):
            table.add_row(str(place), Text(model), *(cells[model] for _, cells in columns))
        table.caption = Text("\n".join(self._notes()))
        table.caption_justify = "left"
        return table

    def _notes(self) -> list[str]:
        others = self.overall[self.overall[PLACE].isna()]
        unplaced = [f"not ranked: {model} ({status})" for model, status in zip(others[MODEL], others[STATUS])]
        return unplaced if self.table.empty else ["* best of its column", *unplaced]


def build_segment_board(
    run: RunFolder,
    by: str,
    overall: pd.DataFrame,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
) -> SegmentBoard:
    """The models of ``overall`` by segment; that of all models, best first, is written to ``run.leaderboard_by(by)``.

    Args:
        run: the run.
        by: one of ``user_segments.BY``, or a file of users.
        path: where the table of all models was written.
        overall: rows of the run's board, ``schema.BOARD_COLUMNS``: the models asked for, in the order asked for.
        judges: as in ``board_by_segment``.
        atomic: as in ``board_by_segment``.
        threshold: as in ``board_by_segment``.

    Raises:
        ConfigError: an unknown kind of segment or judge, or judges where they have no say.
        DataError: no run there, no model scored, or other data than the run's.
    """
    everything = board_by_segment(run.path, by, judges, atomic, threshold)
    path = run.leaderboard_by(by)
    write_csv(path, _by_segment(everything, by, everything[MODEL].drop_duplicates()))
    return SegmentBoard(run.read_manifest().dataset, by, path, _by_segment(everything, by, overall[MODEL]), overall)


def _by_segment(rows: pd.DataFrame, by: str, models: Iterable[str]) -> pd.DataFrame:
    """The rows of ``models``, first by segment, then in the order of ``models``."""
    segment_order = {name: place for place, name in enumerate((*segment_names(by), UNKNOWN))}
    model_order = {name: place for place, name in enumerate(models)}
    order = {SEGMENT: segment_order, MODEL: model_order}
    chosen = rows[rows[MODEL].isin(model_order)]
    ordered = chosen.sort_values([SEGMENT, MODEL], key=lambda column: column.map(order[str(column.name)]))
    return ordered[list(SEGMENT_BOARD_COLUMNS)].reset_index(drop=True)


def _column(name: str, rows: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """The heading, with the number of users, and each model's cell."""
    best = rows[MAIN_METRIC].max()
    cells = {
        model: f"{recall:.4f}{'*' if recall == best else ' '}" for model, recall in zip(rows[MODEL], rows[MAIN_METRIC])
    }
    return f"{name} \n{rows[USERS].iloc[0]:,} users ", cells


def board_by_segment(
    run: PathLike,
    by: str = LENGTH,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
) -> pd.DataFrame:
    """How every model and mix of a run does on the test rows of each segment.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        by: one of ``BY``, or a file of users.
        judges: the models that tell good users from bad ones, comma-separated or a sequence; None for the
            best four on validation.
        atomic: folder that holds the data set's folder; None for the run's own.
        threshold: validation Recall@10 above which a user is good; None for the mean of the users.

    Returns:
        DataFrame [model, segment, users, each metric's mean, ci_low, ci_high]: the best model first, a row for
        each of its segments that has users with test rows. ``UNKNOWN`` for a user without training rows.

    Raises:
        ConfigError: an unknown kind of segment or model.
        DataError: no run there, no model scored, or other data than the run's.
    """
    folder = RunFolder(Path(run))
    seed = folder.read_manifest().seed
    chosen = [name.strip() for name in judges.split(",")] if isinstance(judges, str) else judges
    segments = run_segments(run, by, chosen, atomic, threshold)
    scored = {
        there.name: there.read_per_user()
        for there in folder.models() + folder.ensembles()
        if (status := there.finished()) and not why_stale(folder, status)
    }
    if not scored:
        raise DataError(
            f"{folder.path} holds no scored model; expected one; train some with `python -m movierec_bench run`"
        )
    by_place = sorted(scored, key=lambda name: (-scored[name][MAIN_METRIC].mean(), name))
    for users in scored.values():
        users[SEGMENT] = segment_of(segments, users[USER].to_numpy())
    rows = [row for name in by_place for row in _segment_rows(name, scored[name], by, seed)]
    return pd.DataFrame(rows, columns=[MODEL, SEGMENT, USERS, *METRICS, CI_LOW, CI_HIGH])


def _segment_rows(model: str, scored: pd.DataFrame, by: str, seed: int) -> list[dict[str, Union[str, int, float]]]:
    rows: list[dict[str, Union[str, int, float]]] = []
    for name in (*segment_names(by), UNKNOWN):
        inside = scored[scored[SEGMENT] == name]
        if len(inside):
            low, high = bootstrap_interval(inside[MAIN_METRIC].to_numpy(), seed)
            means = {metric: float(inside[metric].mean()) for metric in METRICS}
            rows.append({MODEL: model, SEGMENT: name, USERS: len(inside), **means, CI_LOW: low, CI_HIGH: high})
    return rows
