"""Training schemes of RecBole's general models that do not train plainly: alternating optimisers, clusters, stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.recbole_backend.model_contract import ModelConfig
from movierec_bench.training.batches import Batches
from movierec_bench.training.schemes.base import PlainScheme, Scheme, build_optimizer, train_pass
from movierec_bench.training.triple_batches import KnowledgeBatches


class RecVAEScheme(Scheme):
    """RecVAE: encoder and decoder are trained in turn, each with its own optimiser.

    An epoch trains the encoder ``n_enc_epochs`` times, copies it into the prior, then trains the decoder
    ``n_dec_epochs`` times.

    Source:
        Shenbin et al., WSDM 2020, section 3.4; RecBole's RecVAETrainer.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
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

    def state(self) -> Optional[dict[str, Any]]:
        """Both optimisers'."""
        return {"encoder": self._encoder.state_dict(), "decoder": self._decoder.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take both optimisers'."""
        self._encoder.load_state_dict(state["encoder"])
        self._decoder.load_state_dict(state["decoder"])

    def _pass(
        self, optimizer: torch.optim.Optimizer, batches: Batches, rng: np.random.Generator, encoder: bool
    ) -> float:
        self._model.encoder.requires_grad_(encoder)  # what a pass leaves alone needs no gradient
        self._model.decoder.requires_grad_(not encoder)

        def loss_of(batch: Interaction) -> Any:
            return self._model.calculate_loss(batch, encoder_flag=encoder)

        return train_pass(self._config, self._model, loss_of, optimizer, batches.epoch(rng))


class NCLScheme(PlainScheme):
    """NCL: the loss against clusters of the vectors joins the others.

    After ``warm_up_step`` epochs the vectors are clustered, every ``m_step`` epochs anew.

    Source:
        Lin et al., WWW 2022, section 3.5; RecBole's NCLTrainer.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._epoch = 0

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""
        since_warm_up = self._epoch - self._config["warm_up_step"]
        if since_warm_up >= 0 and since_warm_up % self._config["m_step"] == 0:
            self._model.e_step()
        self._epoch += 1
        return super().epoch(batches, rng)

    def state(self) -> Optional[dict[str, Any]]:
        """The optimiser's, and how many epochs are done."""
        return {**(super().state() or {}), "epoch": self._epoch}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take what `state` gave."""
        super().load_state(state)
        self._epoch = state["epoch"]


class _KnowledgeScheme(Scheme):
    """One optimiser for passes over the interactions and passes over the triples."""

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._optimizer = build_optimizer(config, model.parameters())
        self._epochs_done = 0

    def epoch(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step, summed over the passes."""
        self._model.train()
        loss = self._passes(batches, rng)
        self._epochs_done += 1
        return loss

    def state(self) -> Optional[dict[str, Any]]:
        """The optimiser's, and how many epochs are done."""
        return {"optimizer": self._optimizer.state_dict(), "epochs": self._epochs_done}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take what `state` gave."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._epochs_done = state["epochs"]

    def _passes(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        raise NotImplementedError

    def _pass(self, loss_of: Any, batches: Iterator[Interaction]) -> float:
        return train_pass(self._config, self._model, loss_of, self._optimizer, batches)


class KGATScheme(_KnowledgeScheme):
    """Interactions, then triples, then the attention over the graph is computed anew; RecBole's KGATTrainer."""

    def _passes(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        loss = self._pass(self._model.calculate_loss, batches.interactions(rng))
        loss += self._pass(self._model.calculate_kg_loss, batches.triples(rng))
        self._model.eval()
        with torch.no_grad():
            self._model.update_attentive_A()
        return loss


class MKRScheme(_KnowledgeScheme):
    """Interactions, and every ``kge_interval`` epochs the triples too; RecBole's MKRTrainer."""

    def _passes(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        loss = self._pass(self._model.calculate_rs_loss, batches.interactions(rng))
        if self._epochs_done % self._config["kge_interval"] == 0:
            loss += self._pass(self._model.calculate_kg_loss, batches.triples(rng))
        return loss


class AlternatingScheme(_KnowledgeScheme):
    """``train_rec_step`` epochs of interactions, then ``train_kg_step`` of triples; RecBole's KGTrainer."""

    def _passes(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        rec_step, kg_step = self._config["train_rec_step"], self._config["train_kg_step"]
        if self._epochs_done % (rec_step + kg_step) < rec_step:
            return self._pass(self._model.calculate_loss, batches.interactions(rng))
        return self._pass(self._model.calculate_kg_loss, batches.triples(rng))
