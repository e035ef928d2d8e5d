"""MKR as RecBole has it, its cross-and-compress units without the matrices they compress, with a full ranking."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.init import xavier_normal_initialization
from recbole.model.knowledge_aware_recommender.mkr import MKR, CrossCompressUnit
from torch import nn

from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_backend.pairwise_scores import score_pairs_of_ids


class VectorCrossCompressUnit(CrossCompressUnit):
    """RecBole's unit builds the D x D matrix v e' of each row and multiplies it with vectors: (v e') w = v <e, w>."""

    def forward(self, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Both outputs, float32 [n, D], of a movie's two vectors v and e, float32 [n, D]."""
        v, e = inputs
        return self._compress(v, e, self.fc_vv, self.fc_ev), self._compress(v, e, self.fc_ve, self.fc_ee)

    @staticmethod
    def _compress(v: torch.Tensor, e: torch.Tensor, straight: nn.Linear, turned: nn.Linear) -> torch.Tensor:
        return v * (e @ straight.weight.T) + e * (v @ turned.weight.T) + straight.bias + turned.bias


class FullSortMKR(MKR):
    """RecBole's MKR, which rates one pair at a time."""

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        units = [VectorCrossCompressUnit(self.embedding_size) for _ in range(len(self.cc_unit))]
        self.cc_unit: nn.Sequential = nn.Sequential(*units)
        self.cc_unit.apply(xavier_normal_initialization)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        user = interaction[self.USER_ID]
        if not self.use_inner_product:
            return score_pairs_of_ids(self, user)
        movies = [self.item_embeddings_lookup.weight, self.entity_embeddings_lookup.weight]
        items, _ = self.cc_unit([vectors[: self.n_items] for vectors in movies])
        return self.user_mlp(self.user_embeddings_lookup(user)) @ items.T
