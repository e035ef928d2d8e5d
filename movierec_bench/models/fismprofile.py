"""FISMProfile: movies that point where the user's average movie points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.linear_model import TiledWeights
from movierec_bench.models.parts.truncated_svd import item_factors
from movierec_bench.recbole_backend.model_contract import (
    EmbeddingModel,
    HistoryModel,
    ModelConfig,
    TrainDataset,
    without_bias,
)
from movierec_bench.recbole_backend.recency import RecencyWeighted


class FISMProfile(EmbeddingModel, RecencyWeighted, HistoryModel):
    """The cosine of every item vector with the mean of the vectors of what the user watched.

    The item vectors are ``V diag(s) ** singular_power``, V and s from the truncated singular value
    decomposition of the training rows: with a power of 1 they are the movies' columns of the interaction
    matrix at low rank, so that their products are co-occurrence counts.

    With ``n_factors: 0`` they are those columns: the order is that of ``(x X.T X)_i / sqrt(n_i)``, with x the
    user's history, X the training rows and n_i the users of movie i.

    Source:
        The profile and the cosine, on whole columns: t3-07 (published Recall@10 .0860), after Kabbur et al., "FISM:
        Factored Item Similarity Models", KDD 2013. Item vectors at low rank: ours, learned without gradient descent.
    """

    vectors: np.ndarray  # float32 [n_items, n_factors]
    weights: TiledWeights  # [n_items, n_items], in the place of vectors: X.T X over sqrt(n_i)

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.n_factors = config["n_factors"]
        self.has_embeddings = self.n_factors > 0
        self.other_parameter_name = ["vectors"] if self.has_embeddings else ["weights"]
        self.singular_power = config["singular_power"]
        self.seed = config["seed"]

    def fit_closed_form(self) -> None:
        """Learn the item vectors, or count users in common, in the training rows."""
        if not self.has_embeddings:
            counts = item_gram(self.history)
            norms = np.sqrt(np.diag(counts))
            self.weights = TiledWeights.of(np.divide(counts, norms, out=np.zeros_like(counts), where=norms > 0))
            return
        vectors, singular_values = item_factors(self.history, self.n_factors, self.seed)
        self.vectors = vectors * singular_values**self.singular_power

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        if self.has_embeddings:
            return super().full_sort_predict(interaction)
        return torch.from_numpy(self.weights.sums(self.weighted_history, self.user_rows(interaction)))

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_factors] profiles at length 1; 0 for a user without a history."""
        # A cosine does not change with the length of the profile, so the sum does for the mean.
        return torch.from_numpy(_unit_rows(self.weighted_history[self.user_rows(interaction)] @ self.vectors))

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The movies' vectors at length 1, without a bias; 0 for a movie without a vector."""
        return without_bias(torch.from_numpy(_unit_rows(self.vectors)))


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows of ``vectors`` [n, d] at length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
