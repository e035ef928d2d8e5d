"""Small searches for parameters: their data, configurations and records, and waiting for them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import psutil

from movierec_bench.data.atomic import write_atomic
from movierec_bench.tuning.tune import tune
from movierec_bench.tuning.tuned import Tuned
from support.planted import planted_competition

BPR = """\
# BPR, small.
catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}
epochs: 2
embedding_size: 8             # int >= 1, length of a vector
learning_rate: 0.01           # float > 0
train_neg_sample_args: {distribution: uniform, sample_num: 1, alpha: 1.0}
"""

BPR_SPACE = "learning_rate: {log_uniform: [0.001, 0.1]}\nembedding_size: {choice: [8, 16]}\n"


def make(folder: Path, **files: str) -> Path:
    """The planted data set, and the user's own configurations: models__X and tune__X are the files models/X.yaml ..."""
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    for name, text in {"models__BPR": BPR, "tune__BPR": BPR_SPACE, **files}.items():
        path = folder / "configs" / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def go(folder: Path, models: str, **changes: Any) -> Tuned:
    settings = {"atomic": folder / "atomic_data", "out": folder / "tuned", "configs": folder / "configs", "samples": 3}
    return tune(models, **{**settings, "quiet": True, **changes})


def records(folder: Path, model: str) -> dict[str, int]:
    """Each stored trial's file, and when it was written."""
    trials = folder / "tuned" / "planted" / "trials" / model / "records"
    return {path.name: path.stat().st_mtime_ns for path in trials.glob("*.json")}


def words_of(process: psutil.Process) -> str:
    """Its command line; empty where it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def ended(process: subprocess.Popen) -> bool:
    assert process.poll() is None, "the command ended before its time"
    return False


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
