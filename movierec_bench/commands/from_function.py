"""Makes a command of a Python function: flags from its parameters, help from its docstring."""

from __future__ import annotations

import inspect
import os
import re
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Callable, Optional, TypeVar, Union

import docstring_parser
import typer

from movierec_bench.commands.terminal import flush_output, say
from movierec_bench.errors import system_error

Result = TypeVar("Result")

# What a docstring says to callers in Python, and what that is on the command line.
_WORDS = {
    r" or a (sequence|mapping)\b": "",
    r"(^|\. )None(: | for )": r"\1Left out: ",
    r"([;,] )None(: | for )": r"\1left out: ",
    r'`(\w+)="(\w+)"`': r"`--\1 \2`",
}


def command_from(
    function: Callable[..., Result],
    show: Callable[[Result], Optional[int]],
    arguments: Collection[str] = (),
    stopped: str = "stopped",
) -> Callable[..., None]:
    """Make a command for typer that calls ``function`` and shows its result.

    Args:
        function: its parameters become flags. A bool becomes a switch that is off by default; whatever accepts a
            path is read as a path, whatever else accepts text is handed over as text.
        show: prints the result and may return an exit code; None is 0.
        arguments: parameters that are given by position instead of by flag.
        stopped: what to say after Ctrl-C, which ends with code 130.

    Raises:
        TypeError: a parameter has no help in the docstring's Args.
    """
    description = docstring_parser.parse(inspect.getdoc(function) or "", docstring_parser.DocstringStyle.GOOGLE)
    helps = {argument.arg_name: _plain(argument.description or "") for argument in description.params}
    hints = typing.get_type_hints(function)
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in helps:
            raise TypeError(f"{function.__name__}: the parameter {name} has no line under Args")
        flag = _flag(name, hints[name], helps[name], name in arguments)
        annotation: Any = Annotated[_flag_type(hints[name]), flag]  # type: ignore[misc]
        parameters.append(parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation))

    def call(**given: Any) -> None:
        try:
            code = show(function(**given)) or 0
            flush_output()
        except KeyboardInterrupt:
            say(stopped)
            raise typer.Exit(130) from None
        except OSError as error:  # typer would end with code 1 where a connection broke
            raise system_error(error) from error
        raise typer.Exit(code)

    call.__name__ = function.__name__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _flag_type(hint: Any) -> Any:
    """What the command line reads for a parameter of that type."""
    choices = _choices(hint)
    kinds = [Path if typing.get_origin(kind) is os.PathLike else kind for kind in choices if kind is not type(None)]
    kept = next((kind for kind in (bool, Path, str) if kind in kinds), kinds[0])
    return Optional[kept] if type(None) in choices else kept


def _choices(hint: Any) -> list[Any]:
    return [part for arg in typing.get_args(hint) for part in _choices(arg)] if _is_union(hint) else [hint]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is Union


def _flag(name: str, hint: Any, text: str, by_position: bool) -> Any:
    if by_position:
        return typer.Argument(help=text)
    flag = f"--{name.replace('_', '-')}"
    return typer.Option(flag, help=text) if bool in _choices(hint) else typer.Option(help=text)


def _plain(text: str) -> str:
    """Docstring text for a terminal: one line, without marks of code, in words of the command line."""
    line = " ".join(text.replace("``", "`").split())
    for pattern, words in _WORDS.items():
        line = re.sub(pattern, words, line)
    return line[:1].upper() + line[1:]
