"""ADMM-SLIM as RecBole has it, with scores that are the same each time."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.admmslim import ADMMSLIM

from movierec_bench.models.linear import history_scores
from movierec_bench.models.rows import RowReader


class QuietADMMSLIM(RowReader, ADMMSLIM):
    """RecBole's ADMMSLIM without the noise it adds to every score to break ties; our ranking breaks them.

    Source:
        Steck et al., WSDM 2020.
    """

    other_parameter_name = ["item_similarity", "item_means"]

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores."""
        user = interaction[self.USER_ID].cpu().numpy()
        scores = torch.from_numpy(history_scores(self.history, user, self.item_similarity))
        if self.center_columns:
            scores += torch.from_numpy(self.item_means - self.item_means @ self.item_similarity)
        return scores.to(self.device)
