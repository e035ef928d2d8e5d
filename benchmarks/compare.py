"""Runs the sides of a comparison in turns, each in a process of its own, and records the medians."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from benchmarks.plan import OURS, PEERS, Comparison, Reach, Side
from benchmarks.workloads import ML_100K, Workload, prepare

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PEERS_PYTHON = Path(".venv-peers/bin/python")
_FIRST_SEED = 42
_PACKAGES = ("recbole", "torch", "numpy", "scipy", "numba", "pandas")


def compare(comparison: Comparison) -> None:
    """Measure every side ``repeats`` times, in turns, each time with another seed; write ``results/NAME.json``."""
    work, small = prepare(comparison.workload), prepare(ML_100K)
    for side in comparison.sides:
        if side.program == OURS:
            measure(side, small, budget=1.0 if side.budget_of else None)  # compiles our kernels, once and for all
    measured: dict[str, list[dict[str, float]]] = {side.name: [] for side in comparison.sides}
    failed: dict[str, str] = {}
    for repeat in range(comparison.repeats):
        for side in comparison.sides:
            if side.name in failed:
                continue
            try:
                figures = measure(side, work, _budget(side, measured), _FIRST_SEED + repeat)
            except subprocess.CalledProcessError as error:
                failed[side.name] = (error.stderr or error.stdout).strip().splitlines()[-1]
                print(f"   {side.name}: failed: {failed[side.name]}", flush=True)
                continue
            measured[side.name].append(figures)
            print(f"   {side.name}: {_in_words(figures)}", flush=True)
    medians = {name: _medians(runs) for name, runs in measured.items() if runs}
    record(
        comparison.name,
        workload=comparison.workload,
        sides=medians,
        runs=measured,
        failed=failed,
        reached=[_reached(reach, medians) for reach in comparison.reach],
    )


def _reached(reach: Reach, medians: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A target and what was measured; None where a side it reads failed."""
    there = all(side in medians for side in reach.sides)
    measured = reach.of(*(medians[side] for side in reach.sides)) if there else None
    return {"what": reach.what, "measured": measured, "most": reach.most}


def record(name: str, **values: Any) -> None:
    """Write a result with the machine, the versions and the date."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"name": name, **values, **circumstances()}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def measure(side: Side, work: Workload, budget: Optional[float] = None, seed: int = _FIRST_SEED) -> dict[str, float]:
    """Run a side once: its seconds by phase, medians of repeated phases, and whatever else it reports."""
    options = {**side.options, "seed": seed, **({} if budget is None else {"budget": budget})}
    if side.program == PEERS:
        command = [str(PEERS_PYTHON), str(HERE / "peers.py"), side.task, str(work.arrays), json.dumps(options)]
    else:
        command = [sys.executable, "-m", side.program, side.task, work.name, json.dumps(options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    printed: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    seconds = {phase: statistics.median(values) for phase, values in printed.pop("seconds").items() if values}
    return {**seconds, **printed}


def _budget(side: Side, measured: dict[str, list[dict[str, float]]]) -> Optional[float]:
    return measured[side.budget_of][-1]["fit"] if side.budget_of is not None else None


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _in_words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def circumstances() -> dict[str, Any]:
    """Date, machine, commit and versions of a measurement."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB",
        "python": platform.python_version(),
        "revision": _revision(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _revision() -> str:
    """The commit measured, with ``-dirty`` where files other than the results differ from it."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()

    recorded = (
        ":(top)",
        f":(exclude){RESULTS.name}",
        ":(exclude)RESULTS.md",
        ":(exclude)published/*.md",
        ":(exclude)published/*.json",
    )
    dirty = git("diff", "--name-only", "HEAD", "--", *recorded)
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if dirty else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
