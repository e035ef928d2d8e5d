"""The board: every model of a run, best Recall@10 first, as CSV, Markdown, HTML and on the terminal."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union, overload

import jinja2
import pandas as pd

from movierec_bench.errors import ConfigError, DataError, did_you_mean
from movierec_bench.evaluation.confidence_set import (
    DIFFERENCE,
    HIGH,
    LEVEL,
    LOW,
    P_BEST,
    TESTS_COLUMNS,
    compare_with_best,
)
from movierec_bench.notebook import table_html, text_html
from movierec_bench.reports.interval_chart import interval_chart
from movierec_bench.reports.made_with import differences
from movierec_bench.reports.more_columns import GINI, depths_of, more_columns
from movierec_bench.reports.segment_board import SegmentBoard, build_segment_board
from movierec_bench.reports.user_segments import GOOD, run_segments
from movierec_bench.runs.files import write_csv, write_text
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.publishing import damaged
from movierec_bench.runs.records import BUDGET, DONE, ENSEMBLE, FAILED, REDO, STATES, RunManifest, Status
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import (
    BOARD_COLUMNS,
    CI_HIGH,
    CI_LOW,
    COVERAGE,
    EPOCHS,
    ERROR,
    FAMILIES,
    FAMILY,
    FIT_SECONDS,
    MAIN_METRIC,
    METRICS,
    MISSING_USERS,
    MODEL,
    NDCG,
    PEAK_RSS,
    PLACE,
    RANK_SECONDS,
    REFIT_SECONDS,
    SOURCE,
    STATUS,
    USERS,
    PathLike,
)

if TYPE_CHECKING:  # half a second to import
    import altair
    from rich.table import Table

logger = logging.getLogger(__name__)

FILTER, DEVICE = "filter", "device"
MAY_BE_BEST = "may_be_best"  # "yes" or "no" for every model that was compared
YES, NO = "yes", "no"
TEST_FIT_SECONDS, SEED, MADE_WITH = "test_fit_seconds", "seed", "made_with"

UNFINISHED = "unfinished"  # shown for a folder without a status: in training, or its process was killed
STALE = "stale"  # a mix whose members were redone since
DAMAGED = "damaged"  # a result with a file that is not what its status vouches for
BOARD_STATES = (*STATES, UNFINISHED, STALE, DAMAGED)
BOARD_FAMILIES = (*FAMILIES, ENSEMBLE)

_COUNTS = (PLACE, USERS, MISSING_USERS, EPOCHS, SEED)
_TEXTS = (MODEL, FAMILY, SOURCE, STATUS, ERROR, FILTER, DEVICE, MAY_BE_BEST, MADE_WITH)
_FURTHER = (FILTER, DEVICE, P_BEST, MAY_BE_BEST, TEST_FIT_SECONDS, SEED, MADE_WITH)
_FRACTIONS = (*METRICS, CI_LOW, CI_HIGH, COVERAGE)
_BEST_FIRST = (*METRICS, CI_LOW, CI_HIGH, COVERAGE)  # sorted from the largest; all others from the smallest
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
class Board:
    """The models of one run, best first.

    Args:
        table: one row a model, ``schema.BOARD_COLUMNS`` and then the filter, the device, the p-value of being among
            the best, and whether the model may be the best; then the seconds of the fit that ranked for the test, the
            seed, and versions and threads where they are not those of most models.
        tests: each placed model beside ``best``: model, difference with its interval, p_best.
        best: the model in first place; None where no model was scored.
        manifest: what the run rests on.
        folder: the run's folder.
        tracking: one line from `run` that says where it is tracked, or why not; None where nobody asked.
        added: names of further columns that were asked for.
        sorted_by: the column that ``table`` is sorted by.
        not_replaced: why models failed in `run` whose earlier results stay on the board, by name.
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
    def failed(self) -> bool:
        """Whether a model of this board failed."""
        return bool((self.table[STATUS] == FAILED).any()) or bool(self.not_replaced)

    def to_frame(self) -> pd.DataFrame:
        """The board as a DataFrame: unrounded numbers, missing values where nothing was measured."""
        return self.table.copy()

    def to_markdown(self) -> str:
        """The board, the comparison with the best and their origin as GitHub-flavoured Markdown."""
        return _render("leaderboard.md", self, markdown_cell)

    def to_html(self) -> str:
        """The same as one self-contained page that loads nothing from elsewhere."""
        return _render("leaderboard.html", self, str)

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
        return table_html(self.to_rich()) + told

    def to_rich(self) -> Table:
        """The main columns as a table for the terminal, the reasons of failed models below it."""
        return _terminal_table(self)

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
            [sort, MODEL], ascending=[sort not in (*_BEST_FIRST, *set(self.added) - {GINI}), True], na_position="last"
        )
        return replace(self, table=rows.reset_index(drop=True), sorted_by=sort)

    def write(self, run: RunFolder) -> None:
        """Write leaderboard.csv, leaderboard.md and leaderboard.html into ``run``."""
        write_csv(run.leaderboard("csv"), self.table)
        write_text(run.leaderboard("md"), self.to_markdown())
        write_text(run.leaderboard("html"), self.to_html())


