"""How charts of the report show a model and a family: by the same colour everywhere, intervals as points on lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from movierec_bench.reports.board_columns import BOARD_FAMILIES
from movierec_bench.schema import FAMILY, MODEL

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
_TITLE = "Recall@10 (share found)"


def model_color(models: Sequence[str]) -> alt.Color:
    """The colour of a model, with a legend in this order."""
    return alt.Color("model:N", title="model", sort=None, scale=alt.Scale(domain=list(models)))


def model_shape(models: Sequence[str]) -> alt.Shape:
    """The shape of a model's point, for those who tell no colours apart."""
    scale = alt.Scale(domain=list(models), range=list(SHAPES[: len(models)]))
    return alt.Shape("model:N", title="model", sort=None, scale=scale)


def family_color(families: Iterable[str]) -> alt.Color:
    """The colour of a family, the same in every chart, with a legend of those ``families`` that a chart shows."""
    shown = set(families)
    legend = alt.Legend(values=[family for family in BOARD_FAMILIES if family in shown])
    return alt.Color("family:N", title="family", scale=alt.Scale(domain=list(BOARD_FAMILIES)), legend=legend)


def interval_chart(rows: pd.DataFrame, value: str, low: str, high: str, told: Sequence[Any]) -> alt.LayerChart:
    """A point a model, coloured by family, on the line of its interval of Recall@10; models in the order of ``rows``.

    Args:
        rows: with columns ``model``, ``family`` and the next three.
        value: the column of the points.
        low: the column where the lines begin.
        high: the column where they end.
        told: what a point's tooltip tells besides model and family.
    """
    y = alt.Y("model:N", sort=rows[MODEL].tolist(), title=None)
    begin, point = (alt.X(f"{column}:Q", title=_TITLE, scale=alt.Scale(zero=False)) for column in (low, value))
    base = alt.Chart(rows)
    lines = base.mark_rule(strokeWidth=2).encode(y=y, x=begin, x2=f"{high}:Q")
    color = family_color(rows[FAMILY])
    points = base.mark_point(opacity=1).encode(y=y, x=point, color=color, tooltip=[MODEL, FAMILY, *told])
    return lines + points


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names as "A, B and C"; of a longer list the first, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
