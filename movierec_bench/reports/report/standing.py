"""The chapters on who is best: the board, its intervals, and the models that may be in first place."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from movierec_bench.evaluation.confidence_set import DIFFERENCE, LEVEL
from movierec_bench.reports.board_columns import BOARD_STATES, FRACTIONS
from movierec_bench.reports.board_text import Cell, board_cells, headings
from movierec_bench.reports.pages import ACCENT, Figure, Note, Section, Table
from movierec_bench.reports.report.comparing import interval_chart, listed
from movierec_bench.reports.report.material import Material
from movierec_bench.schema import CI_HIGH, CI_LOW, ERROR, FAMILY, MAIN_METRIC, MODEL, PLACE, STATUS

_MOST_BARS = 40


@dataclass(frozen=True)
class BoardRow:
    """A model on the board: its cells, and where its interval is drawn, in percent of the widest."""

    model: str
    family: str
    status: str
    cells: list[Cell]
    may_be_best: bool
    low: float
    middle: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether it was scored."""
        return self.middle == self.middle


@dataclass(frozen=True)
class BoardContent:
    """What the board's template shows.

    Attributes:
        columns: name, whether it holds numbers, and whether the largest comes first.
        rows: the models.
        families: those on the board.
        states: those on the board.
    """

    columns: list[tuple[str, bool, bool]]
    rows: list[BoardRow]
    families: list[str]
    states: list[str]


def contenders(material: Material) -> list[str]:
    """The models that may be the best: the first, and those who are not shown to be worse than another one."""
    return material.board.contenders


def board_chapter(material: Material) -> Section:
    """Every model and mix, in a table that sorts, searches and filters."""
    table = material.board.table.drop(columns=[ERROR])
    columns = [(name, numeric, name in FRACTIONS) for name, numeric in headings(table)]
    cells = board_cells(table)
    best = set(contenders(material))
    most = float(table[CI_HIGH].max()) if table[CI_HIGH].notna().any() else 1.0
    bounds = table[[CI_LOW, MAIN_METRIC, CI_HIGH]].to_numpy(float) * 100 / (most or 1.0)
    rows = [
        BoardRow(model, family, status, own, model in best, *map(float, bound))
        for model, family, status, own, bound in zip(table[MODEL], table[FAMILY], table[STATUS], cells, bounds)
    ]
    content = BoardContent(
        columns,
        rows,
        families=sorted(set(table[FAMILY]) - {""}),
        states=[state for state in BOARD_STATES if (table[STATUS] == state).any()],
    )
    intro = (
        "recall@10 is the mean, over users with held-out test rows, of hits in the top 10 / min(10, held-out rows). "
        "ci_low and ci_high bound its 95 % bootstrap interval over users, which the column interval draws. A user "
        "whom a model cannot rank counts as 0 and is counted in missing_users."
    )
    return Section("board", "The board", intro, template="report_board.html", content=content)


def best_chapter(material: Material) -> Section:
    """Which models may be the best, by a model confidence set, and the intervals of the first on the board."""
    title = "Which may be the best"
    if material.board.best is None:
        return Section("best", title, parts=(Note("No model was scored to the end, so none can be the best yet."),))
    names = contenders(material)
    if len(names) == 1:
        verdict = f"{names[0]} alone: every other model with stored results is shown to be worse."
    else:
        verdict = f"{listed(names, 12)}: none of them is shown to be worse than another one."
    intro = (
        f"{verdict} This is a model confidence set of recall@10 over the same users: of equally good models it calls "
        f"any worse in {LEVEL:.0%} of cases, however many there are. Intervals of differences hold for all together."
    )
    parts: list[Figure | Table | Note] = [_intervals(material, names)]
    tests = material.board.tests
    if len(tests):
        shown = tests.rename(columns={DIFFERENCE: f"{DIFFERENCE} to {names[0]}"})
        notice = f"{len(names) - 1} of {len(tests)} other models may be as good as {names[0]}."
        parts.append(Table("tests", f"Each model against {names[0]}", notice, shown))
    return Section("best", title, intro, tuple(parts))


def _intervals(material: Material, names: list[str]) -> Figure:
    table = material.placed[[PLACE, MODEL, FAMILY, MAIN_METRIC, CI_LOW, CI_HIGH]].head(_MOST_BARS).copy()
    table = table.rename(columns={MAIN_METRIC: "recall"})
    table["may be best"] = [model in names for model in table[MODEL]]
    order = table[MODEL].tolist()
    told = [alt.Tooltip("recall:Q", format=".4f"), CI_LOW, CI_HIGH]
    bars = interval_chart(table, "recall", CI_LOW, CI_HIGH, told)
    first = alt.Chart(table.head(1)).mark_rule(style=ACCENT, strokeDash=[4, 3]).encode(x="recall:Q")
    last = table[table["may be best"]][PLACE].max()
    notice = f"{order[0]} leads with {table['recall'].iloc[0]:.4f}; the dashed line is where it stands." + (
        f" The models that may be the best reach down to place {last}." if len(names) > 1 else ""
    )
    title = "Recall@10 with 95 % intervals"
    if len(material.placed) > len(table):
        title += f", the first {len(table)} of {len(material.placed)} models"
    return Figure("intervals", title, notice, bars + first, table)
