"""The orders in which RecBole's knowledge-aware models learn from interactions and from triples.

RecBole has a trainer for each order and picks it by the model's class name; here ``catalog.scheme`` says it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.recbole_backend.schemes import Scheme, build_optimizer, train_pass
from movierec_bench.recbole_backend.triples import KnowledgeBatches


class _KnowledgeScheme(Scheme):
    """One optimiser for passes over the interactions and passes over the triples."""

    def __init__(self, config: Any, model: Any) -> None:
        self._config = config
        self._model = model
        self._optimizer = build_optimizer(config, model.parameters())
        self._epochs_done = 0

    def epoch(self, batches: KnowledgeBatches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step, summed over the passes."""
        self._model.train()
        loss = self._passes(batches, rng)
        self._epochs_done += 1
        return loss

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
