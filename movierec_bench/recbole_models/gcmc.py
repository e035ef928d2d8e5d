"""GCMC as RecBole has it, encoding its graph once a ranking."""

from __future__ import annotations

from typing import Any, Optional

import torch
from recbole.model.general_recommender.gcmc import GCMC

from movierec_bench.models.parts.sparse_graph import FastGraph
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class CachedGCMC(FastGraph, GCMC):
    """RecBole's GCMC, ranked by the probability of a rating.

    RecBole ranks by the logit of "rated" alone, and encodes the whole graph again for every block of users.

    Source:
        van den Berg et al., "Graph Convolutional Matrix Completion", KDD workshop 2018.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self._encoded: Optional[tuple[torch.Tensor, torch.Tensor]] = None

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """RecBole's cross-entropy of watched and not watched."""
        self._encoded = None
        return super().calculate_loss(interaction)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], the log-odds of the class "watched"."""
        user = interaction[self.USER_ID]
        if self._encoded is None:
            self._encoded = self.GcEncoder(self.user_features, self.item_features)
        users, items = self._encoded
        logits = self.BiDecoder(users, items, user)
        return (logits[:, 1] - logits[:, 0]).view(len(user), -1)

    def load_other_parameter(self, para: Any) -> None:
        """Forget the encoding, which is of other weights."""
        super().load_other_parameter(para)
        self._encoded = None
