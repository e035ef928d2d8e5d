"""SVD: what the users with the most alike factors watched."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from movierec_bench.models.parts.nearest import UserNeighbourModel, nearest_by_correlation
from movierec_bench.models.parts.truncated_svd import item_factors
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class SVD(UserNeighbourModel):
    """Votes of the ``k`` users whose factors correlate most with the user's own.

    A user's factors are the user's history times the leading right singular vectors of the training rows
    (what scikit-learn's TruncatedSVD returns as the transformed matrix); two users are as similar as the
    Pearson correlation of their factors.

    Source:
        t3-07: 10 factors, 50 neighbours, voting.
    """

    other_parameter_name = ["vectors"]
    vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.n_factors = config["n_factors"]
        self.seed = config["seed"]

    def fit_closed_form(self) -> None:
        """Learn the movies' factors from the training rows and find the neighbours there."""
        self.vectors, _ = item_factors(self.history, self.n_factors, self.seed)
        super().fit_closed_form()

    def find_neighbours(self) -> csr_matrix:
        """Float32 csr [n_users, n_users] of correlations."""
        return nearest_by_correlation(self.history @ self.vectors, self.k)
