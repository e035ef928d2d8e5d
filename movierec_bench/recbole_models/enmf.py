"""ENMF as RecBole has it, trained from users' whole histories."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.enmf import ENMF

from movierec_bench.models.parts.sparse_rows import RowReader
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class RowENMF(RowReader, ENMF):
    """RecBole's ENMF: its parameters and its loss over whole rows of the 0/1 matrix, from matrix products.

    RecBole pads histories to the longest and counts the padding as a watched movie, and ranks with a matrix
    [users, n_items, factors].

    Source:
        Chen et al., TOIS 2020, equation 8.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.history = dataset.interactions.csr

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Squared error over all movies, those not watched weighing ``negative_weight``, plus RecBole's penalty."""
        user = interaction[self.USER_ID]
        rows = self.rows(user)
        vectors, items, weights = self.user_embedding(user), self.item_embedding.weight, self.H_i.weight
        everywhere = ((items.T @ items) * (vectors.T @ vectors) * (weights.T @ weights)).sum()
        scores = (self.dropout(vectors) * weights) @ items.T
        watched = rows * ((1 - self.negative_weight) * scores**2 - 2 * scores)
        return self.negative_weight * everywhere + watched.sum() + self.reg_loss()

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores; equal to RecBole's."""
        vectors = self.user_embedding(interaction[self.USER_ID])
        return (vectors * self.H_i.weight) @ self.item_embedding.weight.T
