"""Rows of the interaction matrix, and zeros of them sampled, for RecBole models that read or learn from whole rows.

RecBole keeps every history in one matrix padded to the longest (31,361 x 2,912 numbers at the competition's
size) and makes every (user, movie) pair a row of a batch. A batch of users with their rows gives the same
losses from a few matrix products.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy.sparse import csr_matrix


class RowReader:
    """Reads users' rows from a sparse matrix. Mixed in before a RecBole model.

    Attributes:
        history: float32 csr [n_users, n_items] of 0 and 1, what each user has seen.
    """

    history: csr_matrix

    def set_history(self, history: csr_matrix, interactions: Any) -> None:
        """Take the rows to rank from.

        Args:
            history: float32 csr [n_users, n_items] of 0 and 1.
            interactions: the same rows as `recbole_backend.data.Interactions`, with times.
        """
        self.history = history

    def rows(self, user: torch.Tensor) -> torch.Tensor:
        """Float32 [B, n_items], the rows of users int64 [B], on their device."""
        return dense_rows(self.history, user)


def dense_rows(matrix: csr_matrix, index: torch.Tensor) -> torch.Tensor:
    """Float32 [B, n_columns]: the rows ``index`` (int64 [B]) of a csr matrix, on the device of ``index``."""
    return torch.from_numpy(matrix[index.cpu().numpy()].toarray()).to(index.device)


def sample_zeros(rows: torch.Tensor, per_one: float) -> torch.Tensor:
    """A mask of the ones of ``rows`` and of about ``per_one`` times as many of their zeros, drawn uniformly.

    Args:
        rows: float32 [B, n] of 0 and 1; column 0 is padding and never drawn.
        per_one: expected zeros a one, > 0.

    Returns:
        Float32 [B, n] of 0 and 1.
    """
    ones = rows.sum(dim=1, keepdim=True)
    zeros = (rows.shape[1] - 1 - ones).clamp(min=1)
    drawn = (torch.rand_like(rows) * zeros < per_one * ones).float()
    drawn[:, 0] = 0
    return torch.maximum(rows, drawn)
