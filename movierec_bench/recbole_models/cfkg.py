"""CFKG as RecBole has it, with a full ranking."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.knowledge_aware_recommender.cfkg import CFKG


class FullSortCFKG(CFKG):
    """RecBole's CFKG, which rates one pair at a time."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items]: how well user + "watched" matches each movie."""
        wanted = self.user_embedding(interaction[self.USER_ID]) + self.relation_embedding.weight[-1]
        items = self.entity_embedding.weight[: self.n_items]
        if self.loss_function == "transe":
            return -torch.cdist(wanted, items)
        return wanted @ items.T
