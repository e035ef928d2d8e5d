"""The chapters on more than one number a model: recall by K, quality by time, and how training went."""

from __future__ import annotations

import logging
from typing import Optional

import altair as alt
import numpy as np
import pandas as pd

from movierec_bench.reports.pages import QUIET, Figure, Note, Section
from movierec_bench.reports.report.comparing import family_color, listed, model_color
from movierec_bench.reports.report.material import LINES, Material
from movierec_bench.runs.folder import ModelFolder
from movierec_bench.runs.records import ENSEMBLE
from movierec_bench.schema import FAMILY, FIT_SECONDS, MAIN_METRIC, MODEL, RANK_SECONDS, STORED_K, K

logger = logging.getLogger(__name__)

EPOCH, LOSS, RECALL, SECONDS = "epoch", "train_loss", f"valid_{MAIN_METRIC}", "seconds"  # columns of epochs.csv
_TOLD_KS = (1, 3, 5, 10, 20, 50, 100)
_MOST_EPOCHS = 150  # points of a model's curve; of longer ones every second, third, ... epoch is shown
_FEW_EPOCHS = 10  # of which every one has a tick
_LEAST_SECONDS = 0.01  # on a logarithmic axis there is no 0


def recall_chapter(material: Material) -> Section:
    """Recall@K from K 1 to 100, from the stored rankings."""
    title = "Recall by length of the list"
    if not material.test.models:
        return Section("recall", title, parts=(Note("No stored test ranking can be read."),))
    ks = list(range(1, STORED_K + 1))
    curves = material.test.mean_recalls(ks)
    lineup = material.lineup
    shown = pd.DataFrame(
        [(model, k, curves[material.number_of(model), k - 1]) for model in lineup for k in ks],
        columns=[MODEL, "k", "recall"],
    )
    told = pd.DataFrame(curves[:, [k - 1 for k in _TOLD_KS]], columns=[f"recall@{k}" for k in _TOLD_KS])
    told.insert(0, MODEL, material.test.models)
    picked = alt.selection_point(fields=[MODEL], bind="legend")
    chart = (
        alt.Chart(shown)
        .mark_line()
        .encode(
            x=alt.X("k:Q", title="K (movies recommended)"),
            y=alt.Y("recall:Q", title="Recall@K (share found)"),
            color=model_color(lineup),
            opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
            tooltip=["model", "k", alt.Tooltip("recall:Q", format=".4f")],
        )
        .add_params(picked)
        .properties(height=340)
    )
    return Section(
        "recall",
        title,
        f"The models shown are the best of each family and the next best, {LINES} at most; the numbers have them all. "
        "A click in the legend picks a model out. A curve may fall at first: hits are divided by K while K is less "
        "than a user's held-out movies.",
        (Figure("recall-at-k", "Recall@K", _crossing(material, curves), chart, told),),
    )


def _crossing(material: Material, curves: np.ndarray) -> str:
    """Whether the best of ten stays the best of a hundred."""
    names = material.test.models
    leaders = {k: names[int(np.argmax(curves[:, k - 1]))] for k in _TOLD_KS}
    best = leaders[K]
    ends = f"{curves[names.index(best), 0]:.4f} at K 1 and {curves[names.index(best), -1]:.4f} at K {STORED_K}"
    others = {k: name for k, name in leaders.items() if name != best}
    if not others:
        return f"{best} leads at every K that the table has, with {ends}."
    return f"{best} leads at K {K}, with {ends}; " + ", ".join(f"{name} at K {k}" for k, name in others.items()) + "."


def time_chapter(material: Material) -> Section:
    """Recall@10 against the seconds that fitting and ranking took, with the models that nobody beats in both."""
    title = "Quality and time"
    table = pareto(material.placed)
    if table.empty:
        return Section("time", title, parts=(Note("No scored model says how long it took."),))
    front = table[table["pareto"]]
    x = alt.X(
        "seconds:Q", title="fit and rank (seconds, logarithmic)", scale=alt.Scale(type="log", nice=False, padding=14)
    )
    y = alt.Y("recall:Q", title="Recall@10 (share found)", scale=alt.Scale(zero=False))
    points = (
        alt.Chart(table)
        .mark_point(opacity=0.9)
        .encode(x=x, y=y, color=family_color(table[FAMILY]), tooltip=["model", "family", "seconds", "recall"])
    )
    line = alt.Chart(front).mark_line(style=QUIET, interpolate="step-after", fill=None).encode(x=x, y=y)
    names = alt.Chart(front).mark_text(align="left", dx=7, dy=-9).encode(x=x, y=y, text="model:N")
    chart = (line + points + names).properties(height=360)
    steps = "; ".join(f"{row.model} {row.recall:.4f} in {_duration(row.seconds)}" for row in front.itertuples())
    notice = f"On the Pareto front, where more recall costs more time: {steps}."
    intro = "The seconds are of the fit that was scored and of its test ranking, without the refit. Mixes are left out."
    return Section("time", title, intro, (Figure("time", "Recall@10 against time", notice, chart, table),))


