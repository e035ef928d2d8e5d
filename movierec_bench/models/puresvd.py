"""PureSVD: the interaction matrix at low rank."""

from __future__ import annotations

import logging
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
from movierec_bench.recbole_backend.recency import RecencyWeighted

logger = logging.getLogger(__name__)


class PureSVD(EmbeddingModel, RecencyWeighted, HistoryModel):
    """A user's history projected on the leading right singular vectors V of the training rows: ``x V V.T``.

    For a training row x of X = U S V.T this is the user's row of the best approximation of X of rank
    ``n_factors``. V is computed as the leading eigenvectors of the item Gram matrix ``X.T X``. At full
    rank that would be X itself, in which all unseen movies are equal, so there are never more factors
    than a quarter of the users or of the movies.

    Source:
        Cremonesi et al., "Performance of recommender algorithms on top-N recommendation tasks", RecSys
        2010, equation 5.
    """

    other_parameter_name = ["vectors"]
    vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.n_factors = self._at_most_a_quarter(config["n_factors"])
        self.seed = config["seed"]

    def _at_most_a_quarter(self, n_factors: int) -> int:
        most = max(1, (min(self.n_users, self.n_items) - 1) // 4)
        if n_factors > most:
            logger.warning("PureSVD: n_factors %d is too many for these data; %d are used", n_factors, most)
        return min(n_factors, most)

    def fit_closed_form(self) -> None:
        """Learn the movies' factors from the training rows."""
        self.vectors, _ = item_factors(self.history, self.n_factors, self.seed)

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_factors]: ``x V``."""
        return torch.from_numpy(self.weighted_history[self.user_rows(interaction)] @ self.vectors)

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """V, without a bias."""
        return without_bias(torch.from_numpy(self.vectors))
