"""What becomes an MLflow run: its tags, parameters and metrics, in names and sizes that MLflow takes.

`model_runs` makes these of a benchmark's folder, `trial_runs` of a search's, and `upload` sends them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from movierec_bench.runs.folder import ModelFolder
from movierec_bench.runs.records import RunManifest

if TYPE_CHECKING:  # takes seconds to import
    from mlflow.entities import DatasetInput, Metric, Param

# Tags of ours. An MLflow run with COMPLETE holds all it ever will; RESULT tells one result of a model or trial from
# the next, and BOARD one state of a parent's own files.
RUN_ID, MODEL, TRIAL, BEST, RESULT, COMPLETE, BOARD = (
    f"movierec_bench.{name}" for name in ("run_id", "model", "trial", "best", "result", "complete", "board")
)
PARENT = "mlflow.parentRunId"  # the UI shows runs with this tag under the run that it names
PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # the server's limits
_PARAM_LENGTH = 500  # what servers of every version take; params.yaml, an artifact, has the whole value
_TAG_LENGTH = 5000
_NAME_LENGTH = 250


class Result(ABC):
    """A model, mix or trial that has ended, and that becomes a child run. Nothing here changes when sent again.

    Each method raises DataError where a file of the result is missing or damaged.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What no other result of the parent is called."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What people, and the MLflow UI, call it; no other result of the folder has it."""

    @abstractmethod
    def digest(self) -> str:
        """Equal for equal results only."""

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """Tags besides those that `upload` needs."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Parameters, nested or not."""

    @abstractmethod
    def metrics(self, start: int) -> list[Metric]:
        """Metrics of a result that began at ``start``, unix time in milliseconds."""

    @abstractmethod
    def files(self) -> list[tuple[Path, Optional[str]]]:
        """Each artifact's file and the folder it goes to, None for the top."""

    def kept_model(self) -> Optional[ModelFolder]:
        """The folder of a model that was itself kept; None where none was."""
        return None

    @abstractmethod
    def succeeded(self) -> bool:
        """Whether MLflow shows it as finished, or else as failed."""

    @abstractmethod
    def ended(self) -> int:
        """Unix time in milliseconds."""

    @abstractmethod
    def duration(self) -> int:
        """Milliseconds."""


class Parent(ABC):
    """What becomes a parent run.

    Attributes:
        run_id: value of the tag that finds it, and its children, again.
        name: what people, and the MLflow UI, call it.
        child_tag: the tag of a child that has `Result.name`.
        created: unix time in milliseconds.
    """

    run_id: str
    name: str
    child_tag: str
    created: int

    @abstractmethod
    def results(self) -> Sequence[Result]:
        """Those that have ended. Raises DataError where they cannot be told."""

    @abstractmethod
    def keeps(self, name: str) -> bool:
        """Whether a child of that `Result.name` still belongs here."""

    @abstractmethod
    def best(self) -> Optional[str]:
        """The `Result.name` of the child that gets the tag `BEST`."""

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """Tags besides those that `upload` needs."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """What will not change."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Numbers of the whole, by names that MLflow takes."""

    @abstractmethod
    def files(self) -> list[tuple[Path, Optional[str]]]:
        """Each artifact's file and its folder, None for the top; while they are unchanged, so is the parent."""

    @abstractmethod
    def ended(self) -> Optional[int]:
        """When its last result did, unix time in milliseconds; None without one."""


def manifest_tags(manifest: RunManifest) -> dict[str, str]:
    """Tags of everything that rests on ``manifest``."""
    tags = {
        "dataset": manifest.dataset,
        "data_hash": manifest.data_hash,
        "protocol": manifest.protocol,
        "protocol_hash": manifest.protocol_hash,
        "seed": str(manifest.seed),
        "mlflow.source.name": "movierec_bench",
        **{f"version.{package}": version for package, version in manifest.versions.items()},
    }
    return tags if manifest.git_revision is None else {**tags, "mlflow.source.git.commit": manifest.git_revision}


def result_tags(manifest: RunManifest, model: str, state: str, error: Optional[str]) -> dict[str, str]:
    """Tags of a model, mix or trial."""
    tags = {**manifest_tags(manifest), MODEL: model, "status": state}
    return tags if error is None else {**tags, "error": error[:_TAG_LENGTH]}


def parent_tags(manifest: RunManifest) -> dict[str, str]:
    """Tags of a parent; the same command may go on with another seed or versions."""
    return {**manifest_tags(manifest), "command": manifest.command[:_TAG_LENGTH]}


def parent_params(manifest: RunManifest) -> dict[str, Any]:
    """Parameters of a parent: what all its results rest on."""
    return {key: getattr(manifest, key) for key in ("dataset", "data_hash", "protocol", "protocol_hash")}


def dataset_input(manifest: RunManifest) -> DatasetInput:
    """The data set as MLflow knows one: its name, and its hash as the digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    split = json.dumps({"protocol": manifest.protocol, "protocol_hash": manifest.protocol_hash})
    dataset = Dataset(
        name=manifest.dataset,
        digest=manifest.data_hash,
        source_type="movierec_bench",
        source=json.dumps({"converted": manifest.dataset}),
        profile=split,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def as_params(values: Mapping[str, Any]) -> list[Param]:
    """``values`` with nested keys joined by dots, as text of a length that MLflow takes."""
    from mlflow.entities import Param

    texts = {
        key_of(key)[:_NAME_LENGTH]: value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, default=str)
        for key, value in _flat(values)
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


def as_metrics(
    epochs: Iterable[Mapping[str, float]], final: Mapping[str, Optional[float]], start: int, end: int
) -> list[Metric]:
    """The numbers of every epoch, the epoch being the step, and then the final ones; NaN was not measured.

    Args:
        epochs: one row an epoch: ``epoch`` counted from 1, ``seconds``, and numbers of any name.
        final: numbers of the whole by name; None where there is none.
        start: when the first epoch began, unix time in milliseconds; an epoch's time is when it ended since.
        end: time of the final numbers.
    """
    from mlflow.entities import Metric

    metrics = []
    elapsed = 0.0
    for epoch in epochs:
        row = dict(epoch)
        step, elapsed = int(row.pop("epoch")), elapsed + row["seconds"]
        row["epoch_seconds"] = row.pop("seconds")
        metrics += [Metric(key_of(key), value, start + round(1000 * elapsed), step) for key, value in row.items()]
    metrics += [Metric(key_of(key), float(value), end, 0) for key, value in final.items() if value is not None]
    return [metric for metric in metrics if not math.isnan(metric.value)]


def key_of(name: str) -> str:
    """A name that MLflow takes: it refuses the @ of recall@10."""
    return re.sub(r"[^\w\-./ ]", "_", str(name).replace("@", "_at_"), flags=re.ASCII)


def batches(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """``entries`` in pieces of ``size`` at most."""
    return (entries[start : start + size] for start in range(0, len(entries), size))


def hash_files(*paths: Path) -> str:
    """A hash of what the files hold, in this order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def is_own(path: Path, run: Path) -> bool:
    """Whether it is a file of the run's folder, and no link out of it: a stranger's folder sends nothing of ours."""
    return path.is_file() and path.resolve().is_relative_to(run.resolve())


def written(path: Path) -> int:
    """When the file was written, unix time in milliseconds."""
    return path.stat().st_mtime_ns // 1_000_000
