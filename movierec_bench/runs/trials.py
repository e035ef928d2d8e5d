"""The trials of a search for parameters: their records on disk, their table, and the YAML of the best one."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, Optional

import pandas as pd

from movierec_bench.data.json_text import parse_json
from movierec_bench.errors import DataError
from movierec_bench.runs.files import write_csv, write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import BUDGET, DONE, FAILED
from movierec_bench.schema import MAIN_METRIC, EpochRecord

logger = logging.getLogger(__name__)

STOPPED = "stopped"  # ended early, for being behind other trials after as many epochs
TRIAL_STATES = (DONE, STOPPED, BUDGET, FAILED)
DEFAULT = 0  # number of the trial with the parameters of the model's YAML
EPOCH_COLUMNS = ("epoch", "train_loss", f"valid_{MAIN_METRIC}", "seconds")  # of an EpochRecord, in its order
_SHARED_FILES = ("protocol.yaml", "common.yaml")


@dataclass(frozen=True)
class Trial:
    """One configuration of a model, trained on the training rows and measured on the validation rows.

    Attributes:
        number: its place in the search; ``DEFAULT`` has the parameters of the model's YAML.
        state: one of ``TRIAL_STATES``.
        parameters: value of each parameter that is searched.
        fingerprint: what the result depends on besides data, protocol and budget; equal for equal trials.
        recall: best validation Recall@10; NaN where none was measured.
        seconds: wall-clock seconds.
        budget: seconds of training it was allowed; None for no limit.
        error: why it failed; None when it did not.
        epochs: one record an epoch; empty for closed-form models.
    """

    number: int
    state: str
    parameters: Mapping[str, Any]
    fingerprint: str
    recall: float = nan
    seconds: float = nan
    budget: Optional[float] = None
    error: Optional[str] = None
    epochs: tuple[EpochRecord, ...] = field(default=())

    def to_json(self) -> str:
        """This record as JSON text; a number that is missing is written as null."""
        content = dataclasses.asdict(self)
        for record in (content, *content["epochs"]):
            record.update({key: None for key, value in record.items() if isinstance(value, float) and isnan(value)})
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """The record that ``to_json`` wrote. Raises ValueError, KeyError or TypeError where the text is damaged."""
        content = parse_json(text)
        if not isinstance(content, dict) or not all(isinstance(record, dict) for record in content["epochs"]):
            raise TypeError("it is no record of a trial")
        for record in (content, *content["epochs"]):
            record.update(
                {key: nan for key, value in record.items() if value is None and key not in ("budget", "error")}
            )
        epochs = tuple(EpochRecord(**record) for record in content.pop("epochs"))
        return cls(**content, epochs=epochs)


def best_trial(trials: Iterable[Trial]) -> Optional[Trial]:
    """The trial with the highest validation Recall@10, the lowest number among equals; None if there is none.

    The default parameters are trial 0, so another trial must be better than they are, not merely as good.
    """
    measured = [trial for trial in trials if trial.state != FAILED and not isnan(trial.recall)]
    return min(measured, key=lambda trial: (-trial.recall, trial.number), default=None)


@dataclass(frozen=True)
class TrialFolder:
    """The trials of one model: ``tuned/<dataset>/trials/<Model>``. A trial's own file is written once it is over."""

    path: Path

    @classmethod
    def of(cls, run: RunFolder, model: str) -> TrialFolder:
        """Those of ``model`` in ``tuned/<dataset>``."""
        return cls(run.path / "trials" / model)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.path.name

    @property
    def trials_csv(self) -> Path:
        """One line a trial of the latest search."""
        return self.path / "trials.csv"

    @property
    def epochs_csv(self) -> Path:
        """One line an epoch of such a trial."""
        return self.path / "epochs.csv"

    def clear(self) -> None:
        """Forget every trial."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def log(self, number: int) -> Path:
        """The traceback of a trial that failed."""
        return self.path / f"trial_{number}.txt"

    def record(self, fingerprint: str) -> Path:
        """The record of a trial that is over."""
        return self.path / "records" / f"{fingerprint}.json"

    def write(self, trial: Trial) -> None:
        """Store a trial that is over."""
        write_text(self.record(trial.fingerprint), trial.to_json())

    def read(self) -> list[Trial]:
        """The stored trials, by number; a damaged file is reported, and its trial counts as not there."""
        trials = []
        for path in sorted((self.path / "records").glob("*.json")):
            try:
                trials.append(self.read_one(path.stem))
            except DataError as error:
                logger.warning("%s", error)
        return sorted(trials, key=lambda trial: trial.number)

    def read_one(self, fingerprint: str) -> Trial:
        """The stored trial of that fingerprint. Raises DataError where its file is missing or damaged."""
        path = self.record(fingerprint)
        try:
            return Trial.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: {error}; expected a whole record; `tune` runs that trial again") from error

    def listed(self) -> dict[str, int]:
        """Fingerprint and number of each trial in trials.csv. Raises DataError where that is damaged."""
        try:
            table = pd.read_csv(self.trials_csv, usecols=["trial", "fingerprint"], dtype={"fingerprint": str})
            return dict(zip(table["fingerprint"], table["trial"].astype(int)))
        except (OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"{self.trials_csv}: {error}; expected a table with trial and fingerprint; `tune` writes it again"
            ) from error

    def write_tables(self, trials: Sequence[Trial]) -> None:
        """Write trials.csv, one line a trial and one column a parameter, and epochs.csv, one line an epoch."""
        write_csv(self.trials_csv, trials_frame(trials))
        write_csv(self.epochs_csv, epochs_frame(trials))


def searched(run: RunFolder) -> list[TrialFolder]:
    """The folders of the models that have trials, by name."""
    return [TrialFolder(path.parent) for path in sorted((run.path / "trials").glob("*/trials.csv"))]


def best_config(run: RunFolder, model: str) -> Path:
    """Where the YAML of the best trial lies; it may be missing."""
    return run.path / "configs" / "models" / f"{model}.yaml"


def trial_label(model: str, number: int) -> str:
    """What people call a trial."""
    return f"{model} trial {number}"


def trials_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a trial.

    Its columns: trial, state, validation Recall@10, epochs, seconds, error, fingerprint, each searched parameter.
    """
    return pd.DataFrame(
        [
            {
                "trial": trial.number,
                "state": trial.state,
                f"valid_{MAIN_METRIC}": trial.recall,
                "epochs": len(trial.epochs),
                "seconds": trial.seconds,
                "error": trial.error,
                "fingerprint": trial.fingerprint,
                **{name: _cell(value) for name, value in trial.parameters.items()},
            }
            for trial in trials
        ]
    )


def epochs_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row an epoch of a trial: trial, epoch, training loss, validation Recall@10, seconds."""
    rows = [(trial.number, *dataclasses.astuple(record)) for trial in trials for record in trial.epochs]
    return pd.DataFrame(rows, columns=["trial", *EPOCH_COLUMNS])


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
