"""KD_DAGFM's three stages in one training: RecBole wants three runs and a checkpoint carried from each to the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from movierec_bench.recbole_backend.batches import Batches
from movierec_bench.recbole_backend.schemes import build_optimizer, train_pass

TEACHER, DISTILLATION, FINETUNING = "teacher_training", "distillation", "finetuning"  # RecBole's names of the phases


class DistillationScheme:
    """A teacher learns, then the student copies it on the teacher's vectors, then the student is fine-tuned.

    ``teacher_epochs`` and ``distillation_epochs`` say when the next stage begins; each begins with a new
    optimiser, as RecBole's runs do. Between epochs the model is in its last phase, so that whatever is
    ranked, validated or kept is the student.
    """

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
        self._epochs_done = 0
        self._phase = ""
        self._optimizer: Any = None

    @property
    def is_pretraining(self) -> bool:
        """Whether fine-tuning is still to come."""
        return self._next_phase() != FINETUNING

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch of the stage that is due; the mean loss a step."""
        if self._next_phase() != self._phase:
            self._phase = self._next_phase()
            self._optimizer = build_optimizer(self._config, self._model.parameters())
        self._model.train()
        self._model.phase = self._phase
        loss = train_pass(self._config, self._model, self._model.calculate_loss, self._optimizer, batches.epoch(rng))
        self._model.phase = FINETUNING
        self._epochs_done += 1
        return loss

    def _next_phase(self) -> str:
        if self._epochs_done < self._config["teacher_epochs"]:
            return TEACHER
        if self._epochs_done < self._config["teacher_epochs"] + self._config["distillation_epochs"]:
            return DISTILLATION
        return FINETUNING
