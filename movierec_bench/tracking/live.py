"""MLflow runs of models and trials in training: numbers appear epoch by epoch, in the run that will hold the result.

An epoch that does not arrive is no loss: when the model has ended, `upload` sends every number of its files, those
that are there already under the same step and time, so that the store keeps them once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from movierec_bench.tracking.entries import METRICS_A_CALL, RESULT, Result, as_metrics, batches

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

TRAINING = "training"  # the tag status of such a run


@dataclass
class Training:
    """A model, or a trial of a search, in training.

    Attributes:
        name: its `Result.name`: the model's, or the trial's fingerprint.
        label: its `Result.label`.
        search: the model whose parameters the trial is of; None for a model of a benchmark.
        epochs: those that have ended, in order, each as `as_metrics` takes it.
        run: its run in the store; None before the first is sent.
    """

    name: str
    label: str
    search: Optional[str] = None
    epochs: list[Mapping[str, float]] = field(default_factory=list)
    run: Optional[Run] = None
    _sent: int = 0

    def add(self, epoch: Mapping[str, float]) -> None:
        """Add an epoch that has ended; another first epoch means that the model started anew, on another machine."""
        if self.epochs and epoch["epoch"] <= self.epochs[-1]["epoch"]:
            self.epochs, self._sent = [], 0
            self.run = None
        self.epochs.append(epoch)

    @property
    def waiting(self) -> bool:
        """Whether an epoch is not in the store yet."""
        return self._sent < len(self.epochs)

    def send(self, client: MlflowClient, experiment_id: str, tags: Mapping[str, Any]) -> None:
        """Send the epochs that wait.

        Args:
            client: of the store.
            experiment_id: of the run, where it has to be made.
            tags: of the run, where it has to be made.
        """
        if self.run is None:
            began = round(1000 * (time.time() - sum(epoch["seconds"] for epoch in self.epochs)))
            self.run = client.create_run(experiment_id, began, {**tags, "status": TRAINING}, run_name=self.label)
        start, step = self.run.info.start_time, self.epochs[self._sent]["epoch"]
        fresh = [metric for metric in as_metrics(self.epochs, {}, start, start) if metric.step >= step]
        for metrics in batches(fresh, METRICS_A_CALL):
            client.log_batch(self.run.info.run_id, metrics=metrics)
        self._sent = len(self.epochs)

    def become(self, client: MlflowClient, result: Result, digest: str) -> None:
        """Make the run that of the model's result."""
        from mlflow.entities import RunTag

        assert self.run is not None
        tags = {**result.tags(), RESULT: digest}
        client.log_batch(self.run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self.run.data.tags.update(tags)
