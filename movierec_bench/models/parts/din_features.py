"""The features DIN and DIEN embed: once a user and once a movie, where RecBole does it for every pair."""

from __future__ import annotations

from typing import Any

import torch


def feature_vectors(model: Any, users: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The vectors of all features, side by side, as RecBole's DIN and DIEN make them.

    Args:
        model: one of these.
        users: int64 [B].
        items: int64 [B, W].

    Returns:
        Of users float32 [B, D'], of items float32 [B, W, D].
    """
    sparse, dense = model.embedding_layer(users, items)
    of_users, of_items = (
        torch.cat([part for part in (sparse[kind], dense[kind]) if part is not None], dim=-2)
        for kind in ("user", "item")
    )
    return of_users.flatten(1), of_items.flatten(2)


def movie_vectors(model: Any) -> torch.Tensor:
    """Float32 [n_items, D]: `feature_vectors` of every movie, the padding movie first."""
    movies = torch.arange(model.n_items, device=model.device).unsqueeze(0)
    return feature_vectors(model, torch.zeros_like(movies[:, 0]), movies)[1][0]
