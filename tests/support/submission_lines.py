"""The lines of a small valid submission, and files of lines."""

from __future__ import annotations

from pathlib import Path
from typing import Callable


def valid_lines() -> list[str]:
    given_to = {7: range(110, 120), 11: range(120, 130), 40: range(109, 119)}
    return ["user,item", *(f"{user},{item}" for user, items in given_to.items() for item in items)]


def write_lines(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def replace_line(line: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[: line - 1], text, *lines[line:]]
