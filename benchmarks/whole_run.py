"""The command itself at full size, refits and submissions included: `fast`, and the plan of an evening."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.compare import RESULTS, record
from benchmarks.plan import FULL
from benchmarks.workloads import ML_100K, Workload, prepare

_TIMES_RECBOLES_EASE, _MOST_MB, _EVENING_HOURS = 5.0, 6144, 3.0
_COLUMNS = ["model", "status", "recall@10", "fit_seconds", "rank_seconds", "refit_seconds", "peak_rss_mb", "epochs"]


def run_fast() -> None:
    """Measure `run --models fast` beside RecBole's EASE alone, and write ``results/fast-run.json``."""
    seconds, board = _run("fast")
    reached = [_peak(board)]
    ease = RESULTS / "EASE.json"
    if ease.is_file():
        recbole = json.loads(ease.read_text(encoding="utf-8"))["sides"]["RecBole"]
        alone = recbole["load"] + recbole["fit"] + recbole["rank"]
        what = "whole run / RecBole's EASE alone (its recorded run)"
        reached.append({"what": what, "measured": seconds / alone, "most": _TIMES_RECBOLES_EASE})
    _record("fast-run", seconds, board, reached)


def run_evening() -> None:
    """Measure `run --models seed --budget 300 --workers 2`, and write ``results/evening.json``."""
    seconds, board = _run("seed", "--budget", "300", "--workers", "2")
    hours = {"what": "hours, two workers", "measured": seconds / 3600, "most": _EVENING_HOURS}
    alone = board[["fit_seconds", "rank_seconds", "refit_seconds"]].to_numpy().sum() / 3600
    in_turn = {"what": "hours, the models' own seconds added up", "measured": alone, "most": _EVENING_HOURS}
    _record("evening", seconds, board, [hours, in_turn, _peak(board)])


def _run(models: str, *limits: str) -> tuple[float, pd.DataFrame]:
    """The command's wall seconds in an empty folder, and its board; before it, ml100k compiles our kernels."""
    with tempfile.TemporaryDirectory() as folder:
        _command(prepare(ML_100K), folder, models, "--budget", "1")
        work = prepare(FULL)
        started = time.perf_counter()
        _command(work, folder, models, *limits)
        seconds = time.perf_counter() - started
        return seconds, pd.read_csv(Path(folder) / work.name / "leaderboard.csv")


def _command(work: Workload, folder: str, models: str, *limits: str) -> None:
    data = ("--atomic", str(work.atomic.parent.resolve()), "--dataset", work.name, "--out", folder, "--quiet")
    command = [sys.executable, "-m", "movierec_bench", "run", "--models", models, *limits, *data]
    subprocess.run(command, check=True, capture_output=True)


def _peak(board: pd.DataFrame) -> dict[str, Any]:
    return {"what": "peak MiB of a model", "measured": float(board["peak_rss_mb"].max()), "most": _MOST_MB}


def _record(name: str, seconds: float, board: pd.DataFrame, reached: list[dict[str, Any]]) -> None:
    measured = {"seconds": seconds, "models": len(board), "peak_rss_mb": float(board["peak_rss_mb"].max())}
    rows = json.loads(board[_COLUMNS].to_json(orient="records"))
    record(name, workload=FULL, sides={"ours": measured}, models=rows, reached=reached)
