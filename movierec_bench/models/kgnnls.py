"""KGNN-LS as RecBole has it, with a full ranking."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.knowledge_aware_recommender.kgnnls import KGNNLS

from movierec_bench.models.kgcn import neighbourhood_scores


class FullSortKGNNLS(KGNNLS):
    """RecBole's KGNN-LS, whose full ranking takes every pair of a block through the graph layer at once."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        return neighbourhood_scores(self, interaction[self.USER_ID])
