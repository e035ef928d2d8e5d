"""Runs of three small models, for the tests of what a run leaves, keeps and survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from movierec_bench.data.atomic import write_atomic
from movierec_bench.execution.run import run
from movierec_bench.runs.folder import RunFolder
from support.planted import planted_competition

MODELS = "Pop,EASE,BPR"

BPR_HEAD = "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\n"

MODEL_FILES = {
    "status.json",
    "params.yaml",
    "epochs.csv",
    "topk_valid.parquet",
    "topk_test.parquet",
    "topk_full.parquet",
    "per_user.parquet",
    "log.txt",
}

CRASHING = """
from movierec_bench.recbole_backend.model_contract import HistoryModel

class Crashing(HistoryModel):
    def fit_closed_form(self):
        {what}
"""


def atomic(folder: Path, seed: int = 0) -> Path:
    write_atomic(planted_competition(seed=seed), folder / "atomic_data", "planted")
    return folder / "atomic_data"


def small_configs(folder: Path, **yamls: str) -> Path:
    """The user's own folder: BPR with few epochs, and whatever else is given."""
    models = folder / "configs" / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 3\nembedding_size: 8\n")
    for name, text in yamls.items():
        (models / f"{name}.yaml").write_text(text)
    return folder / "configs"


def go(folder: Path, models: str = MODELS, **changes: Any):  # noqa: ANN201
    settings = {
        "atomic": folder / "atomic_data",
        "out": folder / "runs",
        "configs": small_configs(folder),
        "quiet": True,
    }
    return run(models=models, **{**settings, **changes})


def ended_at(folder: Path) -> dict[str, float]:
    """When each model's results were last written."""
    return {model.name: model.per_user.stat().st_mtime_ns for model in RunFolder(folder / "runs" / "planted").models()}
