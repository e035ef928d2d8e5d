"""The command line: parse, call, print.

Exit codes: 0 all well; 1 some models failed (the rest are complete); 2 bad usage, configuration or
data; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer
from rich.console import Console

from movierec_bench.schema import MAIN_METRIC, BenchError

if TYPE_CHECKING:
    from movierec_bench.outputs.leaderboard import Board

app = typer.Typer(
    help="Benchmarks every recommender under one protocol and writes a leaderboard and submissions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def convert(
    data: Optional[Path] = typer.Option(None, help="Folder of the competition's files; RecBole's ml-100k when left out."),
    name: Optional[str] = typer.Option(None, help="Name of the data set; the folder's name when left out."),
    out: Path = typer.Option(Path("atomic_data"), help="Folder of the converted data sets."),
) -> None:
    """Check the competition's files and write them as RecBole atomic files."""
    from movierec_bench.atomic import convert as do

    folder = do(data=data, name=name, out=out)
    counts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["counts"]
    _print(f"{folder}: {counts['interactions']:,} interactions, {counts['users']:,} users, {counts['movies']:,} movies")
    for what, count in counts.items():
        if what not in ("interactions", "users", "movies") and count:
            _print(f"  {what.replace('_', ' ')}: {count:,}")
    _print("next: python -m movierec_bench run --models fast")


@app.command()
def models(
    models: str = typer.Option("all", help="Names and groups, comma-separated; -Name leaves one out."),
    configs: Optional[Path] = typer.Option(None, help="A folder laid out like recbole_configs; its files win."),
) -> None:
    """List the catalogue: name, family, source, groups, status, what a model needs."""
    from movierec_bench.catalog import load_catalog, select
    from movierec_bench.outputs.listing import catalog_table

    _console().print(catalog_table(select(load_catalog(configs), models)))


@app.command()
def run(
    models: str = typer.Option("all", help="Names and groups (seed, fast, general, ..., all); -Name leaves one out."),
    dataset: Optional[str] = typer.Option(None, help="A converted data set; may be left out when there is only one."),
    out: Path = typer.Option(Path("runs"), help="Folder of the runs."),
    budget: Optional[float] = typer.Option(None, help="Seconds of training a model gets, in the fit and in the refit."),
    workers: int = typer.Option(1, help="Models trained at once."),
    filter: Optional[str] = typer.Option(None, help="Drop candidates: future, future:YEARS, unpopular:COUNT."),
    seed: int = typer.Option(42, help="Seed of everything random in the models."),
    no_refit: bool = typer.Option(False, "--no-refit", help="No training on every row, no submission."),
    fresh: bool = typer.Option(False, "--fresh", help="Delete the run folder and start anew."),
    protocol: Optional[str] = typer.Option(None, help="competition, random, last, ratio or halves."),
    atomic: Path = typer.Option(Path("atomic_data"), help="Folder of the converted data sets."),
    configs: Optional[Path] = typer.Option(None, help="A folder laid out like recbole_configs; its files win."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Train, rank, score, refit and submit; resumes where an earlier run ended."""
    from movierec_bench.bench import run as do

    arguments = dict(
        models=models,
        dataset=dataset,
        out=out,
        budget=budget,
        workers=workers,
        filter=filter,
        seed=seed,
        no_refit=no_refit,
        fresh=fresh,
        protocol=protocol,
        atomic=atomic,
        configs=configs,
        quiet=quiet,
    )
    try:
        board = do(**arguments)
    except KeyboardInterrupt:
        _print("stopped; what was finished is kept, and running again goes on from there")
        raise typer.Exit(130) from None
    _show(board)
    _print(f"board, submissions and every model's files: {out / board.manifest.dataset}")
    raise typer.Exit(1 if board.failed else 0)


@app.command()
def leaderboard(
    run: Path = typer.Argument(..., help="A run's folder, such as runs/ml-100k."),
    sort: str = typer.Option(MAIN_METRIC, help="Column to sort by."),
    family: Optional[str] = typer.Option(None, help="Show this family only."),
    status: Optional[str] = typer.Option(None, help="Show models of this status only."),
) -> None:
    """Print a run's table again, sorted and filtered."""
    from movierec_bench.outputs.leaderboard import leaderboard as do

    _show(do(run, sort=sort, family=family, status=status))


@app.command()
def submit(
    run: Path = typer.Argument(..., help="A run's folder, such as runs/ml-100k."),
    model: str = typer.Option(..., help="A model or ensemble of that run."),
    atomic: Optional[Path] = typer.Option(None, help="Folder of the converted data sets; the run's own when left out."),
) -> None:
    """Write a model's submission from its stored refit ranking."""
    from movierec_bench.outputs.submission import submit as do

    _print(f"wrote {do(run, model, atomic=atomic)}")


@app.command()
def score(
    submission: Path = typer.Option(..., help="The submission: user,item, ten rows a user."),
    answers: Optional[Path] = typer.Option(None, help="The hidden rows: user,item. Left out: the submission is only checked."),
    dataset: Optional[str] = typer.Option(None, help="Also check against this converted data set."),
    atomic: Path = typer.Option(Path("atomic_data"), help="Folder of the converted data sets."),
) -> None:
    """Check any submission and score it against any answers by the competition's Recall@10."""
    from movierec_bench.outputs.submission import score as do

    _print(do(submission, answers=answers, dataset=dataset, atomic=atomic).describe())


def main() -> None:
    """Run the command line; errors of ours become one message and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        app()
    except BenchError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        sys.exit(2)


def _show(board: Board) -> None:
    _console().print(board.to_rich())


def _print(text: str) -> None:
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    # Piped output keeps its columns: nothing there tells rich how wide to be.
    console = Console()
    return console if console.is_terminal else Console(width=160)
