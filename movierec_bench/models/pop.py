"""Pop: the same most watched movies for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from movierec_bench.models.parts.popularity import watch_counts
from movierec_bench.recbole_backend.model_contract import HistoryModel


class MostPopular(HistoryModel):
    """A movie's score is the number of training rows it has. RecBole's Pop keeps the same counts in a dictionary."""

    other_parameter_name = ["counts"]
    counts: np.ndarray

    def fit_closed_form(self) -> None:
        """Count the training rows of each movie."""
        self.counts = watch_counts(self.history)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores, the same row for every user."""
        return torch.from_numpy(np.tile(self.counts, (len(self.user_rows(interaction)), 1)))
