"""FISMProfile: movies that point where the user's average movie points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.models.parts.truncated_svd import item_factors
from movierec_bench.recbole_backend.model_contract import (
    EmbeddingModel,
    HistoryModel,
    ModelConfig,
    TrainDataset,
    without_bias,
)


class FISMProfile(EmbeddingModel, HistoryModel):
    """The cosine of every item vector with the mean of the vectors of what the user watched.

    The item vectors are ``V diag(s) ** singular_power``, V and s from the truncated singular value
    decomposition of the training rows: with a power of 1 they are the movies' columns of the interaction
    matrix at low rank, so that their products are co-occurrence counts.

    Source:
        The profile and the cosine: t3-07, after Kabbur et al., "FISM: Factored Item Similarity Models",
        KDD 2013. The item vectors: ours, learned without gradient descent.
    """

    other_parameter_name = ["vectors"]
    vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.n_factors = config["n_factors"]
        self.singular_power = config["singular_power"]
        self.seed = config["seed"]

    def fit_closed_form(self) -> None:
        """Learn the item vectors from the training rows."""
        vectors, singular_values = item_factors(self.history, self.n_factors, self.seed)
        self.vectors = vectors * singular_values**self.singular_power

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_factors] profiles at length 1; 0 for a user without a history."""
        # A cosine does not change with the length of the profile, so the sum does for the mean.
        return torch.from_numpy(_unit_rows(self.history[self.user_rows(interaction)] @ self.vectors))

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The movies' vectors at length 1, without a bias; 0 for a movie without a vector."""
        return without_bias(torch.from_numpy(_unit_rows(self.vectors)))


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows of ``vectors`` [n, d] at length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
