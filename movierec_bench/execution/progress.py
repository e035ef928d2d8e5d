"""Tells how a run is going: bars on a terminal and in a notebook, one log line a step elsewhere."""

from __future__ import annotations

import logging
import math
from typing import Optional, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from movierec_bench.notebook import in_notebook
from movierec_bench.progress_bars import bars, watched
from movierec_bench.runs.records import Status
from movierec_bench.schema import MAIN_METRIC, EpochRecord

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """What a run tells about itself."""

    def __enter__(self) -> Listener: ...

    def __exit__(self, *error: object) -> None: ...

    def phase(self, model: str, phase: str) -> None:
        """A model enters a phase: load, fit, rank, refit, submit."""

    def epoch(self, model: str, record: EpochRecord) -> None:
        """A model has trained an epoch."""

    def finished(self, status: Status) -> None:
        """A model is over, well or not."""


class LogLines:
    """One plain log line for every phase, epoch and result."""

    def __init__(self, models: int, level: int) -> None:
        self._models, self._level = models, level
        self._finished = 0
        self._best: dict[str, float] = {}

    def __enter__(self) -> LogLines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def phase(self, model: str, phase: str) -> None:
        logger.log(self._level, "%s: %s", model, phase)

    def epoch(self, model: str, record: EpochRecord) -> None:
        self._best[model] = _better(self._best.get(model), record.valid_recall)
        logger.log(
            self._level,
            "%s: epoch %d, loss %.4f, validation %s %s, best %s, %.1f s",
            model,
            record.epoch,
            record.train_loss,
            MAIN_METRIC,
            _metric(record.valid_recall),
            _metric(self._best[model]),
            record.seconds,
        )

    def finished(self, status: Status) -> None:
        self._finished += 1
        logger.log(self._level, "[%d/%d] %s", self._finished, self._models, result_line(status))


class Bars:
    """Progress bars: one of all models, and one of each running model with its phase, epoch and best Recall@10 so far.

    The time left is that of the models still to come, at the pace of those that are over.
    """

    def __init__(self, models: int) -> None:
        self._progress = bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        self._all: TaskID = self._progress.add_task("all models", total=models, detail="")
        self._rows: dict[str, TaskID] = {}
        self._best: dict[str, float] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def phase(self, model: str, phase: str) -> None:
        self._progress.update(self._row(model), detail=phase)

    def epoch(self, model: str, record: EpochRecord) -> None:
        self._best[model] = _better(self._best.get(model), record.valid_recall)
        detail = f"epoch {record.epoch}, best {MAIN_METRIC} {_metric(self._best[model])}"
        self._progress.update(self._row(model), completed=record.epoch, detail=detail)

    def finished(self, status: Status) -> None:
        if status.model in self._rows:
            self._progress.remove_task(self._rows.pop(status.model))
        self._progress.say(result_line(status))
        self._progress.advance(self._all)

    def _row(self, model: str) -> TaskID:
        if model not in self._rows:
            self._rows[model] = self._progress.add_task(f"  {model}", total=None, detail="")
        return self._rows[model]


def listener(models: int, quiet: bool) -> Listener:
    """Bars on a terminal or in a notebook; else, or when ``quiet``, log lines (which a notebook does not print)."""
    if watched(quiet):
        return Bars(models)
    return LogLines(models, logging.DEBUG if in_notebook() else logging.INFO)


def result_line(status: Status) -> str:
    """One line that says how a model ended."""
    if not status.metrics or status.state == "failed":
        return f"{status.model}: {status.state}: {status.error}"
    seconds = sum(part for part in vars(status.seconds).values() if part is not None and not math.isnan(part))
    return f"{status.model}: {status.state}, {MAIN_METRIC} {status.metrics[MAIN_METRIC]:.4f}, {seconds:.1f} s"


def _better(best: Optional[float], recall: float) -> float:
    if best is None or math.isnan(best):
        return recall
    return best if math.isnan(recall) else max(best, recall)


def _metric(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
