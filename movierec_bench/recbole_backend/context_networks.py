"""Context-aware networks whose first layer is a user's part plus a movie's part, each computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, Callable

import torch
from recbole.model.context_aware_recommender import DCN, FNN, NFM, PNN, DeepFM, WideDeep
from torch import Tensor, nn

from movierec_bench.recbole_backend.context_blocks import PAIRS_A_STEP, Block, Fields, first_order
from movierec_bench.recbole_backend.context_embedded import from_embedded
from movierec_bench.recbole_backend.context_products import all_products

Layer = Callable[[Tensor], Tensor]

_IN_PLACE: Mapping[type, Layer] = {nn.ReLU: torch.relu_, nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}


def deepfm_logits(model: DeepFM, block: Block) -> Tensor:
    """DeepFM's logits, float32 [B, I]: linear terms, products of fields, and a network."""
    fields = Fields.of(model, block)
    deep = _perceptron(fields, _layers(model.mlp_layers), model.deep_predict_layer)
    return deep.add_(first_order(model, block)).add_(all_products(fields))


def widedeep_logits(model: WideDeep, block: Block) -> Tensor:
    """WideDeep's logits, float32 [B, I]: linear terms and a network."""
    deep = _perceptron(Fields.of(model, block), _layers(model.mlp_layers), model.deep_predict_layer)
    return deep.add_(first_order(model, block))


def fnn_logits(model: FNN, block: Block) -> Tensor:
    """FNN's logits, float32 [B, I]: a network."""
    return _perceptron(Fields.of(model, block), _layers(model.mlp_layers), model.predict_layer)


def nfm_logits(model: NFM, block: Block) -> Tensor:
    """NFM's logits, float32 [B, I]: linear terms, and a network of the summed products of fields."""
    fields = Fields.of(model, block)
    sum_users, sum_items = fields.users.sum(1), fields.items.sum(1)
    within_users = 0.5 * (sum_users.square() - fields.users.square().sum(1))
    within_items = 0.5 * (sum_items.square() - fields.items.square().sum(1))

    def pooled(some: slice) -> Tensor:
        """FM's products of fields, not yet summed over D: [b, I, D]."""
        return sum_users[some, None] * sum_items + within_users[some, None] + within_items

    layers = [model.bn, *_layers(model.mlp_layers), model.predict_layer]
    return _through(layers, pooled, block.shape).add_(first_order(model, block))


def pnn_logits(model: PNN, block: Block) -> Tensor:
    """PNN's logits, float32 [B, I]: a network of the fields and their inner products."""
    fields = Fields.of(model, block)
    if model.use_outer or not model.use_inner:
        return from_embedded(model, type(model).forward, block)
    linear, *rest = [*_layers(model.mlp_layers), model.predict_layer]
    assert isinstance(linear, nn.Linear)
    width = len(fields.user_slots + fields.item_slots)
    n_fields_entries = width * fields.users.shape[2]
    of_users, of_items = _first_layer(linear.weight[:, :n_fields_entries], linear.bias, fields)
    between = []  # (user's field, movie's field, column of the first layer's weight)
    for column, (a, b) in enumerate(combinations(range(width), 2), start=n_fields_entries):
        weight = linear.weight[:, column]
        if a in fields.user_slots and b in fields.user_slots:
            left, right = (fields.users[:, fields.user_slots.index(k)] for k in (a, b))
            of_users = of_users + (left * right).sum(1, keepdim=True) * weight
        elif a in fields.item_slots and b in fields.item_slots:
            left, right = (fields.items[:, fields.item_slots.index(k)] for k in (a, b))
            of_items = of_items + (left * right).sum(1, keepdim=True) * weight
        else:
            users_field, items_field = (a, b) if a in fields.user_slots else (b, a)
            between.append((fields.user_slots.index(users_field), fields.item_slots.index(items_field), weight))
    left = fields.users[:, [m for m, _, _ in between]]
    right = fields.items[:, [n for _, n, _ in between]]
    weights = torch.stack([weight for _, _, weight in between])

    def hidden(some: slice) -> Tensor:
        products = torch.einsum("upd,ipd->uip", left[some], right)
        return (products @ weights).add_(of_users[some, None]).add_(of_items)

    return _through(rest, hidden, block.shape)


def dcn_logits(model: DCN, block: Block) -> Tensor:
    """A cross layer adds a multiple of its input x_0 and its bias: x_l = a_l x_0 + c_l, a_l a number a pair."""
    fields = Fields.of(model, block)
    n_cross = model.predict_layer.in_features - model.mlp_hidden_size[-1]
    weight, bias = model.predict_layer.weight, model.predict_layer.bias
    last = partial(nn.functional.linear, weight=weight[:, n_cross:], bias=bias)
    logits = _perceptron(fields, _layers(model.mlp_layers), last)

    def dot(weight: Tensor) -> Tensor:
        """<x_0, weight> of every pair, [B, I]."""
        of_users, of_items = _first_layer(weight[None], weight.new_zeros(1), fields)
        return of_users + of_items.T

    multiple, constant = torch.ones_like(logits), torch.zeros_like(model.cross_layer_b[0])
    for cross_weight, cross_bias in zip(model.cross_layer_w, model.cross_layer_b):
        multiple = multiple + multiple * dot(cross_weight) + constant @ cross_weight
        constant = constant + cross_bias
    output = weight[0, :n_cross]
    return logits.add_(multiple * dot(output)).add_(constant @ output)


def _perceptron(fields: Fields, layers: Sequence[nn.Module], last: Layer) -> Tensor:
    """``last(layers([u; i]))`` of every pair, the first of ``layers`` being linear: float32 [B, I]."""
    linear, *rest = layers
    assert isinstance(linear, nn.Linear)
    of_users, of_items = _first_layer(linear.weight, linear.bias, fields)

    def hidden(some: slice) -> Tensor:
        return of_users[some, None] + of_items

    return _through([*rest, last], hidden, (len(of_users), len(of_items)))


def _layers(perceptron: Any) -> list[nn.Module]:
    """The modules of RecBole's ``MLPLayers`` without dropout, which does nothing in evaluation."""
    return [module for module in perceptron.mlp_layers if not isinstance(module, nn.Dropout)]


def _first_layer(weight: Tensor, bias: Tensor, fields: Fields) -> tuple[Tensor, Tensor]:
    """A linear layer of all fields as a users' part [B, H] and a movies' part [I, H], whose sum it is."""
    by_slot = weight.view(len(weight), -1, fields.users.shape[2])
    of_users = fields.users.flatten(1) @ by_slot[:, fields.user_slots].flatten(1).T
    of_items = fields.items.flatten(1) @ by_slot[:, fields.item_slots].flatten(1).T
    return of_users, of_items + bias


def _through(layers: Sequence[Layer], first: Callable[[slice], Tensor], shape: tuple[int, int]) -> Tensor:
    """The one number that ``layers`` make of every pair.

    Args:
        layers: modules or functions, the last with one output.
        first: what enters them, fresh float32 [b, I, H], for a slice of the users.
        shape: (B, I).

    Returns:
        Float32 [B, I].
    """
    n_users, n_items = shape
    users_a_step = max(1, PAIRS_A_STEP // n_items)
    rows = []
    for start in range(0, n_users, users_a_step):
        hidden = first(slice(start, start + users_a_step))
        n_rows, hidden = len(hidden), hidden.flatten(0, 1)
        for layer in layers:
            hidden = _IN_PLACE.get(type(layer), layer)(hidden)
        rows.append(hidden.view(n_rows, n_items))
    return torch.cat(rows)
