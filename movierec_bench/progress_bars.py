"""Progress bars where somebody watches: on a terminal or under a notebook's cell, and nowhere else."""

from __future__ import annotations

import html
import io
import threading
from collections.abc import Iterable
from typing import Any, TypeVar, Union

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from movierec_bench.notebook import in_notebook

Item = TypeVar("Item")

_WIDTH = 110  # characters of a line under a cell
_REDRAW_SECONDS = 0.5


def watched(quiet: bool = False) -> bool:
    """Whether bars would be seen: unless ``quiet``, on a terminal and in a notebook."""
    return not quiet and (in_notebook() or Console(stderr=True).is_terminal)


def bars(*columns: Union[str, ProgressColumn], quiet: bool = False, transient: bool = False) -> Bars:
    """Bars that are drawn where they are `watched`; a context manager.

    Args:
        columns: rich's columns; its usual ones when none are given.
        quiet: draw nothing.
        transient: leave nothing behind at the end.
    """
    return (_NotebookBars if in_notebook() else Bars)(*columns, disable=not watched(quiet), transient=transient)


def track(items: Iterable[Item], what: str, quiet: bool = False) -> Iterable[Item]:
    """Go through ``items`` beside a bar named ``what`` that is gone at the end."""
    with bars(quiet=quiet, transient=True) as shown:
        yield from shown.track(items, description=what)


class Bars(Progress):
    """rich's `Progress` on standard error."""

    def __init__(self, *columns: Union[str, ProgressColumn], disable: bool, transient: bool) -> None:
        super().__init__(*columns, console=Console(stderr=True), disable=disable, transient=transient)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, markup=False, highlight=False)


class _NotebookBars(Bars):
    """Bars and the lines above them as one output that is replaced, which every front end can do.

    rich itself needs ipywidgets for that, leaves nothing in a stored notebook, and counts a kernel as no terminal.
    """

    def __init__(self, *columns: Union[str, ProgressColumn], disable: bool, transient: bool) -> None:
        super().__init__(*columns, disable=disable, transient=transient)
        self._gone_at_the_end = transient
        self._lines: list[str] = []
        self._output: Any = None
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._repaint, daemon=True, name="progress")

    def say(self, line: str) -> None:
        self._lines.append(line)

    def start(self) -> None:
        from IPython.display import display

        if not self.disable:
            self._output = display(_output(self._picture()), raw=True, display_id=True)
            self._painter.start()

    def stop(self) -> None:
        if self._output is None:
            return
        self._over.set()
        self._painter.join()
        self._show("" if self._gone_at_the_end else self._picture())

    def refresh(self) -> None:
        """Nothing: the painter does it."""

    def _repaint(self) -> None:
        while not self._over.wait(_REDRAW_SECONDS):
            self._show(self._picture())

    def _show(self, picture: str) -> None:
        self._output.update(_output(picture), raw=True)

    def _picture(self) -> str:
        paper = Console(file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False)
        paper.print(self.get_renderable())
        drawn = paper.export_html(inline_styles=True, code_format="{code}")
        lines = "".join(f"{html.escape(line)}\n" for line in self._lines)
        return f'<pre style="line-height: normal">{lines}{drawn}</pre>'


def _output(picture: str) -> dict[str, str]:
    return {"text/html": picture, "text/plain": ""}
