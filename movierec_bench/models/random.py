"""Random: the floor every model must clear."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset


class RandomRank(HistoryModel):
    """Uniform scores drawn for each user from the run's seed and the user's index.

    A user's scores are the same whichever users are in the batch. RecBole's Random draws anew at every
    call.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.seed = config["seed"]

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores from 0 to 1."""
        users = self.user_rows(interaction)
        scores = np.empty((len(users), self.n_items), dtype=np.float32)
        for row, user in zip(scores, users):
            np.random.default_rng((self.seed, user)).random(dtype=np.float32, out=row)
        return torch.from_numpy(scores)
