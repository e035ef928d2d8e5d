"""Our side of a comparison: ``python -m benchmarks.ours TASK WORKLOAD OPTIONS``; prints one JSON line."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks.stopwatch import Stopwatch
from benchmarks.workloads import Workload, protocol
from movierec_bench import convert
from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.split import make_split, read_split, write_split
from movierec_bench.evaluation.metrics import per_user, recall_at_k
from movierec_bench.evaluation.validation import validator
from movierec_bench.ranking.top_k import topk_frame
from movierec_bench.schema import K
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.trainer import FitSettings, fit


def first_load(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """What a run does once: read the atomic files, split, write the split."""
    with watch.phase("load"), tempfile.TemporaryDirectory() as folder:
        data = read_atomic(work.atomic)
        split = make_split(data.interactions, protocol())
        write_split(split, Path(folder))
        Interactions.from_rows(split.train, data.vocabulary)
    return {"rows": len(data.interactions)}


def further_load(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """What each further model does: read both, and build the training matrix."""
    with watch.phase("load"):
        data, split = read_atomic(work.atomic), read_split(work.split)
        rows = Interactions.from_rows(split.train, data.vocabulary).csr.nnz
    return {"rows": rows}


def converting(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """The competition's files to atomic files."""
    with watch.phase("convert"), tempfile.TemporaryDirectory() as folder:
        convert(data=work.competition, out=folder, name=work.name)
    return {}


def converting_log(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Any log to atomic files; the options are `convert`'s."""
    told = {name: value for name, value in options.items() if name != "seed"}
    worked = time.process_time()
    with tempfile.TemporaryDirectory(dir=".") as folder, watch.phase("convert"):
        convert(out=folder, name=work.name, **told)
    return {"processor_seconds": time.process_time() - worked}


def model(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Load, train on the training rows, rank every user with validation rows, score.

    Options: model, parameters, epochs (exactly so many), budget (seconds, with early stopping), users
    (of them, so many are ranked).
    """
    with watch.phase("load"):
        data, split, train, valid = work.read()
    entry = load_catalog()[options["model"]].with_parameters(options.get("parameters", {}))
    users = np.unique(valid.user_ix)[: options.get("users")]
    validate = validator(split.valid, train, data) if "budget" in options else None
    with tempfile.TemporaryDirectory() as scratch:
        settings = FitSettings(
            options["seed"], Path(scratch), budget=options.get("budget"), epochs=options.get("epochs")
        )
        with watch.phase("fit"):
            fitted = fit(entry, data, train, settings, validate)
    watch.seconds["epoch"] = [record.seconds for record in fitted.epochs]
    with watch.phase("rank"):
        best = fitted.rank(train, users, K)
    with watch.phase("score"):
        plain = per_user(topk_frame(best, data.vocabulary), split.valid)[f"recall_plain@{K}"].mean()
    return {"recall_plain": float(plain), "users": len(users), "epochs": len(fitted.epochs)}


def float64_ease(work: Workload, options: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Share of users whose ten movies EASE in float64 throughout gives too, and both Recall@10."""
    data, _, train, valid = work.read()
    entry = load_catalog()["EASE"]
    users = np.unique(valid.user_ix)
    with tempfile.TemporaryDirectory() as scratch:
        fitted = fit(entry, data, train, FitSettings(options["seed"], Path(scratch)))
    ours = fitted.rank(train, users, K).item_ix
    exact = _ranked_in_float64(train, users, float(entry.parameters["reg_weight"]))
    recalls = [recall_at_k(best, users, valid.csr) for best in (ours, exact)]
    return {
        "equal_users": float((ours == exact).all(axis=1).mean()),
        "recall": recalls[0],
        "recall_float64": recalls[1],
    }


def _ranked_in_float64(train: Interactions, users: np.ndarray, reg_weight: float) -> np.ndarray:
    """EASE by its paper's formula: B = I - P / diag(P), P = inverse(X'X + lambda I); ties by movie."""
    seen = train.csr.astype(np.float64)[:, 1:]
    inverse = np.linalg.inv((seen.T @ seen).toarray() + reg_weight * np.eye(seen.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    best = np.empty((len(users), K), dtype=np.int64)
    for first in range(0, len(users), 1000):
        rows = seen[users[first : first + 1000]]
        scores = rows @ weights
        scores[rows.nonzero()] = -np.inf
        best[first : first + 1000] = np.argsort(-scores, axis=1, kind="stable")[:, :K] + 1
    return best


TASKS = {task.__name__: task for task in (first_load, further_load, converting, converting_log, model, float64_ease)}

if __name__ == "__main__":
    numba.njit(lambda value: value)(0.0)  # imports most of numba; every other import comes before the phases too
    stopwatch = Stopwatch()
    result = TASKS[sys.argv[1]](Workload(sys.argv[2]), json.loads(sys.argv[3]), stopwatch)
    stopwatch.report(**result)
