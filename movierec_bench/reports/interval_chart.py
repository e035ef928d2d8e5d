"""The board as a chart: each model's Recall@10 with its 95 % interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from movierec_bench.errors import ConfigError
from movierec_bench.schema import BOARD_COLUMNS, MAIN_METRIC

if TYPE_CHECKING:  # half a second to import
    import altair

_PLACE, _MODEL, _FAMILY, _, _, _, _CI_LOW, _CI_HIGH = BOARD_COLUMNS[:8]
_ROW = 18  # pixels a model


def interval_chart(table: pd.DataFrame, models: int) -> altair.LayerChart:
    """The first ``models`` placed rows of a board, in its order: a point a model, and its interval as a line.

    Args:
        table: a board's rows.
        models: at least 1.

    Raises:
        ConfigError: fewer than 1, or no row has a place.
    """
    import altair as alt

    if models < 1:
        raise ConfigError(f"models is {models}; expected at least 1, such as 40")
    placed = table[table[_PLACE].notna()].head(models)
    if placed.empty:
        raise ConfigError("no model of this board was scored to the end, so there is nothing to draw; run one first")
    rows = placed[[_MODEL, _FAMILY, MAIN_METRIC, _CI_LOW, _CI_HIGH]].rename(columns={MAIN_METRIC: "recall"})
    base = alt.Chart(rows, width=480, height=alt.Step(_ROW))
    model = alt.Y(f"{_MODEL}:N", sort=rows[_MODEL].tolist(), title=None)
    scale = alt.Scale(zero=False)
    intervals = base.mark_rule().encode(
        y=model, x=alt.X(f"{_CI_LOW}:Q", title=f"{MAIN_METRIC}, 95 % interval", scale=scale), x2=f"{_CI_HIGH}:Q"
    )
    told = [_MODEL, _FAMILY, *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("recall", _CI_LOW, _CI_HIGH))]
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=model, x="recall:Q", color=f"{_FAMILY}:N", tooltip=told
    )
    return intervals + points
