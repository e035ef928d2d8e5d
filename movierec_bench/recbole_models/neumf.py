"""NeuMF as RecBole has it, able to score all movies at once."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.neumf import NeuMF

from movierec_bench.models.parts.first_layer_split import score_pairs, split_first_layer


class AllItemsNeuMF(NeuMF):
    """RecBole's NeuMF with a ranking of all movies; RecBole scores pair by pair.

    Source:
        He et al., WWW 2017.
    """

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores, before RecBole's sigmoid, which changes no order but makes ties."""
        user = interaction[self.USER_ID]
        weight = self.predict_layer.weight[0]
        mf_weight, mlp_weight = weight, weight
        if self.mf_train and self.mlp_train:
            mf_weight, mlp_weight = weight.split([self.mf_embedding_size, self.mlp_hidden_size[-1]])
        scores = self.predict_layer.bias.expand(len(user), self.n_items)
        if self.mf_train:
            scores = scores + (self.user_mf_embedding(user) * mf_weight) @ self.item_mf_embedding.weight.T
        if self.mlp_train:
            scores = scores + self._mlp_scores(user, mlp_weight)
        return scores

    def _mlp_scores(self, user: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        first, rest = split_first_layer(self.mlp_layers.mlp_layers)
        user_half, item_half = first.weight.split(self.mlp_embedding_size, dim=1)
        user_part = self.user_mlp_embedding(user) @ user_half.T
        item_part = self.item_mlp_embedding.weight @ item_half.T + first.bias
        return score_pairs(user_part, item_part, lambda hidden: rest(hidden) @ weight)
