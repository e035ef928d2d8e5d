"""What is different in a notebook: whether this is one, its log, and how a result looks under a cell."""

from __future__ import annotations

import html
import logging
import sys
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:  # rich takes a tenth of a second to import
    from rich.console import Console, RenderableType
    from rich.table import Table

_CELL = "text-align: {justify}; white-space: pre-line"


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, which Colab's and Kaggle's are too."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def show_log() -> None:
    """Print this library's log lines under the cell that runs, in a notebook whose user has set up no logging.

    The command line sets up its own; elsewhere a library that logs unasked would be in the way.
    """
    ours, root = logging.getLogger("movierec_bench"), logging.getLogger()
    asked_for = root.handlers and root.level and root.level <= logging.INFO
    if not in_notebook() or ours.handlers or ours.level or asked_for:
        return
    handler = logging.StreamHandler(sys.stdout)  # standard error is for errors: front ends paint it red
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False  # the root's handlers, which Colab has, would print warnings once more


def table_html(table: Table) -> str:
    """A table for the terminal as an HTML table, with its title above it and its caption below.

    Args:
        table: a rich table of plain texts.
    """
    from rich.console import Console

    console = Console(width=200)
    heads = [(column.justify, _plain(column.header, console)) for column in table.columns]
    columns = [[_plain(cell, console) for cell in column.cells] for column in table.columns]
    head = "".join(f'<th style="{_style(justify)}">{text}</th>' for justify, text in heads)
    rows = [
        "".join(f'<td style="{_style(justify)}">{text}</td>' for (justify, _), text in zip(heads, row))
        for row in zip(*columns)
    ]
    title = f"<p><b>{_plain(table.title, console)}</b></p>" if table.title else ""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    lines = _plain(table.caption, console) if table.caption else ""
    caption = f'<p style="white-space: pre-line">{lines}</p>' if lines else ""
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{caption}"


def text_html(text: str) -> str:
    """A few lines of plain text as HTML that keeps them."""
    return f'<p style="white-space: pre-line">{html.escape(text)}</p>'


def _plain(cell: Union[RenderableType, str], console: Console) -> str:
    text = console.render_str(cell) if isinstance(cell, str) else cell
    return html.escape(str(text))


def _style(justify: str) -> str:
    return _CELL.format(justify="left" if justify == "default" else justify)
