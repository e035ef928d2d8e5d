"""Training: one loop for every model that learns by epochs, one call for those that do not."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.evaluation.validation import Validate
from movierec_bench.recbole_backend.config import build_config, effective_parameters
from movierec_bench.recbole_backend.model_contract import HistoryModel
from movierec_bench.recbole_backend.model_state import other_parameter
from movierec_bench.recbole_backend.recency import FLOOR, ROWS, RecencyWeighted
from movierec_bench.recbole_backend.scorer import Ranker, give_history
from movierec_bench.schema import EpochRecord
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.training.batches import Batches
from movierec_bench.training.building import build_batches, build_dataset, build_model
from movierec_bench.training.resuming import ResumableTraining, Snapshot, StateFile
from movierec_bench.training.schemes.base import build_scheme
from movierec_bench.training.time_limit import LimitedBatches


@dataclass(frozen=True)
class FitSettings:
    """What a fit is told besides the model's parameters.

    Attributes:
        seed: seed of everything random.
        scratch: folder for whatever RecBole insists on writing.
        budget: seconds of training, validations included; the epoch in hand then breaks off, but what a scheme of
            stages needs before its model can rank is finished. None: no limit.
        epochs: exactly so many epochs, without validation (a refit). None: the YAML's ``epochs``, with early stopping.
        device: see `build_config`.
        state: where a training by epochs leaves its state, and takes up one that was left. None: nowhere.
    """

    seed: int
    scratch: Path
    budget: Optional[float] = None
    epochs: Optional[int] = None
    device: Optional[str] = None
    state: Optional[StateFile] = None


@dataclass
class Fitted(Ranker):
    """A trained model, holding its best state, and how its training went.

    Attributes:
        epochs: one record an epoch; empty for closed-form models.
        best_epoch: epoch of the best validation, or the last trained; None for closed-form models.
        out_of_budget: whether the budget ended the training.
        earlier_seconds: of training in processes that were killed, whose state was taken up.
        stage_epochs: parameters, epochs of stages that time may have cut short, with which a refit repeats them.
        chosen: parameters that were chosen on the validation rows; a refit takes them.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: Optional[int] = None
    out_of_budget: bool = False
    earlier_seconds: float = 0.0
    stage_epochs: dict[str, int] = field(default_factory=dict)
    chosen: dict[str, float] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that took effect."""
        return {**effective_parameters(self.entry, self.config), **self.chosen}


def fit(
    entry: ModelEntry,
    data: AtomicData,
    train: Interactions,
    settings: FitSettings,
    validate: Optional[Validate] = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Fitted:
    """Train one model.

    Args:
        entry: the catalogued model.
        data: atomic files: movies and knowledge triples (interactions come from ``train`` alone).
        train: the rows the model learns from.
        settings: seed, budget, epochs.
        validate: gives the Recall@10 of the model as it stands; decides early stopping.
        on_epoch: called after every epoch.

    Raises:
        ModelError: the loss is not a number, or the model cannot be built from these data.
        ConfigError: settings the model refuses.
    """
    seed_everything(settings.seed)
    config = build_config(entry, settings.seed, settings.scratch, device=settings.device)
    dataset = build_dataset(config, data, train)
    model = build_model(entry, config, dataset)
    fitted = Fitted(entry, model, config, dataset.item_feat, known=np.diff(train.indptr) > 0)
    if entry.trainer == "closed_form":
        if isinstance(model, HistoryModel):
            model.fit_closed_form()  # RecBole's own compute in their constructor
    else:
        try:
            _train_by_epochs(fitted, build_batches(entry, config, dataset), train, settings, validate, on_epoch)
        except Exception:
            if settings.state is not None:  # only a process that was killed or stopped leaves its state
                settings.state.path.unlink(missing_ok=True)
            raise
    if validate is not None and isinstance(model, RecencyWeighted) and "times" not in data.lacking:
        fitted.chosen = _choose_recency(fitted, model, validate)
    return fitted


def _choose_recency(fitted: Fitted, model: RecencyWeighted, validate: Validate) -> dict[str, float]:
    """Weigh the history as is best on the validation rows; as the YAML says where nothing in its grid is better.

    Returns:
        The parameters that were chosen; none where there was nothing to choose from.
    """
    if not model.recency_grid:
        return {}
    best, best_recall = model.recency, validate(fitted)
    for recency in model.recency_grid:
        model.weigh(recency)
        recall = validate(fitted)
        if recall > best_recall:
            best, best_recall = recency, recall
    model.weigh(best)
    return {FLOOR: best.floor, ROWS: best.rows}


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, which RecBole's models draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _train_by_epochs(
    fitted: Fitted,
    batches: Batches,
    train: Interactions,
    settings: FitSettings,
    validate: Optional[Validate],
    on_epoch: Callable[[EpochRecord], None],
) -> None:
    config, model = fitted.config, fitted.model
    scheme = build_scheme(fitted.entry, config, model, settings.budget if settings.epochs is None else None)
    rng = np.random.default_rng(settings.seed)
    limited = LimitedBatches(batches)
    resumable = ResumableTraining(settings.state, model, scheme, rng)
    progress = resumable.take_up()
    fitted.epochs, fitted.earlier_seconds = progress.epochs, progress.seconds
    training_end = time.perf_counter() + (settings.budget or math.inf) - progress.seconds
    last = settings.epochs or config["epochs"]
    for epoch in range(len(progress.epochs) + 1, last + 1):
        epoch_started = time.perf_counter()
        limited.begin_epoch(scheme.epoch_end(training_end))
        loss = scheme.epoch(limited, rng)
        recall = math.nan
        out_of_time = time.perf_counter() >= training_end
        if (
            validate is not None
            and scheme.can_rank
            and (epoch % config["eval_step"] == 0 or out_of_time or epoch == last)
        ):
            recall = validate(fitted)
            give_history(fitted.entry, model, train)  # validation may have had it read more rows
            progress.since_best = 0 if scheme.is_pretraining else progress.since_best + 1
            if recall > progress.best_recall:
                progress.best_recall, progress.best = recall, _snapshot(model)
                progress.best_epoch, progress.since_best = epoch, 0
        record = EpochRecord(epoch, loss, recall, time.perf_counter() - epoch_started)
        fitted.epochs.append(record)
        on_epoch(record)
        if out_of_time and scheme.can_rank and (epoch < last or limited.cut):
            fitted.out_of_budget = True
            break
        if validate is not None and progress.since_best >= config["stopping_step"]:
            break
        if epoch < last:
            resumable.save_if_due(progress)
    resumable.discard()
    if progress.best is not None:
        _restore(model, progress.best)
    fitted.best_epoch = progress.best_epoch or len(fitted.epochs)
    fitted.stage_epochs = scheme.stage_epochs


def _snapshot(model: Any) -> Snapshot:
    """The model's weights, copied, and RecBole's ``other_parameter`` (cached embeddings and the like)."""
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return weights, other_parameter(model)


def _restore(model: Any, state: Snapshot) -> None:
    weights, other = state
    model.load_state_dict(weights)
    model.load_other_parameter(other)
