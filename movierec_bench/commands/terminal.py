"""Printing to the terminal; the only place of the library that does."""

from __future__ import annotations

from rich.console import Console, RenderableType


def say(text: str) -> None:
    """Print a line as it is: not wrapped, no markup."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def show_table(table: RenderableType) -> None:
    """Print a rich table."""
    console().print(table)


def console() -> Console:
    """The standard output. Piped, it keeps its columns: nothing there tells rich how wide to be."""
    found = Console()
    return found if found.is_terminal else Console(width=160)
