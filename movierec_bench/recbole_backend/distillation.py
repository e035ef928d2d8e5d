"""KD_DAGFM's three stages in one training: RecBole wants three runs and a checkpoint carried from each to the next."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from movierec_bench.recbole_backend.batches import Batches
from movierec_bench.recbole_backend.schemes import Scheme, build_optimizer, train_pass

TEACHER, DISTILLATION, FINETUNING = "teacher_training", "distillation", "finetuning"  # RecBole's names of the phases


class DistillationScheme(Scheme):
    """A teacher learns, then the student copies it on the teacher's vectors, then the student is fine-tuned.

    ``teacher_epochs`` and ``distillation_epochs`` say when the next stage begins, but after its first epoch the teacher
    takes no longer than a share ``teacher_share`` of the budget. Each stage begins with a new optimiser, as RecBole's
    runs do. Between epochs the model is in its last phase, so that what is ranked, validated or kept is the student.
    """

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
        self._done = {TEACHER: 0, DISTILLATION: 0, FINETUNING: 0}
        self._deadline = time.perf_counter() + config["teacher_share"] * (config["budget"] or math.inf)
        self._phase = ""
        self._optimizer: Any = None

    @property
    def is_pretraining(self) -> bool:
        """Whether fine-tuning is still to come."""
        return self._next_phase() != FINETUNING

    @property
    def can_rank(self) -> bool:
        """Whether the student has learned."""
        return self._phase in (DISTILLATION, FINETUNING)

    @property
    def stage_epochs(self) -> dict[str, int]:
        """Epochs of the teacher."""
        return {"teacher_epochs": self._done[TEACHER]}

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch of the stage that is due; the mean loss a step."""
        if self._next_phase() != self._phase:
            self._phase = self._next_phase()
            self._optimizer = build_optimizer(self._config, self._model.parameters())
        self._model.train()
        self._model.phase = self._phase
        loss = train_pass(self._config, self._model, self._model.calculate_loss, self._optimizer, batches.epoch(rng))
        self._model.phase = FINETUNING
        self._done[self._phase] += 1
        return loss

    def _next_phase(self) -> str:
        teacher_goes_on = self._done[TEACHER] == 0 or time.perf_counter() < self._deadline
        if self._phase in ("", TEACHER) and self._done[TEACHER] < self._config["teacher_epochs"] and teacher_goes_on:
            return TEACHER
        if self._done[DISTILLATION] < self._config["distillation_epochs"]:
            return DISTILLATION
        return FINETUNING
