"""How charts of the report show a model and a family: by the same colour everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import altair as alt

from movierec_bench.reports.board_columns import BOARD_FAMILIES

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")


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


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names as "A, B and C"; of a longer list the first, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
