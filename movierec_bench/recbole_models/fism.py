"""FISM as RecBole has it, trained and ranked from users' whole histories."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.fism import FISM
from torch.nn.functional import binary_cross_entropy_with_logits

from movierec_bench.models.parts.sparse_rows import RowReader, sample_zeros
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class RowFISM(RowReader, FISM):
    """RecBole's FISM, its parameters and its ranking, with a training that follows the paper.

    RecBole leaves the movie to be predicted in the history that predicts it, and squashes the scores twice;
    the paper does neither. A batch is users: their movies and sampled zeros, all of whose scores are one
    matrix product, in place of one padded history a (user, movie) pair. At the competition's size an epoch
    takes seconds, and RecBole's ranking (a matrix [n_items, history, factors] a user) hours.

    Source:
        Kabbur et al., KDD 2013, equations 3 and 4: the score of i is the user's bias, plus the movie's, plus
        ``len(H) ** -alpha`` times the sum of ``p_j q_i`` over the history H of all movies watched but i.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.history = dataset.interactions.csr
        self.negatives = config["train_neg_sample_args"]["sample_num"]

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Binary cross-entropy of the batch's movies and about ``sample_num`` zeros each, plus RecBole's penalty."""
        user = interaction[self.USER_ID]
        rows = self.rows(user)
        counted = sample_zeros(rows, self.negatives)
        scores = leave_one_out_scores(rows, self.item_src_embedding.weight, self.item_dst_embedding.weight, self.alpha)
        scores = scores + self.item_bias + self.user_bias[user].unsqueeze(1)
        loss = binary_cross_entropy_with_logits(scores, rows, weight=counted, reduction="sum") / counted.sum()
        return loss + self.reg_loss()

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores; equal to RecBole's."""
        user = interaction[self.USER_ID]
        scores = profile_scores(
            self.rows(user), self.item_src_embedding.weight, self.item_dst_embedding.weight, self.alpha
        )
        known = user < self.n_users  # somebody it was not trained on has no bias, which changes no order
        bias = torch.where(known, self.user_bias[user * known], 0.0)
        return scores + self.item_bias + bias.unsqueeze(1)


def profile_scores(rows: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor, alpha: float) -> torch.Tensor:
    """``len(H) ** -alpha`` times the sum of ``p_j q_i`` over the history H.

    Args:
        rows: float32 [B, n_items] of 0 and 1, the histories.
        sources: float32 [n_items, d], the p.
        targets: float32 [n_items, d], the q.
        alpha: 0 sums over a history, 1 averages.

    Returns:
        Float32 [B, n_items]; zeros for an empty history.
    """
    length = rows.sum(dim=1, keepdim=True).clamp(min=1)
    return (rows @ sources * length**-alpha) @ targets.T


def leave_one_out_scores(
    rows: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor, alpha: float
) -> torch.Tensor:
    """`profile_scores` where a movie of the history is scored from the others alone.

    Args:
        rows: float32 [B, n_items] of 0 and 1, the histories.
        sources: float32 [n_items, d].
        targets: float32 [n_items, d].
        alpha: 0 sums over a history, 1 averages.

    Returns:
        Float32 [B, n_items].
    """
    others = (rows.sum(dim=1, keepdim=True) - rows).clamp(min=1)
    own = (sources * targets).sum(dim=1)
    return ((rows @ sources) @ targets.T - rows * own) * others**-alpha
