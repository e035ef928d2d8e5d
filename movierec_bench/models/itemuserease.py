"""ItemUserEASE: what EASE says of a user's movies, and what it says of similar users, in one score."""

from __future__ import annotations

from typing import Any

import torch

from movierec_bench.models.ease import ease_weights
from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.linear_model import TiledWeights
from movierec_bench.models.userease import UserEASE
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class ItemUserEASE(UserEASE):
    """The sum ``X B + C X`` of EASE's scores (item weights B) and UserEASE's (user weights C).

    Both regress the same 0/1 matrix, so their scores are on one scale and are added as they are.

    Source:
        Steck, WWW 2019, on both sides of the matrix; the two regularisation weights are t8-03's, the
        plain sum is ours.
    """

    other_parameter_name = ["weights", "leave_out", "own_item_weights"]
    own_item_weights: TiledWeights  # [n_items, n_items]: B

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.item_reg_weight = config["item_reg_weight"]

    def fit_closed_form(self) -> None:
        """Learn both sides from the training rows."""
        super().fit_closed_form()
        own = ease_weights(item_gram(self.history), self.item_reg_weight, overwrite=True)
        self.own_item_weights = TiledWeights.of(own)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        by_items = self.own_item_weights.sums(self.weighted_history, self.user_rows(interaction))
        return super().full_sort_predict(interaction).add_(torch.from_numpy(by_items))
