"""ADMM-SLIM as RecBole has it, with scores that are the same each time."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.admmslim import ADMMSLIM

from movierec_bench.models.parts.linear_model import TiledWeights
from movierec_bench.models.parts.sparse_rows import RowReader
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import RecencyWeighted


class QuietADMMSLIM(RecencyWeighted, RowReader, ADMMSLIM):
    """RecBole's ADMMSLIM without the noise it adds to every score to break ties; our ranking breaks them.

    Source:
        Steck et al., WSDM 2020.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.weights = TiledWeights.of(self.item_similarity)
        self.offsets = self.item_means - self.item_means @ self.item_similarity if self.center_columns else None

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores."""
        user = interaction[self.USER_ID].cpu().numpy()
        scores = torch.from_numpy(self.weights.sums(self.weighted_history, user))
        if self.offsets is not None:
            scores += torch.from_numpy(self.offsets)
        return scores.to(self.device)
