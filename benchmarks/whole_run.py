"""`run --models fast` at full size, refits and submissions included, beside RecBole's EASE alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.compare import RESULTS, record
from benchmarks.plan import FULL
from benchmarks.workloads import prepare

_TIMES_RECBOLES_EASE, _MOST_MB = 5.0, 6144


def run_fast() -> None:
    """Measure the command in an empty folder, and write ``results/fast-run.json``."""
    work = prepare(FULL)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "movierec_bench", "run", "--models", "fast"]
        command += ["--atomic", str(work.atomic.parent.resolve()), "--dataset", work.name, "--quiet"]
        started = time.perf_counter()
        subprocess.run([*command, "--out", folder], check=True, capture_output=True)
        seconds = time.perf_counter() - started
        board = pd.read_csv(Path(folder) / work.name / "leaderboard.csv")
    measures = ["fit_seconds", "rank_seconds", "refit_seconds", "peak_rss_mb"]
    reached = [{"what": "peak MiB of a model", "measured": float(board["peak_rss_mb"].max()), "most": _MOST_MB}]
    ease = RESULTS / "EASE.json"
    if ease.is_file():
        recbole = json.loads(ease.read_text(encoding="utf-8"))["sides"]["RecBole"]
        alone = recbole["load"] + recbole["fit"] + recbole["rank"]
        what = "whole run / RecBole's EASE alone (its recorded run)"
        reached.append({"what": what, "measured": seconds / alone, "most": _TIMES_RECBOLES_EASE})
    record(
        "fast-run",
        workload=FULL,
        sides={"ours": {"seconds": seconds, "models": len(board), "peak_rss_mb": float(board["peak_rss_mb"].max())}},
        models=board[["model", "status", *measures]].to_dict(orient="records"),
        reached=reached,
    )
