"""A chart with its heading, the sentence of what to notice and its numbers; as part of a page or as a PNG file."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.reports.pages.theme import CONFIGS, LIGHT
from movierec_bench.runs.files import replacing

if TYPE_CHECKING:  # half a second to import
    import altair

_LIBRARY = "window.vegaEmbed = vegaEmbed;"  # all that the page needs of Vega, Vega-Lite and vega-embed
_DIGITS = 6  # significant digits of a number in a page
_STEP = 20  # pixels a category
_PNG_WIDTH = 720  # pixels of a chart that takes the page's width, before scaling
_PNG_SCALE = 2.0


@dataclass(frozen=True)
class Figure:
    """A chart and what belongs to it.

    Args:
        name: anchor in the page and stem of files: lower-case letters, digits and ``-``; no two alike in a page.
        title: says what is shown, as a heading.
        notice: the sentence of what to notice, computed from the numbers.
        chart: an Altair chart. Its data are inlined: aggregate first. A single or layered chart gets the page's
            width; its colours come from the theme. Both axes need a title with a unit.
        table: the numbers for those who read a table or take the CSV; None for the chart's own, if it has one
            data frame.
        label: what a screen reader calls the chart; the title when left out.
    """

    name: str
    title: str
    notice: str
    chart: altair.TopLevelMixin
    table: Optional[pd.DataFrame] = None
    label: str = ""

    @functools.cached_property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, its data by column in ``datasets``: name to [columns, a list a column]."""
        # The limit guards notebooks; here the writer of a chart aggregates, and the page's size is tested.
        import altair

        with altair.data_transformers.enable("default", max_rows=None, consolidate_datasets=True):
            spec: dict[str, Any] = self.chart.to_dict()
        for key in ("$schema", "config"):  # the theme is the page's, and so is the version of Vega-Lite
            spec.pop(key, None)
        spec["datasets"] = {name: _by_column(rows) for name, rows in spec.get("datasets", {}).items()}
        if not any(key in spec for key in ("hconcat", "vconcat", "concat", "facet", "repeat")):
            spec.setdefault("width", "container")
            _fix_height(spec)
            spec["autosize"] = {"type": "fit-x", "contains": "padding", "resize": True}
        return spec

    def to_frame(self) -> pd.DataFrame:
        """The numbers of the table and the CSV file.

        Raises:
            ValueError: the chart has no data frame or several, and no table was given.
        """
        if self.table is not None:
            return self.table
        datasets = list(self.spec["datasets"].values())
        if len(datasets) != 1:
            raise ValueError(f"figure {self.name!r} has {len(datasets)} data frames; expected one, or a table")
        columns, values = datasets[0]
        return pd.DataFrame(dict(zip(columns, values)))

    def for_page(self) -> dict[str, Any]:
        """What the page's script draws and tabulates."""
        frame = self.to_frame()
        spec = dict(self.spec)
        own = [name for name, values in spec["datasets"].items() if self.table is None or values == by_column(frame)]
        table: Union[str, list[Any]] = own[0] if own else by_column(frame)
        return {"spec": spec, "table": table}


def write_png(path: Path, figure: Figure, theme: str = LIGHT) -> None:
    """Draw ``figure`` into a PNG file, without a browser.

    Args:
        path: the file.
        figure: what to draw.
        theme: "light" or "dark".
    """
    import vl_convert

    spec = copy.copy(figure.spec)
    spec["datasets"] = {name: _records(*values) for name, values in spec["datasets"].items()}
    spec["config"] = {**CONFIGS[theme], "background": "white" if theme == LIGHT else "#1a1a19"}
    if spec.get("width") == "container":
        spec["width"] = _PNG_WIDTH
    spec.pop("autosize", None)
    spec["padding"] = 12
    spec["title"] = figure.title
    image = vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


@functools.lru_cache(maxsize=1)
def chart_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines ``vegaEmbed`` and asks no network for anything."""
    import vl_convert

    # In a function of its own, so that its hundreds of short names are nobody else's.
    return f"(function () {{{vl_convert.javascript_bundle(_LIBRARY)}}})();"


def by_column(frame: pd.DataFrame) -> list[Any]:
    """[columns, a list of values for each]: numbers to six significant digits, null where there is none."""
    return [list(map(str, frame.columns)), [list(map(plain, frame[column].tolist())) for column in frame.columns]]


def plain(value: Any) -> Any:
    """``value`` as JSON has it: numbers short, times as text, null for what is missing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else None
    return value if isinstance(value, str) else str(value)


def _fix_height(spec: dict[str, Any]) -> None:
    """Turn a height of so much a category into pixels; Vega-Lite fits no chart's width whose height is not known."""
    height = spec.get("height")
    step = height.get("step", _STEP) if isinstance(height, dict) else _STEP
    if height is not None and not isinstance(height, dict):
        return
    for view in (spec, *spec.get("layer", ())):
        axis = view.get("encoding", {}).get("y", {})
        columns, values = spec["datasets"].get(view.get("data", spec.get("data", {})).get("name"), ([], []))
        if axis.get("type") in ("nominal", "ordinal") and axis.get("field") in columns:
            spec["height"] = step * max(1, len(set(values[columns.index(axis["field"])])))
            return


def _by_column(rows: list[dict[str, Any]]) -> list[Any]:
    columns = list(rows[0]) if rows else []
    return [columns, [[plain(row.get(column)) for row in rows] for column in columns]]


def _records(columns: list[str], values: list[list[Any]]) -> list[dict[str, Any]]:
    rows: Iterator[tuple[Any, ...]] = zip(*values)
    return [dict(zip(columns, row)) for row in rows]
