"""The command line: parse, call, print.

Exit codes: 0 all well; 1 some models failed (the rest are complete); 2 bad usage, configuration or
data; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, Union

import typer
from rich.console import Console

from movierec_bench.errors import BenchError, ConfigError
from movierec_bench.schema import MAIN_METRIC, NO_TIMES

if TYPE_CHECKING:
    from movierec_bench.reports.leaderboard import Board
    from movierec_bench.reports.segment_board import SegmentBoard

app = typer.Typer(
    help="Benchmarks every recommender under one protocol and writes a leaderboard and submissions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/ml-100k.")]
Models = Annotated[
    str, typer.Option(help="Names and groups (seed, fast, ..., all), comma-separated; -Name leaves out.")
]
Dataset = Annotated[Optional[str], typer.Option(help="A converted data set; may be left out when there is only one.")]
Atomic = Annotated[Path, typer.Option(help="Folder of the converted data sets.")]
RunsAtomic = Annotated[Optional[Path], typer.Option(help="Folder of the converted data sets; default: the run's.")]
TrackingUri = Annotated[
    Optional[str],
    typer.Option(help="MLflow server or database; default: $MLFLOW_TRACKING_URI, or mlflow.db beside the run."),
]
NoTrack = Annotated[bool, typer.Option("--no-track", help="Leave MLflow alone; so does MOVIEREC_BENCH_TRACK=0.")]
Configs = Annotated[Optional[Path], typer.Option(help="A folder laid out like recbole_configs; its files win.")]


@app.command()
def convert(
    data: Annotated[
        Optional[Path],
        typer.Option(
            help="A competition's folder, a file of rows, a MovieLens release, or a RecBole folder; else ml-100k."
        ),
    ] = None,
    name: Annotated[Optional[str], typer.Option(help="Name of the data set; the folder's when left out.")] = None,
    out: Atomic = Path("atomic_data"),
    columns: Annotated[
        Optional[str], typer.Option(help="Unusual column names, or places: user=u,item=i,time=t,rating=r.")
    ] = None,
    min_rating: Annotated[Optional[float], typer.Option(help="Drop rows rated lower.")] = None,
    min_rows: Annotated[Optional[int], typer.Option(help="Drop users with fewer rows.")] = None,
    min_item_rows: Annotated[Optional[int], typer.Option(help="Drop movies with fewer rows.")] = None,
    train: Annotated[Optional[Path], typer.Option(help="Training rows of data that come split.")] = None,
    valid: Annotated[Optional[Path], typer.Option(help="Their validation rows; may be left out.")] = None,
    test: Annotated[Optional[Path], typer.Option(help="Their test rows.")] = None,
) -> None:
    """Check a competition's files, or any log of users and items, and write them as RecBole atomic files."""
    from movierec_bench.data.convert import convert as do

    folder = do(
        data=data,
        name=name,
        out=out,
        columns=columns,
        min_rating=min_rating,
        min_rows=min_rows,
        min_item_rows=min_item_rows,
        train=train,
        valid=valid,
        test=test,
    )
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    counts = manifest["counts"]
    headline = ("interactions", "users", "movies")
    _print(f"{folder}: " + ", ".join(f"{counts[what]:,} {what}" for what in headline))
    for what, count in counts.items():
        if what not in headline and count:
            _print(f"  {what.replace('_', ' ')}: {count:,}")
    protocol = "given" if manifest.get("parts") else "random" if manifest.get("times") == NO_TIMES else ""
    _print(f"next: python -m movierec_bench run --models fast{protocol and f' --protocol {protocol}'}")


@app.command()
def models(models: Models = "all", configs: Configs = None) -> None:
    """List the catalogue: name, family, source, groups, status, what a model needs."""
    from movierec_bench.reports.catalog_table import catalog_table
    from movierec_bench.settings.catalog import load_catalog, select

    _console().print(catalog_table(select(load_catalog(configs), models)))


