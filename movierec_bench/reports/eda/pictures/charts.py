"""The few kinds of chart that the page is made of. Colours, fonts and widths are the page's theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import altair as alt
import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.columns import HIGH, LOW

HEIGHT = 280  # pixels of a chart without a row a category
STEP = 20  # pixels of a category's row
SERIES, VALUE = "series", "value"
PERCENT = ".0%"
_MAP_HEIGHT = 360  # pixels of a map whose rows are numbers
_MOST_NAMED = 30  # numbers along a side of a map that each get a place of their own
_TICKS = 6
_NAME = 150  # pixels of a category's name
_LOWEST = 120  # pixels of a chart of few categories, which still has the axis's title beside it
_LETTER, _PHONE = 6.8, 330  # pixels of a label's letter, and of an axis on a phone
_END = "_end"  # what a column of numbers is called where its cells end


def bars(table: pd.DataFrame, x: str, y: str, x_title: str, y_title: str) -> alt.Chart:
    """A bar for each of a few named steps, in the order of the table."""
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(f"{x}:O", sort=None, title=x_title, axis=_steps_axis(table[x])),
            y=alt.Y(f"{y}:Q", title=y_title),
            tooltip=list(table.columns),
        )
        .properties(height=HEIGHT)
    )


def histogram(table: pd.DataFrame, y: str, x_title: str, y_title: str, log: bool = False) -> alt.Chart:
    """A bar for each interval of a table of `numbers.bins`; with ``log``, intervals that grow get equal widths."""
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(nice=False)
    axis = _log_axis(table[LOW]) if log else alt.Axis(labelOverlap=True)
    x = alt.X(f"{LOW}:Q", title=x_title, scale=scale, axis=axis)
    return _standing(table, x, HIGH, y, y_title)


def year_bars(table: pd.DataFrame, x: str, y: str, x_title: str, y_title: str) -> alt.Chart:
    """A bar for each of many whole numbers, such as years."""
    axis = alt.Axis(format="d", tickMinStep=1, labelOverlap=True)
    x_side = alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=False, nice=False), axis=axis)
    return _standing(_cell_ends(table, x), x_side, f"{x}{_END}", y, y_title)


def group_histograms(table: pd.DataFrame, group: str, x_title: str, y_title: str, share: str) -> alt.Chart:
    """The shape of several groups over the same growing intervals, as stepped lines over a logarithmic axis."""
    ended = pd.concat([table, _ends(table, group)]).sort_values([group, LOW], kind="stable")
    return (
        alt.Chart(ended)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X(f"{LOW}:Q", title=x_title, scale=alt.Scale(type="log", nice=False), axis=_log_axis(ended[LOW])),
            y=alt.Y(f"{share}:Q", title=y_title, axis=percent_axis()),
            color=_series(group, list(dict.fromkeys(table[group]))),
            tooltip=list(table.columns),
        )
        .properties(height=HEIGHT)
    )


def grouped_bars(
    table: pd.DataFrame, x: str, series: dict[str, str], x_title: str, y_title: str, across: bool = False
) -> alt.Chart:
    """Bars of several columns of shares side by side.

    Args:
        table: one row a step or category.
        x: column of the steps or categories, in the order of the table.
        series: column -> what the legend calls it.
        x_title: of the axis of the steps.
        y_title: of the axis of the shares.
        across: bars lie, a category a row: for long names or many of them.
    """
    values = table.melt(id_vars=[x], value_vars=list(series), var_name=SERIES, value_name=VALUE)
    values[SERIES] = values[SERIES].map(series)
    order = list(series.values())
    colour = _series(SERIES, order)
    tooltip = [x, SERIES, alt.Tooltip(f"{VALUE}:Q", format=".1%")]
    chart = alt.Chart(values).mark_bar()
    if across:
        return chart.encode(
            y=alt.Y(f"{x}:O", sort=None, title=x_title, axis=alt.Axis(labelLimit=_NAME)),
            yOffset=alt.YOffset(f"{SERIES}:N", sort=order),
            x=alt.X(f"{VALUE}:Q", title=y_title, axis=percent_axis()),
            color=colour,
            tooltip=tooltip,
        ).properties(height=max(_LOWEST, STEP * len(table) * max(1, len(series) / 2)))
    return chart.encode(
        x=alt.X(f"{x}:O", sort=None, title=x_title, axis=_steps_axis(table[x])),
        xOffset=alt.XOffset(f"{SERIES}:N", sort=order),
        y=alt.Y(f"{VALUE}:Q", title=y_title, axis=percent_axis()),
        color=colour,
        tooltip=tooltip,
    ).properties(height=HEIGHT)


def lying_bars(table: pd.DataFrame, y: str, x: str, y_title: str, x_title: str) -> alt.Chart:
    """A lying bar for each name, in the order of the table."""
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            y=alt.Y(f"{y}:N", sort=None, title=y_title, axis=alt.Axis(labelLimit=_NAME)),
            x=alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(labelOverlap=True, tickCount=_TICKS, format="~s")),
            tooltip=list(table.columns),
        )
        .properties(height=max(_LOWEST, STEP * len(table)))
    )


def heat_map(
    table: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    titles: tuple[str, str, str],
    order: Optional[Sequence[str]] = None,
    percent: bool = False,
    diverging: bool = False,
) -> alt.Chart:
    """A cell for each pair of two columns.

    Args:
        table: one row a cell.
        x: column across; more than `_MOST_NAMED` whole numbers, such as years, become an axis of numbers.
        y: column down, likewise.
        colour: column of the cells' values.
        titles: of the axis across, the axis down, and the colours.
        order: of names, from the top and from the left; None for the table's.
        percent: the values are shares.
        diverging: the values lie on both sides of 0, which gets the colour in the middle.
    """
    if diverging:
        scale = alt.Scale(range="diverging", domainMid=0, interpolate="rgb")
    else:
        scale = alt.Scale(type="sqrt", range="heatmap")
    numbers = "+.1f" if diverging else PERCENT if percent else "~s"
    legend = alt.Legend(format=numbers, gradientLength=200, tickCount=4, titleLimit=320)
    encoding = {
        **_side("x", alt.X, table, x, titles[0], order),
        **_side("y", alt.Y, table, y, titles[1], order),
        "color": alt.Color(f"{colour}:Q", title=titles[2], scale=scale, legend=legend),
        "tooltip": list(table.columns),
    }
    height = _MAP_HEIGHT if _on_numbers(table, y) else STEP * table[y].nunique()
    return alt.Chart(_cell_ends(table, x, y)).mark_rect().encode(**encoding).properties(height=height)


def line(table: pd.DataFrame, x: alt.X, y: alt.Y) -> alt.Chart:
    """One line."""
    return alt.Chart(table).mark_line().encode(x=x, y=y, tooltip=list(table.columns)).properties(height=HEIGHT)


def percent_axis() -> alt.Axis:
    """An axis of shares as whole percents."""
    return alt.Axis(format=PERCENT, tickCount=_TICKS, labelOverlap=True)


def _standing(table: pd.DataFrame, x: alt.X, ends: str, y: str, y_title: str) -> alt.Chart:
    # Without y2 Vega-Lite takes x and x2 for the ends of lying bars.
    up = alt.Y(f"{y}:Q", title=y_title)
    bar = alt.Chart(table).mark_bar(binSpacing=0.5)
    return bar.encode(x=x, x2=f"{ends}:Q", y=up, y2=alt.Y2Datum(0), tooltip=list(table.columns)).properties(
        height=HEIGHT
    )


def _series(column: str, order: list[str]) -> alt.Color:
    return alt.Color(f"{column}:N", title=None, sort=order, legend=alt.Legend(labelLimit=300))


def _steps_axis(steps: pd.Series) -> alt.Axis:
    """Labels level where they are few and short enough for a phone, and slanted otherwise."""
    widest = max(len(str(step)) for step in steps)
    fits = len(steps) * (_LETTER * widest + 4) <= _PHONE
    return alt.Axis(labelAngle=0 if fits else -40, labelOverlap=False, labelLimit=180)


def _on_numbers(table: pd.DataFrame, column: str) -> bool:
    return bool(pd.api.types.is_numeric_dtype(table[column])) and table[column].nunique() > _MOST_NAMED


def _cell_ends(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    numbers = [name for name in columns if pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{f"{name}{_END}": table[name] + 1 for name in numbers})


def _side(
    channel: str,
    kind: Union[type[alt.X], type[alt.Y]],
    table: pd.DataFrame,
    column: str,
    title: str,
    order: Optional[Sequence[str]],
) -> dict[str, Union[alt.X, alt.Y, str]]:
    if pd.api.types.is_numeric_dtype(table[column]):
        if not _on_numbers(table, column):
            return {
                channel: kind(
                    f"{column}:O", title=title, axis=alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=4)
                )
            }
        scale = alt.Scale(zero=False, nice=False)
        axis = alt.Axis(format="d", tickMinStep=1, labelOverlap=True)
        return {channel: kind(f"{column}:Q", title=title, scale=scale, axis=axis), f"{channel}2": f"{column}{_END}:Q"}
    return {channel: kind(f"{column}:N", title=title, sort=None if order is None else list(order))}


def _ends(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """Where each group's last step ends, so that the line is drawn to there."""
    last = table.groupby(group, sort=False).tail(1)
    return last.assign(**{LOW: last[HIGH]})


def _log_axis(values: pd.Series) -> alt.Axis:
    """Labels at 1, 2 and 5 times the powers of ten, so that they never run into each other."""
    powers = 10.0 ** np.arange(-3, 8)
    ticks = sorted(step * power for power in powers for step in (1, 2, 5))
    inside = [tick for tick in ticks if values.min() <= tick <= values.max()]
    return alt.Axis(values=inside, format="~s", labelOverlap=True)
