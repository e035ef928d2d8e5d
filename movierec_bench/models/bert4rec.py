"""BERT4Rec trained on whole windows, with three ways to turn the scores of all positions into one ranking."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from recbole.model.sequential_recommender.bert4rec import BERT4Rec
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.window_model import WindowModel, at_position
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

_EVERY = 5  # top_10_per_five: positions from one vote to the next
_VOTES = 10  # and movies that each of them votes for


class WindowBERT4Rec(WindowModel, BERT4Rec):
    """Bidirectional self-attention recovers hidden movies of a window.

    To rank, the model reads a mask token after the latest rows and gives scores at every position. The
    parameter ``inference`` says what becomes of them: ``last`` takes those at the mask; ``sum`` adds up those of all
    positions; ``top_10_per_five`` lets every fifth position, counted back from the mask, vote for its ten
    best unseen movies, and the most votes win, which is to recover movies hidden in the middle of the log.

    Attributes:
        history: float32 csr [n_users, n_items] of 0 and 1, what each user has seen.

    Source:
        Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
        Transformer", CIKM 2019; layers are RecBole's BERT4Rec; the inferences are those of t3-07.
    """

    history: csr_matrix

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.inference = config["inference"]
        self.last_share = config["ft_ratio"]

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from; the windows themselves come with each batch."""
        self.history = rows.csr

    def hidden_states(self, item_seq: torch.Tensor) -> torch.Tensor:
        """Float32 [B, W, H] of windows int64 [B, W]; every position sees the whole window."""
        hidden: torch.Tensor = self.forward(item_seq)
        return hidden

    def item_bias(self) -> Optional[torch.Tensor]:
        """Float32 [n_items]."""
        return self.output_bias

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Mean cross-entropy over all movies at the hidden positions."""
        item_seq = interaction[self.ITEM_SEQ]
        hidden = self.draw_hidden(item_seq, interaction[self.ITEM_SEQ_LEN])
        states = self.hidden_states(item_seq.masked_fill(hidden, self.mask_token))
        return self.loss_at(states, item_seq * hidden)

    def draw_hidden(self, item_seq: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Bool [B, W], the positions to recover: in a share ``ft_ratio`` of the windows the last alone.

        In the others each position with probability ``mask_ratio``.
        """
        drawn = torch.rand(item_seq.shape, device=item_seq.device) < self.mask_ratio
        last = torch.arange(item_seq.shape[1], device=item_seq.device) == (length - 1).unsqueeze(1)
        last_alone = torch.rand(len(length), 1, device=item_seq.device) < self.last_share
        return torch.where(last_alone, last, drawn) & (item_seq > 0)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores as ``inference`` says, column 0 padding."""
        item_seq, length = self.with_mask_token(interaction[self.ITEM_SEQ])
        hidden = self.hidden_states(item_seq)
        if self.inference == "last":
            return self.scores(at_position(hidden, length - 1))
        if self.inference == "sum":
            return self._sum_of_scores(hidden, (item_seq > 0).float(), length)
        return self._votes(hidden, length, interaction[self.USER_ID])

    def with_mask_token(self, item_seq: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows with a mask token after their last row; a full window gives up its oldest row for it.

        Args:
            item_seq: int64 [B, W], padded on the right with 0.

        Returns:
            int64 [B, W'], W' at most ``MAX_ITEM_LIST_LENGTH``, and the lengths int64 [B], the mask counted.
        """
        length = (item_seq > 0).sum(dim=1)
        extended = torch.cat([item_seq, torch.zeros_like(item_seq[:, :1])], dim=1)
        extended.scatter_(1, length.unsqueeze(1), self.mask_token)
        dropped = (length + 1 - self.max_seq_length).clamp(min=0)
        length = length + 1 - dropped
        kept = torch.arange(int(length.max()), device=item_seq.device) + dropped.unsqueeze(1)
        return extended.gather(1, kept), length

    def _sum_of_scores(self, hidden: torch.Tensor, counted: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Scores are linear in the hidden states, so the sum of the states gives the sum of the scores."""
        total = (hidden * counted.unsqueeze(2)).sum(dim=1)
        return total @ self.item_vectors().T + length.unsqueeze(1) * self.output_bias

    def _votes(self, hidden: torch.Tensor, length: torch.Tensor, user: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(0, int(length.max()), _EVERY, device=hidden.device)
        position = length.unsqueeze(1) - 1 - steps
        rows = torch.arange(len(hidden), device=hidden.device).unsqueeze(1)
        scores = self.scores(hidden[rows, position.clamp(min=0)])
        seen = torch.from_numpy(self.history[user.cpu().numpy()].toarray() > 0).to(hidden.device)
        seen[:, 0] = True  # padding
        return top_votes(scores, position >= 0, seen)


def top_votes(scores: torch.Tensor, counted: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """How many positions have each movie among their ten best unseen ones, as scores.

    Args:
        scores: float32 [B, P, n_items], the scores at P positions.
        counted: bool [B, P], the positions that exist.
        seen: bool [B, n_items], movies that get no vote.

    Returns:
        Float32 [B, n_items]: the votes, plus less than one for the order among equals, by the scores summed over
        the counted positions.
    """
    best = scores.masked_fill(seen.unsqueeze(1), -np.inf).topk(min(_VOTES, scores.shape[2]), dim=2)
    valid = torch.isfinite(best.values) & counted.unsqueeze(2)
    votes = torch.zeros_like(scores[:, 0])
    votes.scatter_add_(1, best.indices.flatten(1), valid.flatten(1).float())
    return votes + _below_one((scores * counted.unsqueeze(2)).sum(dim=1))


def _below_one(values: torch.Tensor) -> torch.Tensor:
    """Float32 [B, n_items] in the same order within each row, from 0 to less than 1."""
    lowest, highest = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    return 0.999 * (values - lowest) / (highest - lowest).clamp(min=torch.finfo(values.dtype).tiny)
