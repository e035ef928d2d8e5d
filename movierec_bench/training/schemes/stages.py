"""Training in stages, one after the other. A training that was killed starts anew, as a stage may end by the clock."""

from __future__ import annotations

import time
from typing import Any, Optional

import numpy as np
import torch

from movierec_bench.recbole_backend.model_contract import ModelConfig
from movierec_bench.training.batches import Batches
from movierec_bench.training.schemes.base import PlainScheme, Scheme, build_optimizer, train_pass


class RaCTScheme(Scheme):
    """RaCT: an actor, a variational autoencoder, and a critic that learns to foresee the actor's NDCG.

    The actor has ``pretrain_epochs`` epochs, then the critic ``critic_epochs`` passes; from then on the actor learns
    what the critic rates best.

    The critic's passes change no ranking, so they belong to the first epoch of the last stage.

    Source:
        Lobel et al., ICLR 2020, algorithm 1; RecBole runs each stage by hand, through files.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._epoch = 0
        model.metrics_k = min(model.metrics_k, model.n_items)  # RecBole's NDCG wants that many movies
        self._enter("actor_pretrain")

    @property
    def is_pretraining(self) -> bool:
        """Whether a stage is still to come."""
        return self._epoch < self._config["pretrain_epochs"]

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""
        if self._epoch == self._config["pretrain_epochs"]:
            self._enter("critic_pretrain")
            for _ in range(self._config["critic_epochs"]):
                self._pass(batches, rng)
            self._enter("finetune")
        self._epoch += 1
        return self._pass(batches, rng)

    def _enter(self, stage: str) -> None:
        """Unfreeze the network that the stage trains, freeze the other, and start its optimiser."""
        model = self._model
        model.train_stage = stage
        model.critic_net.requires_grad_(stage == "critic_pretrain")
        for actor in (model.encoder, model.decoder):
            actor.requires_grad_(stage != "critic_pretrain")
        self._optimizer = build_optimizer(self._config, [p for p in model.parameters() if p.requires_grad])

    def _pass(self, batches: Batches, rng: np.random.Generator) -> float:
        self._model.train()
        return train_pass(self._config, self._model, self._model.calculate_loss, self._optimizer, batches.epoch(rng))


class NAISScheme(Scheme):
    """NAIS: ``pretrain_epochs`` epochs as FISM, whose vectors the attention starts from.

    Source:
        He et al., TKDE 2018, section 3.4.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._optimizer = build_optimizer(config, model.parameters(), "fism_learning_rate")
        self._epoch = 0

    @property
    def is_pretraining(self) -> bool:
        """Whether a stage is still to come."""
        return self._epoch < self._config["pretrain_epochs"]

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""
        model = self._model
        if self._epoch == self._config["pretrain_epochs"]:
            self._optimizer = build_optimizer(self._config, model.parameters())
        model.as_fism = self.is_pretraining
        self._epoch += 1
        model.train()
        return train_pass(self._config, model, model.calculate_loss, self._optimizer, batches.epoch(rng))


TEACHER, DISTILLATION, FINETUNING = "teacher_training", "distillation", "finetuning"  # RecBole's names of the phases


class DistillationScheme(Scheme):
    """A teacher learns, then the student copies it on the teacher's vectors, then the student is fine-tuned.

    ``teacher_epochs`` and ``distillation_epochs`` say when the next stage begins, but after its first epoch the teacher
    takes no longer than a share ``teacher_share`` of the budget. Each stage begins with a new optimiser, as RecBole's
    runs do. Between epochs the model is in its last phase, so that what is ranked, validated or kept is the student.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._done = {TEACHER: 0, DISTILLATION: 0, FINETUNING: 0}
        self._deadline = self._end_of_share(config["teacher_share"])
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

    def epoch_end(self, training_end: float) -> float:
        """The teacher's share of the budget ends its epoch."""
        return self._deadline if self._next_phase() == TEACHER else training_end

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


class S3RecScheme(PlainScheme):
    """Pre-trains, then fine-tunes; the model's ``train_stage`` says which it does: ``pretrain`` or ``finetune``.

    Pre-training lasts ``pretrain_epochs`` epochs, but no longer than a share ``pretrain_share`` of the budget, so
    that some is left for fine-tuning; a first epoch that takes longer is followed by one of fine-tuning all the same,
    without which the model ranks at random. RecBole saves the model, makes another for the second stage and loads it.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._epochs = 0
        self._deadline = self._end_of_share(config["pretrain_share"])

    @property
    def is_pretraining(self) -> bool:
        """Whether fine-tuning is still to come."""
        return bool(self._model.train_stage == "pretrain")

    @property
    def can_rank(self) -> bool:
        """Whether fine-tuning has begun."""
        return not self.is_pretraining

    def epoch_end(self, training_end: float) -> float:
        """The share of pre-training ends its epoch."""
        return self._deadline if self.is_pretraining and not self._is_pretrained() else training_end

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

    def state(self) -> Optional[dict[str, Any]]:
        """None: a stage ends by the clock."""
        return None

    def _is_pretrained(self) -> bool:
        return self._epochs >= self._config["pretrain_epochs"] or time.perf_counter() >= self._deadline

    def _start_finetuning(self) -> None:
        self._model.train_stage = "finetune"
        self._model.loss_fct = torch.nn.CrossEntropyLoss()  # RecBole's S3Rec takes it when made for this stage
        self._optimizer = build_optimizer(self._config, self._model.parameters())