@app.command()
def run(
    models: Models = "all",
    dataset: Dataset = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    budget: Annotated[Optional[float], typer.Option(help="Seconds of training, in the fit and in the refit.")] = None,
    workers: Annotated[
        Optional[int], typer.Option(help="Models trained at once; default: 1, on a cluster what it has room for.")
    ] = None,
    ray: Annotated[
        Optional[str], typer.Option(help="Train on this Ray cluster: HOST:PORT of its head, or auto.")
    ] = None,
    filter: Annotated[
        Optional[str], typer.Option(help="Drop candidates: future, future:YEARS, unpopular:COUNT; joined by commas.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random in the models.")] = 42,
    no_refit: Annotated[bool, typer.Option("--no-refit", help="No training on every row, no submission.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run folder and start anew.")] = False,
    protocol: Annotated[
        Optional[str], typer.Option(help="competition, random, last, ratio, halves, time, users, given.")
    ] = None,
    atomic: Atomic = Path("atomic_data"),
    configs: Configs = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
    tracking_uri: TrackingUri = None,
    no_track: NoTrack = False,
) -> None:
    """Train, rank, score, refit and submit; goes on where an earlier run ended."""
    from movierec_bench.execution.run import run as do

    try:
        board = do(
            models=models,
            dataset=dataset,
            out=out,
            budget=budget,
            workers=workers,
            ray=ray,
            filter=filter,
            seed=seed,
            no_refit=no_refit,
            fresh=fresh,
            protocol=protocol,
            atomic=atomic,
            configs=configs,
            quiet=quiet,
            tracking_uri=tracking_uri,
            no_track=no_track,
        )
    except KeyboardInterrupt:
        _print("stopped; what was finished is kept, and running again goes on from there")
        raise typer.Exit(130) from None
    _show(board)
    _print(f"board, submissions and every model's files: {out / board.manifest.dataset}")
    if board.tracking is not None:
        _print(board.tracking)
    raise typer.Exit(1 if board.failed else 0)


@app.command()
def tune(
    models: Annotated[str, typer.Option(help="Names and groups; each needs a recbole_configs/tune/<Model>.yaml.")],
    dataset: Dataset = None,
    samples: Annotated[int, typer.Option(help="Configurations tried besides the default parameters.")] = 20,
    out: Annotated[Path, typer.Option(help="Folder of the searches.")] = Path("tuned"),
    budget: Annotated[Optional[float], typer.Option(help="Seconds of training a trial gets.")] = None,
    workers: Annotated[
        Optional[int], typer.Option(help="Trials at once; default: one here, on a cluster as many as fit.")
    ] = None,
    ray: Annotated[Optional[str], typer.Option(help="Address of a Ray cluster, HOST:PORT; default: here.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is tried and of everything random in the models.")] = 42,
    protocol: Annotated[Optional[str], typer.Option(help="competition, random, last, ratio or halves.")] = None,
    atomic: Atomic = Path("atomic_data"),
    configs: Configs = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the earlier trials of these models.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
    tracking_uri: TrackingUri = None,
    no_track: NoTrack = False,
) -> None:
    """Search better parameters on the validation rows; goes on where an earlier search ended."""
    from movierec_bench.tuning.tune import tune as do

    try:
        tuned = do(
            models=models,
            dataset=dataset,
            samples=samples,
            out=out,
            budget=budget,
            workers=workers,
            ray=ray,
            seed=seed,
            protocol=protocol,
            atomic=atomic,
            configs=configs,
            fresh=fresh,
            quiet=quiet,
            tracking_uri=tracking_uri,
            no_track=no_track,
        )
    except KeyboardInterrupt:
        _print("stopped; trials that were over are kept, and running again goes on from there")
        raise typer.Exit(130) from None
    _console().print(tuned.to_rich())
    if len(tuned.failed) < len(tuned.models):
        _print(f"next: {tuned.command}")
    if tuned.tracking is not None:
        _print(tuned.tracking)
    raise typer.Exit(1 if tuned.failed else 0)


