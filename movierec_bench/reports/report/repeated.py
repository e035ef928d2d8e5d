"""The chapter on what repeating the run came to: other seeds of training, other draws of the split."""

from __future__ import annotations

import altair as alt
import pandas as pd

from movierec_bench.reports.board_columns import (
    REPETITION_FRACTIONS,
    REPETITIONS,
    SEEDS,
    SPLITS,
    SPLITS_DIFFERENCES,
)
from movierec_bench.reports.pages import Figure, Note, Section, Table
from movierec_bench.reports.report.comparing import interval_chart
from movierec_bench.reports.report.material import Material
from movierec_bench.schema import FAMILY, MAIN_METRIC, MODEL

_MOST_BARS = 40
_WHAT = {SEEDS: "training seeds", SPLITS: "splits"}


def seeds_chapter(material: Material) -> Section:
    """Means over training seeds and splits with their intervals, drawn and as a table."""
    title = "Over seeds and splits"
    placed = material.placed
    kinds = [kind for kind in REPETITIONS if kind in placed]
    if not kinds:
        note = (
            "Every model was trained once, under one split. `python -m movierec_bench run --seeds 5` trains each with "
            "five seeds, `--split-seeds 5` repeats the run under five draws of the split."
        )
        return Section("seeds", title, parts=(Note(note),))
    intro = (
        "The interval of the board is about other users like these. Those here are about repeating: what "
        f"{MAIN_METRIC} becomes with another seed of training, and when other rows of the same users are hidden. "
        "They are 95 % intervals by Student's t."
    )
    figures = [_intervals(placed, kind) for kind in kinds]
    shown = placed[[MODEL, *(name for name in (*REPETITIONS, *REPETITION_FRACTIONS) if name in placed)]]
    table = Table("over-seeds", "Means, standard deviations, intervals", _notice(material, placed), shown)
    return Section("seeds", title, intro, (*figures, table))


def _intervals(placed: pd.DataFrame, kind: str) -> Figure:
    columns = {f"{kind}_mean": "mean", f"{kind}_sd": "deviation", f"{kind}_low": "low", f"{kind}_high": "high"}
    table = placed[[MODEL, FAMILY, kind, *columns]].rename(columns=columns)
    table = table[table["deviation"].notna()].sort_values(["mean", MODEL], ascending=[False, True]).head(_MOST_BARS)
    table[kind] = table[kind].astype(int)
    told = [kind, alt.Tooltip("mean:Q", format=".4f"), alt.Tooltip("deviation:Q", format=".4f")]
    chart = interval_chart(table, "mean", "low", "high", told)
    widest = table.loc[table["deviation"].idxmax()]
    notice = (
        f"{table[MODEL].iloc[0]} has the highest mean, {table['mean'].iloc[0]:.4f}. {widest[MODEL]} moves most: its "
        f"standard deviation is {widest['deviation']:.4f}."
    )
    return Figure(f"over-{kind}", f"Mean Recall@10 over {_WHAT[kind]}", notice, chart, table)


def _notice(material: Material, placed: pd.DataFrame) -> str:
    best = material.board.best
    if SPLITS not in placed:
        return "A difference between two models that is smaller than these deviations may be luck of the seed."
    _, low, high = SPLITS_DIFFERENCES
    others = placed[placed[low].notna()]
    alike = int(((others[low] <= 0) & (others[high] >= 0)).sum())
    return (
        f"Compared split by split with {best}, which is first on the board, the interval of {alike} of {len(others)} "
        "other models and mixes includes 0."
    )
