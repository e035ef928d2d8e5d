"""S3Rec's two stages, run one after the other by themselves."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from movierec_bench.recbole_backend.batches import Batches
from movierec_bench.recbole_backend.schemes import PlainScheme, build_optimizer


class S3RecScheme(PlainScheme):
    """Pre-trains, then fine-tunes: what the model's ``train_stage`` says, ``pretrain`` or ``finetune``.

    Pre-training lasts ``pretrain_epochs`` epochs, but no longer than a share ``pretrain_share`` of the budget, so
    that some is left for fine-tuning; a first epoch that takes longer is followed by one of fine-tuning all the same,
    without which the model ranks at random. RecBole saves the model, makes another for the second stage and loads it.
    """

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self._epochs = 0
        self._deadline = time.perf_counter() + config["pretrain_share"] * (config["budget"] or math.inf)

    @property
    def is_pretraining(self) -> bool:
        """Whether fine-tuning is still to come."""
        return bool(self._model.train_stage == "pretrain")

    @property
    def can_rank(self) -> bool:
        """Whether fine-tuning has begun."""
        return not self.is_pretraining

    @property
    def stage_epochs(self) -> dict[str, int]:
        """Epochs of pre-training."""
        return {"pretrain_epochs": self._epochs}

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch of the stage that is due; the mean loss a step."""
        if self.is_pretraining and self._is_pretrained():
            self._start_finetuning()
        self._epochs += self.is_pretraining
        return super().epoch(batches, rng)

    def _is_pretrained(self) -> bool:
        return self._epochs >= self._config["pretrain_epochs"] or time.perf_counter() >= self._deadline

    def _start_finetuning(self) -> None:
        self._model.train_stage = "finetune"
        self._model.loss_fct = torch.nn.CrossEntropyLoss()  # RecBole's S3Rec takes it when made for this stage
        self._optimizer = build_optimizer(self._config, self._model.parameters())
