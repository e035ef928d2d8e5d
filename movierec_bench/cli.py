"""The command line: parse, call, print.

Exit codes: 0 all well; 1 some models failed (the rest are complete); 2 bad usage, configuration, data or
environment; 130 stopped with Ctrl-C. SIGTERM and SIGHUP end it as they end any program, once it has cleaned up.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Callable, NoReturn

import typer
from rich.console import Console

from movierec_bench import __version__
from movierec_bench.commands.terminal import discard_output, say
from movierec_bench.errors import BenchError, readable, system_error

DEBUG_VARIABLE = "MOVIEREC_BENCH_DEBUG"  # set: the traceback of a fault of ours is printed
_MOST_CHARACTERS = 8000  # of a line
_A_MOMENT = 0.01  # seconds

# A command and its line in --help. The rest stands in commands/<name>.py, which is imported when it is used.
COMMANDS = {
    "convert": "Check a competition's files, or any log of users and items, and write RecBole atomic files.",
    "models": "List the catalogue.",
    "run": "Train, rank, score, refit and submit; goes on where an earlier run ended.",
    "leaderboard": "Print a run's table again, sorted and filtered, or by segment of the users.",
    "report": "Write one HTML page about a run: board, curves, comparisons, mixes, and any user's lists.",
    "eda": "Draw what is in the data: one page, and each picture as PNG and CSV.",
    "ensemble": "Mix stored rankings without training.",
    "recommend": "Recommend movies with a kept model, also to people it never saw.",
    "submit": "Write a model's submission again, from the ranking stored after its refit.",
    "score": "Check any submission, and score it against any answers.",
    "tune": "Search for better parameters on the validation rows; goes on where an earlier search ended.",
    "track": "Upload to MLflow whatever it lacks of a run or a search.",
}


def build_app(used: Collection[str]) -> typer.Typer:
    """Make the command-line app, in which the commands of ``used`` work; the others are lines of ``--help``.

    What a command needs is imported with it, which can take seconds.
    """
    app = typer.Typer(
        help="Benchmarks every recommender under one protocol and writes a leaderboard and submissions.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_begin)
    for name, line in COMMANDS.items():
        app.command(name, help=line)(load_command(name) if name in used else _unused)
    return app


def main() -> NoReturn:
    """Run the command line and end the process; an error becomes one message and exit code 2, never a traceback."""
    try:
        try:
            _run_command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        _leave(code)
    except _Signalled as end:  # at whatever moment
        atexit._run_exitfuncs()
        os.kill(os.getpid(), end.number)
        raise AssertionError("not reached") from end


def _run_command() -> None:
    _log_to_stderr()
    _heed_signals()
    _heed_swallowed_signals()
    try:
        build_app([word for word in _typed() if not word.startswith("-")][:1])()
    except BenchError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(str(system_error(error)))
    except KeyboardInterrupt:  # before a command began, or a second one
        sys.exit(130)
    except MemoryError:
        _refuse("there is not enough memory; end other programs, or choose fewer --workers or smaller data")
    except Exception as error:  # a fault of ours; a stranger can do nothing with a traceback
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        _refuse(
            f"unexpected {type(error).__name__}: {error}; this is a fault of movierec_bench; "
            f"set {DEBUG_VARIABLE}=1, run the same command again, and report what it prints"
        )
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever presses Ctrl-C now waits for nothing any more


def _leave(code: int) -> NoReturn:
    """End this process after its clean-up, but without tearing the interpreter down.

    Up to Python 3.13 a thread of pyarrow's pool that wakes up during the teardown aborts the process: exit code 134.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk was reported where the text was written
            stream.flush()
    os._exit(code)


def _typed() -> list[str]:
    """The words typed after the program's name; while a shell completes a line, those typed so far."""
    so_far = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS")
    return so_far.split()[1:] if so_far else sys.argv[1:]


def _print_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


def _begin(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _refuse(message: str) -> NoReturn:
    with suppress(OSError):  # nobody can be told where stderr is full
        Console(stderr=True).print(
            f"error: {readable(message, _MOST_CHARACTERS)}", markup=False, highlight=False, soft_wrap=True
        )
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
    sys.exit(2)


class _Signalled(BaseException):
    """A signal that asks the command to end, raised where it is so that every block cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _heed_signals() -> None:
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    heeded = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores it

    def end(number: int, frame: object) -> NoReturn:
        for other in heeded:
            signal.signal(other, signal.SIG_DFL)  # a further one ends the command at once
        raise _Signalled(number)

    for number in heeded:
        signal.signal(number, end)


def _heed_swallowed_signals() -> None:
    """Have a signal raise again that came where Python only prints what is raised: in a finalizer, or in a callback."""

    def raise_again(swallowed: sys.UnraisableHookArgs) -> None:
        if isinstance(swallowed.exc_value, (_Signalled, KeyboardInterrupt)):
            _heed_signals()
            number = getattr(swallowed.exc_value, "number", signal.SIGINT)
            later = threading.Timer(_A_MOMENT, os.kill, (os.getpid(), number))  # when the finalizer is through
            later.daemon = True
            later.start()
        else:
            sys.__unraisablehook__(swallowed)

    sys.unraisablehook = raise_again


class _ReadableLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record), _MOST_CHARACTERS)


def _log_to_stderr() -> None:
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_ReadableLines("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[lines])


def load_command(name: str) -> Callable[..., None]:
    """Import a command of ``COMMANDS``: a function whose parameters are its flags."""
    command: Callable[..., None] = importlib.import_module(f"movierec_bench.commands.{name}").command
    return command


def _unused() -> None:
    """Stand for a command that is not called."""
