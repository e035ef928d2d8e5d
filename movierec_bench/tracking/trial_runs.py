"""What a search for parameters becomes in MLflow: a parent run a searched model, and a child run a trial."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from movierec_bench.errors import DataError
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import FAILED, RunManifest
from movierec_bench.runs.trials import (
    DEFAULT,
    EPOCH_COLUMNS,
    Trial,
    TrialFolder,
    best_config,
    best_trial,
    trial_label,
)
from movierec_bench.schema import MAIN_METRIC
from movierec_bench.tracking.entries import (
    TRIAL,
    Parent,
    Result,
    as_metrics,
    is_own,
    key_of,
    parent_params,
    parent_tags,
    result_tags,
    written,
)

if TYPE_CHECKING:  # takes seconds to import
    from mlflow.entities import Metric

_BEST_RECALL = f"best_valid_{key_of(MAIN_METRIC)}"  # valid_recall_at_10 has a step an epoch, and ends with the last


class SearchParent(Parent):
    """The search for one model's parameters, ``tuned/<dataset>/trials/<Model>``."""

    child_tag = TRIAL

    def __init__(self, run: RunFolder, manifest: RunManifest, folder: TrialFolder) -> None:
        self._run, self._manifest, self._folder = run, manifest, folder
        self._config = best_config(run, folder.model)
        self.run_id, self.name = f"{manifest.run_id}/{folder.model}", f"tune {folder.model}"
        self.created = written(run.manifest)

    @cached_property
    def _trials(self) -> list[TrialResult]:
        listed = self._folder.listed()
        return [TrialResult(self._manifest, self._folder, *entry) for entry in listed.items()]

    def results(self) -> Sequence[Result]:
        return self._trials

    def keeps(self, name: str) -> bool:
        """A trial that the search was told to forget, or of other parameters of the model's YAML, goes here, too."""
        return name in {trial.fingerprint for trial in self._trials}

    def best(self) -> Optional[str]:
        best = best_trial(self._readable())
        return None if best is None else best.fingerprint

    def tags(self) -> dict[str, str]:
        return parent_tags(self._manifest)

    def params(self) -> dict[str, Any]:
        return {**parent_params(self._manifest), "model": self._folder.model}

    def metrics(self) -> dict[str, float]:
        trials = self._readable()
        best, default = best_trial(trials), next((trial for trial in trials if trial.number == DEFAULT), None)
        recalls = {_BEST_RECALL: best, f"default_valid_{key_of(MAIN_METRIC)}": default}
        return {
            "trials": len(self._trials),
            **{
                key: trial.recall
                for key, trial in recalls.items()
                if trial is not None and not math.isnan(trial.recall)
            },
        }

    def files(self) -> list[tuple[Path, Optional[str]]]:
        paths = (self._folder.trials_csv, self._folder.epochs_csv, self._config)
        return [(path, None) for path in paths if is_own(path, self._run.path)]

    def ended(self) -> Optional[int]:
        return written(self._folder.trials_csv)

    def _readable(self) -> list[Trial]:
        trials = []
        for result in self._trials:
            try:
                trials.append(result.trial)
            except DataError:  # reported where the trial itself is sent
                continue
        return trials


@dataclass(frozen=True)
class TrialResult(Result):
    """A trial that is over.

    Args:
        manifest: the manifest of the searches' folder.
        folder: the trials of the model.
        fingerprint: the trial's.
        number: the trial's place in the latest search.
    """

    manifest: RunManifest
    folder: TrialFolder
    fingerprint: str
    number: int

    @cached_property
    def _record(self) -> Trial:
        return self.folder.read_one(self.fingerprint)

    @property
    def trial(self) -> Trial:
        """The record, numbered as in the latest search. Raises DataError where it is missing or damaged."""
        return replace(self._record, number=self.number)

    @property
    def name(self) -> str:
        return self.fingerprint

    @property
    def label(self) -> str:
        return trial_label(self.folder.model, self.number)

    def digest(self) -> str:
        return hashlib.sha256(self.trial.to_json().encode()).hexdigest()[:16]

    def tags(self) -> dict[str, str]:
        return result_tags(self.manifest, self.folder.model, self.trial.state, self.trial.error)

    def params(self) -> dict[str, Any]:
        """The searched parameters, and the budget if there was one."""
        budget = {} if self.trial.budget is None else {"budget": self.trial.budget}
        return {**budget, **self.trial.parameters}

    def metrics(self, start: int) -> list[Metric]:
        trial = self.trial
        final = {_BEST_RECALL: trial.recall, "seconds": trial.seconds, "epochs": len(trial.epochs)}
        epochs = [dict(zip(EPOCH_COLUMNS, astuple(record))) for record in trial.epochs]
        return as_metrics(epochs, final, start, start + self.duration())

    def files(self) -> list[tuple[Path, Optional[str]]]:
        """The traceback of a trial that failed."""
        log = self.folder.log(self._record.number)  # of the search that ran it
        return [(log, None)] if self.trial.state == FAILED and is_own(log, self.folder.path) else []

    def succeeded(self) -> bool:
        return self.trial.state != FAILED

    def ended(self) -> int:
        return written(self.folder.record(self.fingerprint))

    def duration(self) -> int:
        return 0 if math.isnan(self.trial.seconds) else round(1000 * self.trial.seconds)
