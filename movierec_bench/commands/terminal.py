"""Printing to the terminal; the only place of the library that does."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from movierec_bench.errors import readable
from movierec_bench.runs.command import command_line


def say(text: str) -> None:
    """Print a line as it is: not wrapped, no markup."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def say_next(command: str, *given: Any, **flags: Any) -> None:
    """Print the command that is useful next: its name, what is given by position, and flags by their keywords."""
    line = command_line(command, flags)
    words = "".join(f" {shlex.quote(str(word))}" for word in given)
    head = f"python -m movierec_bench {command}"
    say(f"next: {head}{words}{line.removeprefix(head)}")


def flags_of_data(folder: Path) -> dict[str, Optional[str]]:
    """The flags of `say_next` by which a command finds a converted data set, where it would not find it without."""
    several = sum((path / f"{path.name}.inter").is_file() for path in folder.parent.iterdir()) > 1
    elsewhere = folder.parent != Path("atomic_data")
    return {"dataset": folder.name if several else None, "atomic": str(folder.parent) if elsewhere else None}


def show_table(table: RenderableType) -> None:
    """Print a rich table."""
    console().print(table)


def console() -> Console:
    """The standard output. Piped, it keeps its columns: nothing there tells rich how wide to be."""
    found = _Console()
    return found if found.is_terminal else _Console(width=160)


def flush_output() -> None:
    """Write what is printed so far. Raises OSError where there is no room for it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Throw away what is still to be printed: its reader has gone, or the disk is full."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


class _Console(Console):
    def render(self, renderable: RenderableType, options: Optional[ConsoleOptions] = None) -> Iterable[Segment]:
        """What to print, with control characters spelled out: a name or an error may be a stranger's."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(readable(segment.text, sys.maxsize), segment.style)

    def on_broken_pipe(self) -> None:
        """Print no more, as the reader, such as `head`, has closed the pipe; the exit code stays the command's."""
        discard_output()
