"""Context-aware models whose score is a sum of products of two fields: matrix products instead of pairs."""

from __future__ import annotations

from itertools import combinations

import torch
from recbole.data.interaction import Interaction
from recbole.model.context_aware_recommender import DSSM, FFM, FM, LR, FwFM
from torch import Tensor, nn

from movierec_bench.recbole_backend.context_blocks import Block, Fields, first_order, slots_of


def linear_logits(model: LR, block: Block) -> Tensor:
    """LR's logits, float32 [B, I]: linear terms."""
    return first_order(model, block)


def fm_logits(model: FM, block: Block) -> Tensor:
    """FM's logits, float32 [B, I]: linear terms and products of fields."""
    return first_order(model, block) + all_products(Fields.of(model, block))


def all_products(fields: Fields) -> Tensor:
    """FM's sum of <v_a, v_b> over all pairs of fields, float32 [B, I]."""
    within_users, within_items = (_products_within(side)[:, None] for side in (fields.users, fields.items))
    between = fields.users.sum(1) @ fields.items.sum(1).T
    return between.add_(within_users).add_(within_items.T)


def _products_within(fields: Tensor) -> Tensor:
    """1/2 (|sum|^2 - sum of squares) of fields [n, F, D]: float32 [n]."""
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)


def ffm_logits(model: FFM, block: Block) -> Tensor:
    """FFM's logits, float32 [B, I]: a feature has another vector for each field that it is multiplied with."""
    user_slots, item_slots = slots_of(model.feature2id, block)
    users, items = _field_aware(model, block.users), _field_aware(model, block.items)
    field_of = model.feature2field

    def product(left: list[Tensor], right: list[Tensor], a: int, b: int) -> Tensor:
        return (left[field_of[b]][:, a] * right[field_of[a]][:, b]).sum(1)

    logits = first_order(model, block)
    for a, b in combinations(user_slots, 2):
        logits += product(users, users, a, b)[:, None]
    for a, b in combinations(item_slots, 2):
        logits += product(items, items, a, b)
    pairs = [(a, b) for a in user_slots for b in item_slots]
    of_users = torch.cat([users[field_of[b]][:, a] for a, b in pairs], dim=1)
    of_items = torch.cat([items[field_of[a]][:, b] for a, b in pairs], dim=1)
    return logits.addmm_(of_users, of_items.T)


def _field_aware(model: FFM, rows: Interaction) -> list[Tensor]:
    """For each field, the vectors that features use towards it: float32 [n, features, D]."""
    layer = model.ffm
    tokens, floats, token_lists, float_lists = model.get_ffm_input(rows)
    vectors: list[Tensor] = layer._get_input_x_emb(
        layer._emb_token_ffm_input(tokens),
        layer._emb_float_ffm_input(floats),
        layer._emb_token_seq_ffm_input(token_lists),
        layer._emb_float_seq_ffm_input(float_lists),
    )
    return vectors


def fwfm_logits(model: FwFM, block: Block) -> Tensor:
    """FwFM's logits, float32 [B, I]: every pair of fields has a weight."""
    fields = Fields.of(model, block)

    def weight(a: int, b: int) -> Tensor:
        first, second = sorted((a, b))
        return model.weight[model.feature2field[first], model.feature2field[second]]

    logits = first_order(model, block)
    for (m, a), (n, b) in combinations(list(enumerate(fields.user_slots)), 2):
        logits += weight(a, b) * (fields.users[:, m] * fields.users[:, n]).sum(1, keepdim=True)
    for (m, a), (n, b) in combinations(list(enumerate(fields.item_slots)), 2):
        logits += weight(a, b) * (fields.items[:, m] * fields.items[:, n]).sum(1)
    towards = [
        torch.stack([weight(a, b) * fields.users[:, m] for m, a in enumerate(fields.user_slots)]).sum(0)
        for b in fields.item_slots
    ]
    return logits.addmm_(torch.cat(towards, dim=1), fields.items.flatten(1).T)


def dssm_logits(model: DSSM, block: Block) -> Tensor:
    """DSSM's logits, float32 [B, I]: the cosine of a user's and a movie's tower."""
    users = torch.cat(
        [part for part in model.double_tower_embed_input_fields(block.users)[:2] if part is not None], dim=1
    )
    items = torch.cat(
        [part for part in model.double_tower_embed_input_fields(block.items)[2:] if part is not None], dim=1
    )
    of_users = model.user_mlp_layers(users.flatten(1))
    of_items = model.item_mlp_layers(items.flatten(1))
    return nn.functional.normalize(of_users, eps=1e-8) @ nn.functional.normalize(of_items, eps=1e-8).T
