"""PureSVD: the interaction matrix at low rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.models.base import HistoryModel
from movierec_bench.models.factors import item_factors
from movierec_bench.models.parameters import whole_number


class PureSVD(HistoryModel):
    """A user's history projected on the leading right singular vectors V of the training rows: ``x V V.T``.

    For a training row x of X = U S V.T this is the user's row of the best approximation of X of rank
    ``n_factors``. V is computed as the leading eigenvectors of the item Gram matrix ``X.T X``.

    Source:
        Cremonesi et al., "Performance of recommender algorithms on top-N recommendation tasks", RecSys
        2010, equation 5.
    """

    other_parameter_name = ["vectors"]
    vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.n_factors = whole_number(config, "n_factors")
        self.seed = config["seed"]

    def fit_closed_form(self) -> None:
        """Learn the movies' factors from the training rows."""
        self.vectors, _ = item_factors(self.history, self.n_factors, self.seed)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        profiles = self.history[self.user_rows(interaction)] @ self.vectors
        return torch.from_numpy(profiles @ self.vectors.T)
