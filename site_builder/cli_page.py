"""The commands' page, from the functions behind the command line."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from typer.models import ArgumentInfo, OptionInfo

_VALUES = {int: "integer", float: "number", str: "text", Path: "path", bool: ""}
_INTRODUCTION = """# Commands

Written from the program itself; `python -m movierec_bench COMMAND --help` says the same. Every option is also a
keyword of the [Python function](api.md) of the same name. Exit codes: 0 all well; 1 some models failed (the rest are
complete); 2 bad usage, configuration or data, said in one message; 130 stopped with Ctrl-C.
"""


@dataclass(frozen=True)
class _Setting:
    """One argument or option: how it is written, what it takes, its default, and what it is."""

    written: str
    value: str
    default: str
    help: str
    is_argument: bool


def cli_page() -> str:
    """Return the Markdown of ``reference/cli.md``."""
    from movierec_bench.cli import COMMANDS, load_command

    lines = [_INTRODUCTION]
    for name, line in COMMANDS.items():
        lines += _command(name, line, load_command(name))
    return "\n".join(lines)


def _command(name: str, line: str, function: Callable[..., Any]) -> list[str]:
    settings = list(_settings(function))
    usage = ["python -m movierec_bench", name, *(each.written for each in settings if each.is_argument), "[OPTIONS]"]
    lines = [f"## {name}", "", line, "", "```text", " ".join(usage), "```", ""]
    if settings:
        lines += ["| option | takes | default | what it is |", "|---|---|---|---|"]
    lines += [f"| `{each.written}` | {each.value} | {each.default} | {_cell(each.help)} |" for each in settings]
    return [*lines, ""]


def _settings(function: Callable[..., Any]) -> Iterator[_Setting]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *metadata = typing.get_args(hints[name]) if hasattr(hints[name], "__metadata__") else (hints[name],)
        info = next((each for each in metadata if isinstance(each, (OptionInfo, ArgumentInfo))), OptionInfo())
        is_argument = isinstance(info, ArgumentInfo)
        written = name.upper() if is_argument else ", ".join(info.param_decls or [f"--{name.replace('_', '-')}"])
        yield _Setting(written, _value(kind), _default(parameter, kind), info.help or "", is_argument)


def _value(kind: Any) -> str:
    if typing.get_origin(kind) is Union:
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    return _VALUES[kind]


def _default(parameter: inspect.Parameter, kind: Any) -> str:
    if parameter.default is parameter.empty:
        return "required"
    return "" if parameter.default is None or kind is bool else f"`{parameter.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
