"""What a benchmark's folder becomes in MLflow: a parent run with the board, and a child run a model or mix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import pandas as pd

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.pictures import PicturesFolder
from movierec_bench.runs.records import BUDGET, DONE, RunManifest, Status
from movierec_bench.schema import MAIN_METRIC
from movierec_bench.settings.yaml_files import load_yaml
from movierec_bench.tracking.entries import (
    MODEL,
    Parent,
    Result,
    as_metrics,
    hash_files,
    is_own,
    key_of,
    parent_params,
    parent_tags,
    result_tags,
    written,
)

if TYPE_CHECKING:  # takes seconds to import
    from mlflow.entities import Metric


class RunParent(Parent):
    """A run's folder, ``runs/<dataset>``."""

    child_tag = MODEL

    def __init__(self, run: RunFolder, manifest: RunManifest) -> None:
        self._run, self._manifest = run, manifest
        self.run_id, self.name, self.created = manifest.run_id, run.path.name, written(run.manifest)

    def results(self) -> Sequence[Result]:
        """Without a status a model is still in training, or was killed there."""
        folders = self._folders()
        return [ModelResult(self._run, self._manifest, folder) for folder in folders if folder.status.exists()]

    def keeps(self, name: str) -> bool:
        """A model whose folder is gone was still benchmarked."""
        return True

    def best(self) -> Optional[str]:
        """The board says it."""
        return None

    def tags(self) -> dict[str, str]:
        return parent_tags(self._manifest)

    def params(self) -> dict[str, Any]:
        return parent_params(self._manifest)

    def metrics(self) -> dict[str, float]:
        statuses = [folder.finished() for folder in self._folders()]
        recalls = [status.metrics[MAIN_METRIC] for status in statuses if status is not None]
        return {f"best_{key_of(MAIN_METRIC)}": max(recalls)} if recalls else {}

    def files(self) -> list[tuple[Path, Optional[str]]]:
        """The boards, the manifest and, where `eda` has drawn these very data beside the runs, its pictures."""
        boards = map(self._run.leaderboard, ("csv", "md", "html"))
        pictures = PicturesFolder.beside(self._run, self._manifest.dataset)
        drawn = pictures.files() if pictures.is_of(self._manifest.data_hash) else []
        own = [*(path for path in boards if is_own(path, self._run.path)), self._run.manifest]
        drawn = [path for path in drawn if is_own(path, pictures.path)]
        return [*((path, None) for path in own), *((path, "eda") for path in drawn)]

    def ended(self) -> Optional[int]:
        return max((written(folder.status) for folder in self._folders() if folder.status.exists()), default=None)

    def _folders(self) -> list[ModelFolder]:
        return self._run.models() + self._run.ensembles()


@dataclass(frozen=True)
class ModelResult(Result):
    """A model or mix of a run.

    Args:
        run: the run's folder.
        manifest: the run's manifest.
        folder: the model's files.
    """

    run: RunFolder
    manifest: RunManifest
    folder: ModelFolder

    @cached_property
    def _status(self) -> Status:
        return self.folder.read_status()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def label(self) -> str:
        return self.folder.name

    def digest(self) -> str:
        return hash_files(self.folder.status)

    def tags(self) -> dict[str, str]:
        status = self._status
        tags = result_tags(self.manifest, self.name, status.state, status.error)
        return {**tags, "family": status.family, "source": status.source}

    def params(self) -> dict[str, Any]:
        """``params.yaml``, the budget and the filter."""
        path = self.folder.params
        told = {"budget": self._status.budget, "filter": self._status.filter}
        values: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        if path.is_file():
            try:
                values.update(load_yaml(path))
            except ConfigError as error:
                raise DataError(f"{error}; have the model redone") from error
        return values

    def metrics(self, start: int) -> list[Metric]:
        status = self._status
        final: dict[str, Optional[float]] = {
            **status.metrics,
            **{f"{phase}_seconds": value for phase, value in asdict(status.seconds).items()},
            "peak_rss_mb": status.peak_rss_mb,
            "epochs": status.epochs,
            "best_epoch": status.best_epoch,
        }
        if status.metrics:
            final.update(users=status.users, missing_users=status.missing_users)
        return as_metrics(self._epochs(), final, start, start + self.duration())

    def files(self) -> list[tuple[Path, Optional[str]]]:
        files: list[tuple[Path, Optional[str]]] = [
            (path, None)
            for path in sorted(self.folder.path.iterdir())
            if is_own(path, self.run.path) and not path.name.startswith(".")  # a dot: a file that is being written
        ]
        submission = self.run.submission(self.name)
        return [*files, (submission, "submission")] if is_own(submission, self.run.path) else files

    def kept_model(self) -> Optional[ModelFolder]:
        return self.folder if self.folder.kept.is_dir() else None

    def succeeded(self) -> bool:
        return self._status.state in (DONE, BUDGET)

    def ended(self) -> int:
        return written(self.folder.status)

    def duration(self) -> int:
        """Of all phases."""
        seconds = asdict(self._status.seconds).values()
        return round(1000 * sum(value for value in seconds if value and not math.isnan(value)))

    def _epochs(self) -> list[dict[str, float]]:
        path = self.folder.epochs
        if not path.is_file():
            return []
        try:
            table = pd.read_csv(path).astype(float)
            table[["epoch", "seconds"]].astype(int)  # an epoch without its number or its time is none
            return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
        except (ValueError, KeyError) as error:
            raise DataError(f"{path}: {error}; expected numbers of epochs; have the model redone") from error
