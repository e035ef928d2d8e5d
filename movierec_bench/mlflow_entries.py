"""What a run's folder becomes in MLflow: tags, parameters and metrics, in names and sizes that MLflow takes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Optional

import pandas as pd
import yaml

from movierec_bench.results import ModelFolder, RunManifest, Status
from movierec_bench.schema import DataError

if TYPE_CHECKING:  # takes seconds to import
    from mlflow.entities import Metric, Param

# Tags of ours. An MLflow run with COMPLETE holds all it ever will; RESULT tells one result of a model from the next.
RUN_ID, MODEL, RESULT, COMPLETE, BOARD = (
    f"movierec_bench.{name}" for name in ("run_id", "model", "result", "complete", "board")
)
PARENT = "mlflow.parentRunId"  # the UI shows runs with this tag under the run that it names
PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # the server's limits
_PARAM_LENGTH = 500  # what servers of every version take; params.yaml, an artifact, has the whole value
_TAG_LENGTH = 5000
_NAME_LENGTH = 250


def _tags(manifest: RunManifest) -> dict[str, str]:
    tags = {
        RUN_ID: manifest.run_id,
        "dataset": manifest.dataset,
        "data_hash": manifest.data_hash,
        "protocol": manifest.protocol,
        "protocol_hash": manifest.protocol_hash,
        "seed": str(manifest.seed),
        "mlflow.source.name": "movierec_bench",
        **{f"version.{package}": version for package, version in manifest.versions.items()},
    }
    return tags if manifest.git_revision is None else {**tags, "mlflow.source.git.commit": manifest.git_revision}


def parent_tags(manifest: RunManifest) -> dict[str, str]:
    """Tags of the run that stands for the whole folder; `run` may go on with another command, seed or versions."""
    return {**_tags(manifest), "command": manifest.command[:_TAG_LENGTH]}


def child_tags(manifest: RunManifest, name: str, status: Status) -> dict[str, str]:
    """Tags of the model or mix ``name``."""
    tags = {
        **_tags(manifest),
        MODEL: name,
        "family": status.family,
        "source": status.source,
        "status": status.state,
    }
    return tags if status.error is None else {**tags, "error": status.error[:_TAG_LENGTH]}


def params_of(folder: ModelFolder, status: Status) -> list[Param]:
    """``params.yaml`` with nested keys joined by dots, the budget and the filter. Raises DataError if it is damaged."""
    from mlflow.entities import Param

    told = {"budget": status.budget, "filter": status.filter}
    values: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    if folder.params.is_file():
        try:
            values.update(_flat(yaml.safe_load(folder.params.read_text(encoding="utf-8")) or {}))
        except (yaml.YAMLError, AttributeError) as error:
            raise DataError(f"{folder.params}: {error}; expected parameters as YAML; have the model redone") from error
    texts = {
        key_of(key)[:_NAME_LENGTH]: value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, default=str)
        for key, value in values.items()
    }
    return [
        Param(key, text if len(text) <= _PARAM_LENGTH else f"{text[: _PARAM_LENGTH - 3]}...")
        for key, text in texts.items()
    ]


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def metrics_of(folder: ModelFolder, status: Status, start: int) -> list[Metric]:
    """The numbers of every epoch, the epoch being the step, and then the final ones.

    Args:
        folder: the model's files.
        status: the model's status.
        start: when the model began, unix time in milliseconds; an epoch's time is when it ended since.

    Raises:
        DataError: ``epochs.csv`` is damaged.
    """
    from mlflow.entities import Metric

    metrics = []
    elapsed = 0.0
    for row in _epochs(folder):
        epoch, elapsed = int(row.pop("epoch")), elapsed + row["seconds"]
        row["epoch_seconds"] = row.pop("seconds")
        metrics += [Metric(key_of(key), value, start + round(1000 * elapsed), epoch) for key, value in row.items()]
    final: dict[str, Optional[float]] = {
        **{key_of(key): value for key, value in status.metrics.items()},
        **{f"{phase}_seconds": value for phase, value in asdict(status.seconds).items()},
        "peak_rss_mb": status.peak_rss_mb,
        "epochs": status.epochs,
        "best_epoch": status.best_epoch,
    }
    if status.metrics:
        final.update(users=status.users, missing_users=status.missing_users)
    end = start + duration(status)
    metrics += [Metric(key, float(value), end, 0) for key, value in final.items() if value is not None]
    return [metric for metric in metrics if not math.isnan(metric.value)]  # nothing was measured there


def _epochs(folder: ModelFolder) -> list[dict[str, float]]:
    if not folder.epochs.is_file():
        return []
    try:
        table = pd.read_csv(folder.epochs).astype(float)
        table[["epoch", "seconds"]].astype(int)  # an epoch without its number or its time is none
        return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    except (ValueError, KeyError) as error:
        raise DataError(f"{folder.epochs}: {error}; expected numbers of epochs; have the model redone") from error


def key_of(name: str) -> str:
    """A name that MLflow takes: it refuses the @ of recall@10."""
    return re.sub(r"[^\w\-./ ]", "_", str(name).replace("@", "_at_"), flags=re.ASCII)


def batches(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """``entries`` in pieces of ``size`` at most."""
    return (entries[start : start + size] for start in range(0, len(entries), size))


def duration(status: Status) -> int:
    """Milliseconds of all phases."""
    return round(1000 * sum(value for value in vars(status.seconds).values() if value and not math.isnan(value)))
