"""NNCF as RecBole has it, able to score all movies at once."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.nncf import NNCF

from movierec_bench.models.parts.first_layer_split import score_pairs, split_first_layer


class AllItemsNNCF(NNCF):
    """RecBole's NNCF with a ranking of all movies.

    The convolution over a user's neighbours is done once a user, that over a movie's once a movie, where RecBole's
    ``predict`` does both once a pair.

    Source:
        Bai et al., CIKM 2017.
    """

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores, before RecBole's sigmoid, which changes no order but makes ties."""
        user = interaction[self.USER_ID]
        first, rest = split_first_layer(self.mlp_layers.mlp_layers)
        items = self.item_embedding.weight
        user_side = self._convolved(self.user_conv, self.user_neigh_embedding(self.u_neigh[user]))
        item_side = self._convolved(self.item_conv, self.item_neigh_embedding(self.i_neigh))
        product, user_half, item_half = first.weight.split(
            [items.shape[1], user_side.shape[1], item_side.shape[1]], dim=1
        )
        user_part = user_side @ user_half.T
        item_part = item_side @ item_half.T + first.bias
        rows = []
        for vector, part in zip(self.user_embedding(user), user_part.split(1)):
            crossed = item_part + items @ (product * vector).T
            rows.append(score_pairs(part, crossed, lambda hidden: self.out_layer(rest(hidden)).squeeze(-1)))
        return torch.cat(rows)

    @staticmethod
    def _convolved(layers: torch.nn.Module, neighbours: torch.Tensor) -> torch.Tensor:
        """Float32 [n, channels * pooled] from neighbours' vectors float32 [n, neigh_num, d]."""
        return layers(neighbours.permute(0, 2, 1)).flatten(1)
