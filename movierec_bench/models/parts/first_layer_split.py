"""Scores of all movies from networks that read one (user, movie) pair at a time."""

from __future__ import annotations

from typing import Callable

import torch

_FLOATS_A_BLOCK = 16_000_000  # floats of a block of first-layer outputs: 64 MB


def score_pairs(
    user_part: torch.Tensor, item_part: torch.Tensor, finish: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """A network's scores for every pair, when its first layer is linear in the user and in the movie.

    The first layer of ``[u, i]`` is ``W_u u + W_i i + b``, so each half is computed once a user and once a
    movie instead of once a pair.

    Args:
        user_part: float32 [B, h], what users give to the first layer's output.
        item_part: float32 [n_items, h], what movies give to it, the bias included.
        finish: the rest of the network, float32 [..., h] to [...].

    Returns:
        Float32 [B, n_items].
    """
    users_at_once = max(1, _FLOATS_A_BLOCK // item_part.numel())
    return torch.cat([finish(block.unsqueeze(1) + item_part) for block in user_part.split(users_at_once)])


def split_first_layer(layers: torch.nn.Sequential) -> tuple[torch.nn.Linear, torch.nn.Sequential]:
    """RecBole's ``MLPLayers`` as its first linear layer and what follows; dropout before it does nothing in ranking."""
    first = next(number for number, layer in enumerate(layers) if isinstance(layer, torch.nn.Linear))
    linear = layers[first]
    assert isinstance(linear, torch.nn.Linear)
    return linear, torch.nn.Sequential(*list(layers)[first + 1 :])