@app.command()
def leaderboard(
    run: Run,
    sort: Annotated[str, typer.Option(help="Column to sort by.")] = MAIN_METRIC,
    family: Annotated[Optional[str], typer.Option(help="Show this family only.")] = None,
    status: Annotated[Optional[str], typer.Option(help="Show models of this status only.")] = None,
    by: Annotated[Optional[str], typer.Option(help="Segments of users: length, span, age, focus or good.")] = None,
    judges: Annotated[Optional[str], typer.Option(help="For --by good: the models that tell good users.")] = None,
    atomic: RunsAtomic = None,
) -> None:
    """Print a run's table again, sorted and filtered, or by segment of the users."""
    from movierec_bench.reports.leaderboard import leaderboard as do
    from movierec_bench.runs.folder import RunFolder

    _show(do(run, sort=sort, family=family, status=status, by=by, judges=judges, atomic=atomic))
    if by is not None:
        _print(f"every model, with 95 % intervals: {RunFolder(run).leaderboard_by(by)}")


@app.command()
def eda(
    dataset: Dataset = None,
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("eda"),
    run: Annotated[
        Optional[Path], typer.Option(help="A run whose models judge the users; default: runs/DATASET if there.")
    ] = None,
    judges: Annotated[
        Optional[str], typer.Option(help="The models that judge; default: the four best on validation.")
    ] = None,
    bad_below: Annotated[
        float, typer.Option(help="Bad is a user whose validation Recall@10 is below this for every judge.")
    ] = 0.1,
    good_from: Annotated[
        float, typer.Option(help="Good is a user whose validation Recall@10 is at least this for every judge.")
    ] = 0.2,
    pause: Annotated[float, typer.Option(help="Minutes without a row after which a new session begins.")] = 60.0,
    atomic: RunsAtomic = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    tracking_uri: TrackingUri = None,
    no_track: NoTrack = False,
) -> None:
    """Draw what is in the data: one page that needs nothing else, and each picture as PNG and CSV."""
    from movierec_bench.reports.eda.command import eda as do

    pictures = do(
        dataset=dataset,
        out=out,
        run=run,
        judges=judges,
        bad_below=bad_below,
        good_from=good_from,
        pause=pause,
        atomic=atomic,
        quiet=quiet,
        tracking_uri=tracking_uri,
        no_track=no_track,
    )
    _print(pictures.describe())


@app.command()
def report(
    run: Run,
    out: Annotated[Optional[Path], typer.Option(help="The page; default: report.html in the run's folder.")] = None,
    users: Annotated[
        Optional[str], typer.Option(help="Users the page must be able to show, 1,2,3; others as far as they fit.")
    ] = None,
    users_file: Annotated[Optional[Path], typer.Option(help="A file with more such users, one a line.")] = None,
    atomic: RunsAtomic = None,
) -> None:
    """Write one HTML page about a run: board, curves, comparisons, mixes, and any user's lists with titles."""
    from movierec_bench.reports.report.build import report as do

    path = do(run, out=out, users=users, users_file=users_file, atomic=atomic)
    _print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser, it needs no network")


@app.command()
def submit(
    run: Run,
    model: Annotated[str, typer.Option(help="A model or ensemble of that run.")],
    atomic: RunsAtomic = None,
) -> None:
    """Write a model's submission from its stored refit ranking."""
    from movierec_bench.reports.submission import submit as do

    _print(f"wrote {do(run, model, atomic=atomic)}")