def pareto(placed: pd.DataFrame) -> pd.DataFrame:
    """Models with their time, and whether any other is both as quick and better, or quicker and as good.

    Args:
        placed: rows of the board.

    Returns:
        DataFrame [model, family, seconds, recall, pareto], the quickest first; mixes and unmeasured ones left out.
    """
    seconds = placed[FIT_SECONDS] + placed[RANK_SECONDS].fillna(0)
    own = pd.DataFrame(
        {
            MODEL: placed[MODEL],
            FAMILY: placed[FAMILY],
            "seconds": seconds.clip(lower=_LEAST_SECONDS),
            "recall": placed[MAIN_METRIC],
        }
    )
    own = own[seconds.notna() & (placed[FAMILY] != ENSEMBLE)]
    own = own.sort_values(["seconds", "recall"], ascending=[True, False]).reset_index(drop=True)
    before = own["recall"].cummax().shift(fill_value=-1.0)
    own["pareto"] = own["recall"] > before
    return own


def learning_chapter(material: Material) -> Section:
    """Validation Recall@10 by epoch."""
    title = "Learning curves"
    told, parts = [], []
    for folder in material.run.models():
        table, complaint = _epochs(folder)
        if complaint:
            parts.append(Note(complaint))
        elif table is not None:
            told.append(table)
    if not told:
        return Section("learning", title, parts=(Note("No model of this run trained by epochs."), *parts))
    table = pd.concat(told, ignore_index=True)
    order = [name for name in material.placed[MODEL] if name in set(table[MODEL])]
    order += sorted(set(table[MODEL]) - set(order))
    shown = table[table[MODEL].isin(order[:LINES]) & table["validation recall"].notna()]
    chart = (
        alt.Chart(shown)
        .mark_line(point=alt.OverlayMarkDef(size=25))
        .encode(
            x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(zero=False), axis=_whole_epochs(shown)),
            y=alt.Y("validation recall:Q", title="Recall@10 on validation rows (share found)"),
            color=model_color(order[:LINES]),
            tooltip=["model", "epoch", alt.Tooltip("validation recall:Q", format=".4f"), "loss", "seconds"],
        )
        .properties(height=320)
    )
    figure = Figure("learning", "Validation Recall@10 by epoch", _still_rising(table), chart, table)
    intro = f"The best {min(LINES, len(order))} of {len(order)} models that train by epochs; the numbers have them all."
    return Section("learning-curves", title, intro, (figure, *parts))


def _whole_epochs(shown: pd.DataFrame) -> alt.Axis:
    """An axis without half epochs."""
    first, last = shown["epoch"].min(), shown["epoch"].max()
    if shown.empty or last - first > _FEW_EPOCHS:
        return alt.Axis(format="d")
    return alt.Axis(format="d", values=list(range(int(first), int(last) + 1)))


def _epochs(folder: ModelFolder) -> tuple[Optional[pd.DataFrame], str]:
    """[model, epoch, loss, validation recall, seconds] of a model that trained by epochs, or what is wrong with it."""
    if not folder.epochs.is_file():
        return None, ""
    try:
        rows = pd.read_csv(folder.epochs)[[EPOCH, LOSS, RECALL, SECONDS]].astype(float)
    except (ValueError, KeyError) as error:
        logger.warning("%s: %s", folder.epochs, error)
        return None, f"{folder.name}: its epochs.csv cannot be read ({error})."
    rows.columns = pd.Index(["epoch", "loss", "validation recall", "seconds"])
    rows.insert(0, MODEL, folder.name)
    step = -(-len(rows) // _MOST_EPOCHS)
    best = rows["validation recall"].idxmax() if rows["validation recall"].notna().any() else -1
    kept = rows[(np.arange(len(rows)) % max(1, step) == 0) | (rows.index == best) | (rows.index == len(rows) - 1)]
    return (kept if len(rows) > 1 else None), ""


def _still_rising(table: pd.DataFrame) -> str:
    scored = table[table["validation recall"].notna()]
    best = scored.loc[scored.groupby(MODEL)["validation recall"].idxmax()]
    last = scored.groupby(MODEL)["epoch"].max()
    rising = [row.model for row in best.itertuples() if row.epoch == last[row.model]]
    if not rising:
        return "Every model's best epoch lies before its last: more epochs would not have helped."
    return f"{listed(sorted(rising))} had the best epoch at the end: more epochs, or a larger budget, may help."


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.2g} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
