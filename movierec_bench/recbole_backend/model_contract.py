"""What a model of ours builds on: a history to score from, or embeddings whose products are the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType
from scipy.sparse import csr_matrix


class HistoryModel(GeneralRecommender):
    """A RecBole general recommender whose scores come from what each user has seen.

    The history is the training rows while fitting; before ranking, `set_history` gives it all the
    rows the protocol allows (train and validation at test, every row for a submission).

    Attributes:
        history: float32 csr [n_users, n_items] of 0 and 1; row 0 and column 0 are padding, empty.
        interactions: the same rows with their times, sorted by user and time.
    """

    type = ModelType.GENERAL
    input_type = InputType.POINTWISE
    history: csr_matrix

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.interactions = dataset.interactions
        self.history = dataset.interactions.csr
        # The trainer and RecBole both expect something on a device.
        self.register_buffer("_device_anchor", torch.zeros(1), persistent=False)

    def set_history(self, history: csr_matrix, interactions: Any) -> None:
        """Take the rows to rank from.

        Args:
            history: float32 csr [n_users, n_items] of 0 and 1.
            interactions: the same rows as `data.interactions.Interactions`, with times.
        """
        self.history = history
        self.interactions = interactions

    def fit_closed_form(self) -> None:
        """Fit from `history` in one go. Models that train by epochs leave this alone."""

    def user_rows(self, interaction: Any) -> np.ndarray:
        """Int64 [B] user indices of a batch, on the CPU."""
        users: np.ndarray = interaction[self.USER_ID].cpu().numpy()
        return users


class EmbeddingModel:
    """Scores ``users @ items.T + bias``. Mixed in before a RecBole model; ranking need not multiply all of it out."""

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, f] of a batch of users."""
        raise NotImplementedError

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(float32 [n_items, f], bias float32 [n_items])."""
        raise NotImplementedError

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        items, bias = self.item_embeddings()
        return torch.addmm(bias, self.user_embeddings(interaction), items.T)


def without_bias(items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Movies' embeddings [n_items, f] with a bias of zeros."""
    return items, items.new_zeros(len(items))
