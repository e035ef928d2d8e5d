"""KGCN as RecBole has it, with a full ranking."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.knowledge_aware_recommender.kgcn import KGCN

from movierec_bench.recbole_backend.pairwise_scores import score_pairs_of_ids

_PAIRS_A_STEP = 8_192  # so that a step's vectors stay in the processor's cache


class FullSortKGCN(KGCN):
    """RecBole's KGCN, whose full ranking takes every pair of a block through the graph layer at once."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        return neighbourhood_scores(self, interaction[self.USER_ID])


def neighbourhood_scores(model: Any, users: torch.Tensor) -> torch.Tensor:
    """What a KGCN or KGNNLS rates every pair.

    With one hop, a movie's vector is tanh(W (own + mean of weighed neighbours) + b). W is applied to all
    entities once; of a pair there remain the weights of the neighbours, a softmax over the user's liking
    of their relations, and the sum.

    Args:
        model: a trained KGCN or KGNNLS.
        users: int64 [B].

    Returns:
        Float32 [B, n_items].
    """
    if model.n_iter != 1:
        return score_pairs_of_ids(model, users)
    own, of_neighbours = _projected(model)
    relations = model.adj_relation[: model.n_items]
    neighbours = of_neighbours[model.adj_entity[: model.n_items]] / model.neighbor_sample_size  # [I, K, D]
    vectors = model.user_embedding(users)
    liking = vectors @ model.relation_embedding.weight.T / model.embedding_size
    step = max(1, _PAIRS_A_STEP // model.n_items)
    rows = []
    for some in torch.arange(len(users), device=users.device).split(step):
        weights = liking[some][:, relations].softmax(dim=2)  # [b, I, K]
        hidden = torch.einsum("bik,ikd->bid", weights, neighbours).add_(own).tanh_()
        rows.append(torch.einsum("bid,bd->bi", hidden, vectors[some]))
    return torch.cat(rows)


def _projected(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """W times a movie's own vector, plus b, [n_items, D], and W times every entity as a neighbour, [n_entities, D]."""
    layer, entities = model.linear_layers[0], model.entity_embedding.weight
    if model.aggregator_class == "concat":
        for_own, for_neighbour = layer.weight.chunk(2, dim=1)
    else:
        for_own = layer.weight * (model.aggregator_class == "sum")  # "neighbor" leaves the movie itself out
        for_neighbour = layer.weight
    return entities[: model.n_items] @ for_own.T + layer.bias, entities @ for_neighbour.T
