"""The command line: parse, call, print.

Exit codes: 0 all well; 1 some models failed (the rest are complete); 2 bad usage, configuration or
data; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Collection
from typing import Callable

import typer
from rich.console import Console

from movierec_bench.errors import BenchError

# A command and its line in --help. The rest stands in commands/<name>.py, which is imported when it is used.
COMMANDS = {
    "convert": "Check a competition's files, or any log of users and items, and write RecBole atomic files.",
    "models": "List the catalogue.",
    "run": "Train, rank, score, refit and submit; goes on where an earlier run ended.",
    "leaderboard": "Print a run's table again, sorted and filtered, or by segment of the users.",
    "report": "Write one HTML page about a run: board, curves, comparisons, mixes, and any user's lists.",
    "eda": "Draw what is in the data: one page, and each picture as PNG and CSV.",
    "ensemble": "Mix stored rankings without training.",
    "submit": "Write a model's submission from its stored refit ranking.",
    "score": "Check any submission, and score it against any answers.",
    "tune": "Search better parameters on the validation rows; goes on where an earlier search ended.",
    "track": "Upload to MLflow whatever it lacks of a run or a search.",
}


def build_app(used: Collection[str]) -> typer.Typer:
    """Make the app of all commands, in which those of ``used`` work; of the others there is their line in ``--help``.

    What a command needs is imported with it, which can take seconds.
    """
    app = typer.Typer(
        help="Benchmarks every recommender under one protocol and writes a leaderboard and submissions.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, line in COMMANDS.items():
        app.command(name, help=line)(load_command(name) if name in used else _unused)
    return app


def main() -> None:
    """Run the command line; errors of ours become one message and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        build_app([word for word in sys.argv[1:] if not word.startswith("-")][:1])()
    except BenchError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def load_command(name: str) -> Callable[..., None]:
    """Import a command of ``COMMANDS``: a function whose parameters are its flags."""
    command: Callable[..., None] = importlib.import_module(f"movierec_bench.commands.{name}").command
    return command


def _unused() -> None:
    """Stand for a command that is not called."""
