"""The colours and sizes of every chart, light and dark: Vega-Lite's ``config``, the only place they are written.

A chart names no colour of its own, or it would not follow the page into dark mode: categories, ramps and the styles
``QUIET``, ``ACCENT`` and ``BAND`` (``mark_rule(style=QUIET)``) are enough.
"""

from __future__ import annotations

from typing import Any

QUIET, ACCENT, BAND = "quiet", "accent", "band"  # a mark in the background; one that stands out; an interval's area
LIGHT, DARK = "light", "dark"

_FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"


def _config(
    ink: str, soft: str, line: str, quiet: str, accent: str, categories: list[str], ramp: list[str], middle: str
) -> dict[str, Any]:
    text = {"labelColor": soft, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 600}
    return {
        "background": None,
        "font": _FONT,
        "aria": False,  # the page labels the whole chart, and gives its numbers as a table
        "view": {"stroke": None},
        "axis": {**text, "gridColor": line, "domainColor": quiet, "tickColor": quiet, "labelLimit": 150},
        "legend": {**text, "orient": "bottom", "symbolStrokeWidth": 2, "labelLimit": 150, "columns": 4},
        "header": {**text},
        "title": {"color": ink, "fontSize": 13, "anchor": "start"},
        "mark": {"color": categories[0], "tooltip": True},
        "bar": {"cornerRadiusEnd": 2},
        "line": {"strokeWidth": 2},
        "point": {"filled": True, "size": 60},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": soft},
        "range": {
            "category": categories,
            "ordinal": ramp,
            "heatmap": ramp,
            "ramp": ramp,
            "diverging": [categories[0], middle, categories[1]],
        },
        "style": {
            QUIET: {"color": quiet, "fill": quiet, "stroke": quiet},
            ACCENT: {"color": accent, "fill": accent, "stroke": accent},
            BAND: {"opacity": 0.25},
        },
    }


CONFIGS: dict[str, dict[str, Any]] = {
    LIGHT: _config(
        ink="#0b0b0b",
        soft="#52514e",
        line="#e1e0d9",
        quiet="#a3a29a",
        accent="#c2410c",
        categories=["#2a78d6", "#eb6834", "#1baf7a", "#eda100", "#e87ba4", "#4a3aa7", "#e34948", "#008300"],
        ramp=["#e6f0fc", "#b7d3f6", "#86b6ef", "#5598e7", "#2a78d6", "#1c5cab", "#104281"],
        middle="#f0efec",
    ),
    DARK: _config(
        ink="#ffffff",
        soft="#c3c2b7",
        line="#33332f",
        quiet="#7d7c74",
        accent="#fb923c",
        categories=["#4b94ea", "#e2703f", "#22b483", "#d99a1c", "#e07aa2", "#9f95ef", "#ee7a7a", "#3fa43f"],
        ramp=["#17263a", "#14335c", "#184f95", "#256abf", "#3987e5", "#6da7ec", "#b7d3f6"],
        middle="#383835",
    ),
}
