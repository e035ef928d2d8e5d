"""UserEASE: EASE with users in the place of movies, solved in the movies' space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.models.parts.gram_matrix import item_gram, ridge_inverse
from movierec_bench.models.parts.linear_model import LinearModel, TiledWeights
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

_USERS_A_BLOCK = 2048


class UserEASE(LinearModel):
    """User weights C with zero diagonal that minimise ``|X - C X|^2 + reg_weight |C|^2``.

    A movie's score is the weighted sum over the other users who watched it. The solution needs the
    inverse Q of ``X X.T + reg_weight I`` (users by users): ``C[u, v] = -Q[u, v] / Q[u, u]`` for v != u.
    With the inverse S of ``X.T X + reg_weight I`` (movies by movies), Woodbury's identity gives
    ``Q X = X S`` and ``Q[u, u] = (1 - x_u S x_u.T) / reg_weight``, hence

        C X = X - reg_weight X S / (1 - x_u S x_u.T)    (row u),

    which costs as much as EASE instead of the inverse of a matrix of users by users. The divisor is one
    positive number a user and stays what the training rows made it; the history in force takes X's place
    elsewhere.

    Source:
        Steck, WWW 2019, applied to the transposed matrix; the rewriting is ours. Weight: t8-03.
    """

    other_parameter_name = ["weights", "leave_out"]
    weights: TiledWeights
    leave_out: np.ndarray  # float32 [n_users]: 1 - x_u S x_u.T on the training rows

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.reg_weight = config["reg_weight"]

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: ``-reg_weight S``."""
        weights = ridge_inverse(item_gram(self.history), self.reg_weight, overwrite=True)
        weights *= -self.reg_weight
        return weights

    def fit_closed_form(self) -> None:
        """Learn S and each user's divisor from the training rows."""
        super().fit_closed_form()
        self.leave_out = np.ones(self.n_users, dtype=np.float32)
        for first in range(0, self.n_users, _USERS_A_BLOCK):
            users = np.arange(first, min(self.n_users, first + _USERS_A_BLOCK))
            scores = self.weights.sums(self.history, users)
            own = self.history[users].multiply(scores).sum(axis=1)
            self.leave_out[users] += np.asarray(own)[:, 0] / self.reg_weight

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        users = self.user_rows(interaction)
        scores = self.weights.sums(self.history, users)
        scores /= self.leave_out[users, None]
        row, seen = self.history[users].nonzero()
        scores[row, seen] += 1
        return torch.from_numpy(scores)
