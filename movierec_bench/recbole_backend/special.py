"""Training schemes of RecBole's general models that do not train plainly: alternating optimisers, clusters, stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.recbole_backend.batches import Batches
from movierec_bench.recbole_backend.schemes import PlainScheme, Scheme, build_optimizer, check_loss, train_pass


class RecVAEScheme(Scheme):
    """RecVAE: an epoch trains the encoder ``n_enc_epochs`` times, copies it into the prior, then trains the decoder
    ``n_dec_epochs`` times, each with its own optimiser.

    Source:
        Shenbin et al., WSDM 2020, section 3.4; RecBole's RecVAETrainer.
    """

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
        self._encoder = build_optimizer(config, model.encoder.parameters())
        self._decoder = build_optimizer(config, model.decoder.parameters())

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step of the decoder's passes."""
        self._model.train()
        for _ in range(self._config["n_enc_epochs"]):
            self._pass(self._encoder, batches, rng, encoder=True)
        self._model.update_prior()
        losses = [self._pass(self._decoder, batches, rng, encoder=False) for _ in range(self._config["n_dec_epochs"])]
        return sum(losses) / max(len(losses), 1)

    def _pass(
        self, optimizer: torch.optim.Optimizer, batches: Batches, rng: np.random.Generator, encoder: bool
    ) -> float:
        self._model.encoder.requires_grad_(encoder)  # what a pass leaves alone needs no gradient
        self._model.decoder.requires_grad_(not encoder)

        def loss_of(batch: Interaction) -> Any:
            return self._model.calculate_loss(batch, encoder_flag=encoder)

        return train_pass(self._config, self._model, loss_of, optimizer, batches.epoch(rng))


class DescentScheme(Scheme):
    """For models with ``descend(rng)``: they draw an epoch's rows themselves and step through them in compiled code."""

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step. Raises ModelError when it is not finite."""
        loss: float = self._model.descend(rng)
        check_loss(self._config, loss, "in an epoch")
        return loss


class NCLScheme(PlainScheme):
    """NCL: after ``warm_up_step`` epochs the vectors are clustered, every ``m_step`` epochs anew, and the loss against
    the clusters joins the others.

    Source:
        Lin et al., WWW 2022, section 3.5; RecBole's NCLTrainer.
    """

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self._epoch = 0

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""
        since_warm_up = self._epoch - self._config["warm_up_step"]
        if since_warm_up >= 0 and since_warm_up % self._config["m_step"] == 0:
            self._model.e_step()
        self._epoch += 1
        return super().epoch(batches, rng)


class RaCTScheme(Scheme):
    """RaCT: ``pretrain_epochs`` epochs of the actor, a variational autoencoder; then a critic learns in
    ``critic_epochs`` passes to foresee the actor's NDCG; from then on the actor learns what the critic rates best.

    The critic's passes change no ranking, so they belong to the first epoch of the last stage.

    Source:
        Lobel et al., ICLR 2020, algorithm 1; RecBole runs each stage by hand, through files.
    """

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
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

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
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