@overload
def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    by: None = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> Board: ...


@overload
def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    *,
    by: str,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> SegmentBoard: ...


def leaderboard(
    run: PathLike,
    sort: str = MAIN_METRIC,
    family: Optional[str] = None,
    status: Optional[str] = None,
    by: Optional[str] = None,
    judges: Optional[Union[str, Sequence[str]]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
    users_out: Optional[PathLike] = None,
    k: Optional[Union[str, Sequence[int]]] = None,
    beyond: bool = False,
) -> Union[Board, SegmentBoard]:
    """The board of the run in folder ``run``, sorted and filtered, in all or by segment of the users.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        sort: the column to sort by; with ``by``, a column of the board in all.
        family: show this family only.
        status: show models of this status only.
        by: length, span, age, focus or good; or a file of users (one id a line, or CSV with user and segment). None
            for the board in all.
        judges: for ``by="good"``, the models that tell good users from bad ones, comma-separated or a sequence;
            None for the best four on validation.
        atomic: for ``by="focus"``, the folder that holds the data set's folder; None for the run's own.
        threshold: for ``by="good"``, the validation Recall@10, averaged over the judges, above which a user is good.
            None for the mean of the users.
        users_out: with ``by``, also write every user and its segment here, as CSV: a file for ``run --only-users``.
        k: also Recall and NDCG at these depths, comma-separated, up to 100; from stored rankings.
        beyond: also novelty, Gini coefficient, and recall of popular and of other movies; from stored rankings.

    Returns:
        A Board, or with ``by`` a SegmentBoard. Its table of all models, whatever the filters, is also written
        to ``leaderboard_by_<by>.csv`` in the run's folder.

    Raises:
        DataError: ``run`` is no run folder; with ``by``, no model was scored, or other data than the run's.
        ConfigError: no such column, family, status, kind of segment or judge, or judges where they have no say; with
            ``by``, another command is writing into the folder.
    """
    for what, value in (("judges", judges), ("a threshold", threshold), ("--users-out", users_out)):
        if by is None and value is not None:
            raise ConfigError(f"{what} given without segments; expected a kind of them; add --by {GOOD}")
    folder = RunFolder(Path(run))
    depths = [] if k is None else depths_of(k)
    if by is None:
        return _widened(build_board(folder), folder, depths, beyond).select(sort, family, status)
    if depths or beyond:
        raise ConfigError("--k and --beyond are columns of the board in all; leave them out, or leave out --by")
    with held_run(folder):
        board = build_board(folder).select(sort, family, status)
        segments = build_segment_board(folder, by, board.table, judges, atomic, threshold)
        if users_out is not None:
            chosen = [name.strip() for name in judges.split(",")] if isinstance(judges, str) else judges
            write_csv(Path(users_out), run_segments(run, by, chosen, atomic, threshold))
        return segments


def _widened(board: Board, run: RunFolder, depths: Sequence[int], beyond: bool) -> Board:
    """The board with further columns for its placed models."""
    if not depths and not beyond:
        return board
    placed = board.table.loc[board.table[PLACE].notna(), MODEL].tolist()
    columns = more_columns(run, placed, depths, beyond)
    added = [name for name in columns if name not in board.table]
    table = board.table.merge(columns[[MODEL, *added]], on=MODEL, how="left")
    return replace(board, table=table, added=tuple(added))


def build_board(run: RunFolder) -> Board:
    """The board of everything under ``run``: models and ensembles, finished or not.

    Raises:
        DataError: ``run`` is no run folder.
    """
    manifest = run.read_manifest()
    folders = run.models() + run.ensembles()
    rows = [_row(run, folder) for folder in folders]
    per_user = {}
    for row, folder in zip(rows, folders):
        if row[STATUS] in (DONE, BUDGET) and folder.per_user.exists():
            try:
                per_user[folder.name] = folder.read_per_user((MAIN_METRIC,))
            except DataError as error:  # one damaged file must not hide the other models
                row.update({STATUS: DAMAGED, ERROR: str(error)})
    made_with = differences([status for status in map(ModelFolder.finished, folders) if status is not None])
    rows = [{**row, MADE_WITH: made_with.get(row[MODEL], "")} for row in rows]
    table = _placed(pd.DataFrame(rows, columns=[*BOARD_COLUMNS, *_FURTHER]))
    placed = table.loc[table[PLACE].notna(), MODEL].tolist()
    best = placed[0] if placed else None
    compared = _compared(per_user, placed, manifest.seed)
    table[P_BEST] = table[MODEL].map(compared.set_index(MODEL)[P_BEST]).astype(float)
    table[MAY_BE_BEST] = [_may_be_best(p_best) for p_best in table[P_BEST]]
    return Board(table, compared[compared[MODEL] != best].reset_index(drop=True), best, manifest, run.path)


def _may_be_best(p_best: float) -> str:
    if math.isnan(p_best):
        return ""
    return YES if p_best >= LEVEL else NO


def _row(run: RunFolder, folder: ModelFolder) -> dict[str, Any]:
    if not folder.status.exists():
        reason = "no status.json: still training, or its process was killed; run again to finish it"
        return {MODEL: folder.name, STATUS: UNFINISHED, ERROR: reason}
    try:
        status = folder.read_status()
    except DataError as error:  # one damaged file must not hide the other models
        return {MODEL: folder.name, STATUS: FAILED, ERROR: str(error)}
    if status.model != folder.name:
        reason = f"holds the result of {status.model}: a copied or renamed folder; delete it or give it its name back"
        return {MODEL: folder.name, STATUS: UNFINISHED, ERROR: reason}
    row = _status_row(status)
    lost = damaged(run, folder, status)
    if lost:
        return {**row, STATUS: DAMAGED, ERROR: f"{', '.join(lost)} damaged or gone; {REDO}"}
    stale = why_stale(run, status)
    return {**row, STATUS: STALE, ERROR: stale} if stale else row


def _status_row(status: Status) -> dict[str, Any]:
    row = {
        MODEL: status.model,
        FAMILY: status.family,
        SOURCE: status.source,
        STATUS: status.state,
        FIT_SECONDS: status.seconds.fit,
        RANK_SECONDS: status.seconds.rank,
        REFIT_SECONDS: status.seconds.refit,
        PEAK_RSS: status.peak_rss_mb,
        EPOCHS: status.epochs,
        ERROR: status.error,
        FILTER: status.filter,
        DEVICE: status.device,
        TEST_FIT_SECONDS: status.seconds.test_fit,
        SEED: status.seed,
    }
    scored = {USERS: status.users, MISSING_USERS: status.missing_users, **status.metrics}
    return {**row, **scored} if status.metrics else row


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` typed, sorted, and numbered from 1 as far as models were scored to the end."""
    rows = rows.astype(dict.fromkeys(_COUNTS, "Int64"))
    rows = rows.astype({c: float for c in rows.columns if c not in _COUNTS + _TEXTS})
    texts = [column for column in _TEXTS if column in rows]
    rows[texts] = rows[texts].astype(object).where(rows[texts].notna(), "")
    ended = rows[STATUS].isin((DONE, BUDGET)) & rows[MAIN_METRIC].notna()
    ranked = rows[ended].sort_values([MAIN_METRIC, MODEL], ascending=[False, True])
    ranked[PLACE] = pd.array(range(1, len(ranked) + 1), dtype="Int64")
    return pd.concat([ranked, rows[~ended].sort_values(MODEL)], ignore_index=True)


def _compared(per_user: Mapping[str, pd.DataFrame], placed: Sequence[str], seed: int) -> pd.DataFrame:
    """All placed models beside the first; those without stored per-user results are left out."""
    stored = [name for name in placed if name in per_user]
    if not stored or stored[0] != placed[0]:
        return pd.DataFrame(columns=list(TESTS_COLUMNS))
    return compare_with_best({name: per_user[name] for name in stored}, seed)


def _check_choice(what: str, found: Optional[str], allowed: tuple[str, ...]) -> None:
    if found is None or found in allowed:
        return
    step = did_you_mean(found, allowed) or "choose one of these"
    raise ConfigError(f"{what} {found!r} is not known; expected one of {', '.join(allowed)}; {step}")


@dataclass(frozen=True)
class Cell:
    """One cell as text, and the value that the page sorts by."""

    text: str
    value: Union[str, float]

    @property
    def is_number(self) -> bool:
        """Whether the page sorts by a number."""
        return not isinstance(self.value, str)


def _render(template: str, board: Board, escape: Any) -> str:
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
        manifest=board.manifest,
        best=board.best,
        contenders=board.contenders,
        columns=headings(board.table),
        rows=board_cells(board.table),
        test_columns=headings(board.tests),
        tests=board_cells(board.tests),
    )


def headings(table: pd.DataFrame) -> list[tuple[str, bool]]:
    """Each column's name, and whether it holds numbers."""
    return [(name, name not in _TEXTS) for name in table.columns]


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
    if column in _COUNTS:
        return f"{value:.0f}"
    if column == P_BEST and value < 0.0001:
        return "<0.0001"
    if column in (*_FRACTIONS, DIFFERENCE, LOW, HIGH, P_BEST):
        return f"{value:.4f}"
    if "@" in column:  # at other depths, novelty and the like
        return f"{value:.4f}"
    return f"{value:.1f}"  # seconds and MiB


def markdown_cell(text: str) -> str:
    """``text`` as one Markdown table cell that shows exactly that text: no markup, no HTML, no line end."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _terminal_table(board: Board) -> Table:
    # rich takes a tenth of a second to import, which only a terminal needs
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Leaderboard: {board.manifest.dataset}"), box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("#", justify="right")
    table.add_column("model", overflow="fold", min_width=10)
    table.add_column("status", no_wrap=True)
    told = board.sorted_by not in _ON_TERMINAL and board.sorted_by not in board.added
    chosen = board.sorted_by if told else NDCG
    for heading in (MAIN_METRIC, "95% CI", "best?", chosen, "fit s", "rank s", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in board.added:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in board.table.to_dict("records"):
        added = [_cell(column, row[column]).text for column in board.added]
        table.add_row(*(Text(text) for text in [*_terminal_row(row, chosen), *added]))
    not_replaced = [f"{model}: {error}" for model, error in board.not_replaced.items()]
    table.caption = Text("\n".join([*_verdict(board), *_reasons(board.table), *not_replaced]))
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


def _verdict(board: Board) -> list[str]:
    """What the column of who may be the best means, where there is something to tell."""
    if not len(board.tests):
        return []
    return [f"best?: may be the best of all; {LEVEL:.0%} of boards of equal models would say no to any"]


def _reasons(table: pd.DataFrame) -> list[str]:
    """One line for each model that has something to explain, and one for each device besides the processor."""
    explained = table[table[ERROR] != ""]
    reasons = [f"{model}: {error.splitlines()[0]}" for model, error in zip(explained[MODEL], explained[ERROR])]
    others = table[~table[DEVICE].isin(("", _PROCESSOR))].groupby(DEVICE)[MODEL]
    return [*reasons, *(f"trained on {device}: {', '.join(models)}" for device, models in others)]
