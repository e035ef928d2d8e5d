"""Scores of models that can only rate one (user, movie) pair at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from recbole.data.interaction import Interaction

from movierec_bench.recbole_backend.logits import before_sigmoid

_PAIRS_A_STEP = 100_000


def score_pairs(model: Any, users: Interaction, items: Interaction) -> torch.Tensor:
    """``model.predict`` of every pair, before a sigmoid that ends it, in steps of bounded memory.

    Args:
        model: a RecBole model in evaluation mode.
        users: the users' columns, B rows.
        items: the movies' columns, I rows, the padding movie first.

    Returns:
        Float32 [B, I].
    """
    users_a_step = max(1, _PAIRS_A_STEP // len(items))
    rows = []
    for start in range(0, len(users), users_a_step):
        block = users[start : start + users_a_step]
        pairs = block.repeat_interleave(len(items))
        pairs.update(items.repeat(len(block)))
        rated = before_sigmoid(model, partial(model.predict, pairs))
        rows.append(rated.view(len(block), len(items)))
    return torch.cat(rows)


def score_pairs_of_ids(model: Any, users: torch.Tensor) -> torch.Tensor:
    """As `score_pairs` for a model that reads no column but the ids: int64 [B] users to float32 [B, n_items]."""
    items = torch.arange(model.n_items, device=users.device)
    return score_pairs(model, Interaction({model.USER_ID: users}), Interaction({model.ITEM_ID: items}))
