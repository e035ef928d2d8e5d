"""The record of what `tune` found, a model at a time, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pandas as pd
from rich.table import Table

from movierec_bench.notebook import table_html, text_html
from movierec_bench.runs.records import FAILED
from movierec_bench.runs.trials import DEFAULT, STOPPED, Trial, best_trial
from movierec_bench.schema import MAIN_METRIC


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    Attributes:
        folder: ``out/<dataset>``.
        models: one record a model, in catalogue order.
        command: the command that runs the models with what was found.
        tracking: one line that says where the search is tracked, or why not; None where it is not.
    """

    folder: Path
    models: Sequence[ModelTuning]
    command: str
    tracking: Optional[str] = None

    @property
    def configs(self) -> Path:
        """A folder laid out like recbole_configs that holds the best parameters: what ``run --configs`` takes."""
        return self.folder / "configs"

    @property
    def failed(self) -> list[str]:
        """Models of which every trial failed."""
        return [model.model for model in self.models if model.best is None]

    def to_frame(self) -> pd.DataFrame:
        """One row a model: default's and best's validation Recall@10, trials in all, stopped early and failed."""
        return pd.DataFrame(
            [
                {
                    "model": model.model,
                    "default": model.default.recall,
                    "best": float("nan") if model.best is None else model.best.recall,
                    "best_trial": None if model.best is None else model.best.number,
                    "trials": len(model.trials),
                    STOPPED: model.count(STOPPED),
                    FAILED: model.count(FAILED),
                    "seconds": sum(trial.seconds for trial in model.trials),
                    "config": None if model.config is None else str(model.config),
                }
                for model in self.models
            ]
        )

    def _repr_html_(self) -> str:
        return f"{table_html(self.to_rich())}{text_html(f'next: {self.command}')}"

    def to_rich(self) -> Table:
        """The same as a table for a terminal."""
        table = Table(title=f"{MAIN_METRIC} on the validation rows", title_justify="left")
        for column in ("model", "default", "best", "trials", STOPPED, FAILED, "seconds"):
            table.add_column(column, justify="left" if column == "model" else "right")
        table.add_column("best parameters", overflow="fold")
        for model in self.models:
            best = model.best
            table.add_row(
                model.model,
                metric_text(model.default),
                metric_text(best),
                str(len(model.trials)),
                str(model.count(STOPPED)),
                str(model.count(FAILED)),
                f"{sum(trial.seconds for trial in model.trials):.0f}",
                _finding(model, best),
            )
        return table


@dataclass(frozen=True)
class ModelTuning:
    """How the search for one model's parameters ended.

    Attributes:
        model: the model's name.
        trials: every trial, by number; the first has the default parameters.
        config: the YAML with the best parameters; None where every trial failed.
        folder: holds trials.csv, epochs.csv and the tracebacks of failed trials.
    """

    model: str
    trials: Sequence[Trial]
    config: Optional[Path]
    folder: Path

    @property
    def default(self) -> Trial:
        """The trial with the default parameters."""
        return next(trial for trial in self.trials if trial.number == DEFAULT)

    @property
    def best(self) -> Optional[Trial]:
        """See `best_trial`."""
        return best_trial(self.trials)

    def count(self, state: str) -> int:
        """Trials of that state, one of ``TRIAL_STATES``."""
        return sum(trial.state == state for trial in self.trials)


def _finding(model: ModelTuning, best: Optional[Trial]) -> str:
    if best is None:
        return f"every trial failed; see {model.folder}"
    return "the default ones" if best.number == DEFAULT else values_text(best)


def values_text(trial: Trial) -> str:
    """The searched parameters of a trial in one line."""
    return ", ".join(f"{name} {value}" for name, value in trial.parameters.items())


def metric_text(trial: Optional[Trial]) -> str:
    """A trial's validation Recall@10 to four digits; "-" where none was measured."""
    return "-" if trial is None or trial.recall != trial.recall else f"{trial.recall:.4f}"
