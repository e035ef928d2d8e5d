"""Ranking by models that weigh a user's history anew for every movie: the history is embedded once a user."""

from __future__ import annotations

from typing import Any

import torch


def item_vectors(model: Any, items: torch.Tensor) -> torch.Tensor:
    """The joined vectors of all features of movies, as RecBole's DIN and DIEN make them.

    Args:
        model: one of these.
        items: int64 [B, W].

    Returns:
        Float32 [B, W, D].
    """
    nobody = torch.zeros(len(items), dtype=torch.long, device=items.device)
    sparse, dense = model.embedding_layer(nobody, items)
    parts = [part for part in (sparse["item"], dense["item"]) if part is not None]
    return torch.cat(parts, dim=-2).flatten(2)


def all_item_vectors(model: Any) -> torch.Tensor:
    """Float32 [n_items, D]: `item_vectors` of every movie, the padding movie first."""
    return item_vectors(model, torch.arange(model.n_items, device=model.device).unsqueeze(0))[0]
