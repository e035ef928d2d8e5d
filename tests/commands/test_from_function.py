"""A command is its Python function: the same parameters, defaults and help."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Optional

import pytest
import typer
from typer.testing import CliRunner

import movierec_bench as mb
from movierec_bench.cli import COMMANDS
from movierec_bench.commands.from_function import command_from
from movierec_bench.schema import PathLike

SEEN: list[tuple[object, ...]] = []


def brew(run: PathLike, cups: int, sugar: Optional[float] = None, with_milk: bool = False) -> int:
    """Make tea.

    Args:
        run: the kettle.
        cups: how many,
            in all.
        sugar: spoons of ``sugar`` or a sequence; None for two. None: no sugar.
        with_milk: add milk.
    """
    SEEN.append((run, cups, sugar, with_milk))
    if cups > 9:
        raise KeyboardInterrupt
    return cups


def app() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(command_from(brew, lambda cups: cups % 2, arguments=("run",), stopped="cold"))
    return app


def test_flags_reach_the_function_with_their_types() -> None:
    done = CliRunner().invoke(app(), ["kettle", "--cups", "2", "--sugar", "0.5", "--with-milk"])
    assert (done.exit_code, SEEN[-1]) == (0, (Path("kettle"), 2, 0.5, True))


def test_defaults_are_the_functions_and_show_gives_the_exit_code() -> None:
    done = CliRunner().invoke(app(), ["kettle", "--cups", "3"])
    assert (done.exit_code, SEEN[-1]) == (1, (Path("kettle"), 3, None, False))


def test_ctrl_c_ends_with_130_and_says_what_is_kept() -> None:
    done = CliRunner().invoke(app(), ["kettle", "--cups", "10"])
    assert (done.exit_code, done.stdout) == (130, "cold\n")


def test_help_is_the_docstrings() -> None:
    text = " ".join(CliRunner().invoke(app(), ["--help"]).stdout.replace("│", " ").split())
    assert "How many, in all." in text
    assert "Spoons of `sugar`; left out: two. Left out: no sugar." in text


def test_a_parameter_without_help_is_refused() -> None:
    def undocumented(cups: int) -> int:
        """Make tea."""
        return cups

    with pytest.raises(TypeError, match="the parameter cups has no line under Args"):
        command_from(undocumented, lambda cups: None)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_a_keyword_of_the_python_function(name: str) -> None:
    command = importlib.import_module(f"movierec_bench.commands.{name}").command
    flags = set(inspect.signature(command).parameters)
    keywords = set(inspect.signature(mb.load_catalog if name == "models" else getattr(mb, name)).parameters)
    assert flags == keywords | ({"models", "name"} if name == "models" else set())
