"""Whole histories as rows of the 0/1 matrix, dense or as lists of movies, and zeros sampled beside their ones.

RecBole keeps every history in one matrix padded to the longest (31,361 x 2,912 numbers at the competition's
size) and makes every (user, movie) pair an entry of a batch. A batch of users with their rows of the 0/1 matrix gives
the same losses from a few matrix products. What a network reads, or is scored on, at the watched movies alone takes
sums over lists of these movies: a row is zero at 98 of 100 places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import nn
from torch.nn.functional import dropout, embedding_bag

from movierec_bench.data.interactions import Interactions


class RowReader:
    """Reads users' rows of the 0/1 matrix from a sparse one. Mixed in before a RecBole model.

    Attributes:
        history: float32 csr [n_users, n_items] of 0 and 1, what each user has seen.
    """

    history: csr_matrix

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from."""
        self.history = rows.csr

    def rows(self, user: torch.Tensor) -> torch.Tensor:
        """Float32 [B, n_items] of 0 and 1: the histories of users int64 [B], on their device."""
        return dense_rows(self.history, user)

    def row_lists(self, user: torch.Tensor) -> RowLists:
        """The same histories as lists of movies."""
        return RowLists.of(self.history, user)


@dataclass(frozen=True)
class RowLists:
    """Rows of a matrix of 0 and 1 as lists of the columns that hold a 1, one list after the other.

    Args:
        columns: int64 [E].
        row: int64 [E], the row of each of them, ascending from 0.
        starts: int64 [B], where each row's list begins.
        counts: float32 [B], length of each list.
        weights: float32 [E], what stands there in the place of 1. None: 1.
    """

    columns: torch.Tensor
    row: torch.Tensor
    starts: torch.Tensor
    counts: torch.Tensor
    weights: Optional[torch.Tensor] = None

    @classmethod
    def of(cls, matrix: csr_matrix, index: torch.Tensor) -> RowLists:
        """The rows ``index`` (int64 [B]) of a float32 csr matrix, on the device of ``index``."""
        rows = matrix[index.cpu().numpy()]
        weights = None if (rows.data == 1).all() else torch.from_numpy(rows.data).to(index.device)
        counts = np.diff(rows.indptr)
        arrays = (
            rows.indices.astype(np.int64),
            np.repeat(np.arange(len(counts)), counts),
            rows.indptr[:-1].astype(np.int64),
            counts.astype(np.float32),
        )
        columns, row, starts, lengths = (torch.from_numpy(array).to(index.device) for array in arrays)
        return cls(columns, row, starts, lengths, weights)

    def values(self, normalised: bool) -> torch.Tensor:
        """Float32 [E]: what stands at each of the columns, if need be once every row is scaled to length 1."""
        if self.weights is None:
            return self.counts.rsqrt()[self.row] if normalised else torch.ones_like(self.row, dtype=torch.float32)
        if not normalised:
            return self.weights
        squares = torch.zeros_like(self.counts).index_add_(0, self.row, self.weights**2)
        return self.weights * squares.rsqrt()[self.row]

    def dense(self, width: int) -> torch.Tensor:
        """Float32 [B, width] of 0 and 1, whatever the weights."""
        rows = torch.zeros(len(self.counts), width, device=self.columns.device)
        rows[self.row, self.columns] = 1.0
        return rows


class RowLinear(nn.Module):
    """A linear layer of rows of a 0/1 matrix, given as lists; each is scaled to length 1 and loses part of its ones.

    Equal to ``linear(dropout(normalize(rows), dropout_prob))`` of dense rows; a twelfth of its time at the
    competition's size. The weights lie [width, hidden_size], so that a movie's are together.

    Args:
        linear: gives the weights this layer begins with; [hidden_size, width].
        normalised: scale rows to length 1, as variational autoencoders do.
    """

    def __init__(self, linear: nn.Linear, normalised: bool = True) -> None:
        super().__init__()
        self.normalised = normalised
        self.weight = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, rows: RowLists, dropout_prob: float) -> torch.Tensor:
        """Float32 [B, hidden_size] of B rows; ones are dropped in training only."""
        kept = dropout(rows.values(self.normalised), dropout_prob, self.training)
        sums: torch.Tensor = embedding_bag(rows.columns, self.weight, rows.starts, mode="sum", per_sample_weights=kept)
        return sums + self.bias


def multinomial_loss(scores: torch.Tensor, rows: RowLists) -> torch.Tensor:
    """Mean over rows of ``-sum_(i in row) log softmax(scores)_i``, a scalar.

    Args:
        scores: float32 [B, n].
        rows: B rows, the movies that were watched.

    Source:
        Liang et al., WWW 2018, equation 2.
    """
    loss: torch.Tensor = _MultinomialLoss.apply(scores, rows)  # type: ignore[no-untyped-call]
    return loss


class _MultinomialLoss(torch.autograd.Function):
    """The gradient is ``(n_u softmax(scores) - row) / B``, written over the logarithms it is made from."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, rows: RowLists) -> torch.Tensor:
        logarithms = torch.log_softmax(scores, dim=1)
        ctx.logarithms, ctx.rows = logarithms, rows
        return -logarithms[rows.row, rows.columns].sum() / len(scores)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows, logarithms = ctx.rows, ctx.logarithms
        ctx.logarithms = None  # a second pass would find them overwritten: it fails instead
        share = outer[0] / len(logarithms)
        gradient = logarithms.exp_().mul_((share * rows.counts)[:, None])
        gradient.index_put_((rows.row, rows.columns), -share, accumulate=True)
        return gradient, None


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