@app.command()
def ensemble(
    run: Run,
    method: Annotated[
        Optional[str],
        typer.Option(help="vote, linear, tail, log2, rrf, zscore, minmax, concat, route, fit, greedy, auto (default)."),
    ] = None,
    models: Annotated[Optional[str], typer.Option(help="Members, as in run; default: every finished model.")] = None,
    name: Annotated[Optional[str], typer.Option(help="The mix's name; the method's when left out.")] = None,
    weights: Annotated[Optional[str], typer.Option(help="One a member, 5,3,3,4, or EASE=5,SASRec=3.")] = None,
    rule: Annotated[Optional[str], typer.Option(help="For fit and greedy: the rule they find weights for.")] = None,
    depth: Annotated[Optional[int], typer.Option(help="Ranks of a member that count.")] = None,
    rrf_k: Annotated[Optional[float], typer.Option(help="For rrf: its constant; 60 when left out.")] = None,
    firsts: Annotated[Optional[str], typer.Option(help="For concat: movies each member gives, 5,5.")] = None,
    by: Annotated[Optional[str], typer.Option(help="For route: length, span, age, focus or good.")] = None,
    routes: Annotated[Optional[str], typer.Option(help="For route: segment=Model, joined by commas.")] = None,
    judges: Annotated[Optional[str], typer.Option(help="For route by good: the models that tell good users.")] = None,
    folds: Annotated[Optional[int], typer.Option(help="For auto: folds of the users.")] = None,
    steps: Annotated[Optional[int], typer.Option(help="For auto and greedy: the most members to add.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of the folds; the run's when left out.")] = None,
    recipe: Annotated[Optional[Path], typer.Option(help="A mix's params.yaml: make that mix again.")] = None,
    atomic: RunsAtomic = None,
    configs: Configs = None,
    tracking_uri: TrackingUri = None,
    no_track: NoTrack = False,
) -> None:
    """Mix stored rankings without training; everything is chosen on validation rows, then scored on test rows."""
    from movierec_bench.mixing.ensemble import ensemble as do

    mix = do(
        run,
        method=method,
        models=models,
        name=name,
        weights=weights,
        rule=rule,
        depth=depth,
        rrf_k=rrf_k,
        firsts=firsts,
        by=by,
        routes=routes,
        judges=judges,
        folds=folds,
        steps=steps,
        seed=seed,
        recipe=recipe,
        atomic=atomic,
        configs=configs,
        tracking_uri=tracking_uri,
        no_track=no_track,
    )
    _print(mix.describe())


@app.command()
def track(run: Run, tracking_uri: TrackingUri = None) -> None:
    """Upload to MLflow whatever it lacks of a run or a search, once only: after an outage, or if it was not tracked."""
    from movierec_bench.tracking.tracker import track as do

    _print(do(run, tracking_uri=tracking_uri).describe())


@app.command()
def score(
    submission: Annotated[Path, typer.Option(help="The submission: user,item, ten rows a user.")],
    answers: Annotated[Optional[Path], typer.Option(help="The hidden rows: user,item. Left out: only checked.")] = None,
    dataset: Annotated[Optional[str], typer.Option(help="Also check against this converted data set.")] = None,
    atomic: Atomic = Path("atomic_data"),
    boards: Annotated[bool, typer.Option("--boards", help="Public and private boards in 200 random splits.")] = False,
    against: Annotated[Optional[Path], typer.Option(help="With --boards: another submission to compare with.")] = None,
) -> None:
    """Check any submission, and score it against any answers by the competition's Recall@10."""
    from movierec_bench.reports.public_private import score_boards
    from movierec_bench.reports.submission import score as do

    if not boards:
        _print(do(submission, answers=answers, dataset=dataset, atomic=atomic).describe())
        return
    if answers is None:
        raise ConfigError("--boards splits the users of an answers file; give it with --answers FILE")
    _print(score_boards(submission, answers, against=against, dataset=dataset, atomic=atomic).describe())


def main() -> None:
    """Run the command line; errors of ours become one message and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    try:
        app()
    except BenchError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def _show(board: Union[Board, SegmentBoard]) -> None:
    _console().print(board.to_rich())


def _print(text: str) -> None:
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    # Piped output keeps its columns: nothing there tells rich how wide to be.
    console = Console()
    return console if console.is_terminal else Console(width=160)
