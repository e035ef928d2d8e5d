"""Models whose scores are products of a user's and a movie's embedding."""

from __future__ import annotations

from typing import Any

import torch


class EmbeddingModel:
    """Scores ``users @ items.T + bias``. Mixed in before a RecBole model; ranking need not multiply all of it out."""

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, f] of a batch of users."""
        raise NotImplementedError

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(float32 [n_items, f], bias float32 [n_items])."""
        raise NotImplementedError

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        items, bias = self.item_embeddings()
        return torch.addmm(bias, self.user_embeddings(interaction), items.T)


def without_bias(items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Movies' embeddings [n_items, f] with a bias of zeros."""
    return items, items.new_zeros(len(items))
