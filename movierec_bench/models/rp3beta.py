"""RP3beta: random walks of three steps from the user, with popular movies held back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from sklearn.preprocessing import normalize

from movierec_bench.models.parts.linear_model import sparse_scores
from movierec_bench.models.parts.nearest import nearest
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import RecencyWeighted


class RP3beta(RecencyWeighted, HistoryModel):
    """A movie's score is the chance that a walk user, movie, user, movie ends there, over its popularity to ``beta``.

    The first step goes to each of the user's movies j. The other two are one matrix of weights,

        W[j, i] = sum_v (1 / n_j) ** alpha * (1 / n_v) ** alpha / n_i ** beta

    over the users v who watched both movies, with n the number of users of a movie or of movies of a user.
    This is a Gram matrix weighted by user, exact where the paper samples walks. The ``k`` largest W[j, i]
    of each j are kept; with ``normalize`` they are then divided by their sum.

    Source:
        Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive
        applications", ACM TiiS 7(1), 2017; k as in Dacrema et al., RecSys 2019.
    """

    other_parameter_name = ["walks"]
    walks: csr_matrix  # float32 [n_items, n_items]: W

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.alpha = config["alpha"]
        self.beta = config["beta"]
        self.k = config["k"]
        self.normalize = config["normalize"]

    def fit_closed_form(self) -> None:
        """Weigh the walks through the training rows."""
        of_item = _inverse_power(self.history.sum(axis=0), self.alpha)
        of_user = _inverse_power(self.history.sum(axis=1), self.alpha)
        held_back = _inverse_power(self.history.sum(axis=0), self.beta)
        to_users = (diags(of_item) @ self.history.T @ diags(of_user)).tocsr()

        def walks_from(items: np.ndarray) -> np.ndarray:
            return sparse_scores(to_users, items, self.history) * held_back

        self.walks = nearest(walks_from, self.n_items, self.k)
        if self.normalize:
            self.walks = normalize(self.walks, norm="l1", axis=1)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        return torch.from_numpy(sparse_scores(self.weighted_history, self.user_rows(interaction), self.walks))


def _inverse_power(counts: np.matrix, power: float) -> np.ndarray:
    """Float32 [n]: ``counts ** -power``, and 0 where nothing is counted."""
    flat = np.asarray(counts, dtype=np.float32).ravel()
    return np.where(flat > 0, np.maximum(flat, 1) ** np.float32(-power), np.float32(0))
