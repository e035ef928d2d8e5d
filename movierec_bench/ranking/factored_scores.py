"""Scores that are products of vectors, kept as vectors: ranking finds the best without working all of them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch


@dataclass(frozen=True)
class Products:
    """The scores ``users @ items.T + bias``. Called with users it multiplies out, like any other function of scores.

    Args:
        users: int64 [B] ``user_ix`` to their vectors, float32 [B, f].
        items: float32 [n_item_ix, f], row 0 padding.
        bias: float32 [n_item_ix].
    """

    users: Callable[[np.ndarray], torch.Tensor]
    items: torch.Tensor
    bias: torch.Tensor

    def __call__(self, user_ix: np.ndarray) -> torch.Tensor:
        """Float32 [B, n_item_ix] scores of users int64 [B]."""
        return torch.addmm(self.bias, self.users(user_ix), self.items.T)
