"""Exact scores of context-aware models for every movie, the work of a pair shared with the other pairs.

RecBole embeds every field of every (user, movie) pair and takes it through the whole network. Here what
depends on the user alone or on the movie alone is computed once: first-order terms add up, products of two
fields become one matrix product, and the first layer of a network is a user's part plus a movie's part,
W [u; i] = W_u u + W_i i. Models that mix all fields layer by layer get their fields embedded once, and
RecBole's own ``predict`` does the rest. All in blocks of bounded memory, equal to ``predict`` on every pair.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Callable

import torch
from recbole.data.interaction import Interaction
from recbole.model.context_aware_recommender import (
    AFM,
    DCN,
    DCNV2,
    DSSM,
    FFM,
    FM,
    FNN,
    KD_DAGFM,
    LR,
    NFM,
    PNN,
    AutoInt,
    DeepFM,
    EulerNet,
    FiGNN,
    FwFM,
    WideDeep,
    xDeepFM,
)
from torch import Tensor, nn

from movierec_bench.recbole_backend.logits import before_sigmoid

_PAIRS_A_STEP = 8_192  # pairs that go through a network at once; their hidden layers stay in the processor's cache

Logits = Callable[[Any, "Block"], Tensor]
Layer = Callable[[Tensor], Tensor]

_IN_PLACE: Mapping[type, Layer] = {nn.ReLU: torch.relu_, nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}


@dataclass(frozen=True)
class Block:
    """Users and movies whose pairs are wanted, as rows a context model can embed.

    Attributes:
        users: one row a user, B of them; its movie columns are those of the padding movie.
        items: one row a movie, I of them; its user columns are those of the first user.
        user_fields: names of the columns that describe the user.
    """

    users: Interaction
    items: Interaction
    user_fields: frozenset[str]

    @classmethod
    def of(cls, users: Interaction, items: Interaction) -> Block:
        """From the users' columns and the movies' columns, the padding movie first."""
        return cls(_beside(users, items[:1]), _beside(items, users[:1]), frozenset(users.columns))

    @property
    def shape(self) -> tuple[int, int]:
        """(B, I)."""
        return len(self.users), len(self.items)


def scores_at_once(model: Any) -> bool:
    """Whether `context_scores` knows this very class; a subclass may have changed the forward pass."""
    return type(model) in _LOGITS or type(model) in _MIXING


def context_scores(model: Any, users: Interaction, items: Interaction) -> Tensor:
    """What ``model.predict`` says of every pair, before its sigmoid.

    Args:
        model: one that `scores_at_once`, trained and in evaluation mode.
        users: the users' columns, B rows.
        items: the movies' columns, I rows, the padding movie first.

    Returns:
        Float32 [B, I], whose sigmoid is ``predict`` up to rounding.
    """
    block = Block.of(users, items)
    if type(model) in _MIXING:
        return _from_embedded(model, _MIXING[type(model)], block)
    return _LOGITS[type(model)](model, block)


def _beside(rows: Interaction, other: Interaction) -> Interaction:
    """``rows`` with the columns of the single row ``other`` repeated beside them."""
    return Interaction({**rows.interaction, **other.repeat(len(rows)).interaction})


# -- terms that are a user's part plus a movie's part, or a matrix product --------------------


def _first_order(model: Any, block: Block) -> Tensor:
    """The linear terms of every pair, float32 [B, I]: L(u, i) = L(u, pad) + L(u0, i) - L(u0, pad)."""
    of_users = model.first_order_linear(block.users)
    of_items = model.first_order_linear(block.items)
    return of_users + (of_items - of_items[:1]).T


@dataclass(frozen=True)
class _Fields:
    """The embedded fields of a block.

    Attributes:
        users: float32 [B, F_u, D].
        items: float32 [I, F_i, D].
        user_slots: which of the model's fields the F_u are.
        item_slots: which of the model's fields the F_i are.
    """

    users: Tensor
    items: Tensor
    user_slots: list[int]
    item_slots: list[int]

    @classmethod
    def of(cls, model: Any, block: Block) -> _Fields:
        names = [
            *model.token_seq_field_names,
            *model.token_field_names,
            *model.float_seq_field_names,
            *model.float_field_names,
        ]
        user_slots, item_slots = _slots(names, block)
        users = model.concat_embed_input_fields(block.users)[:, user_slots]
        items = model.concat_embed_input_fields(block.items)[:, item_slots]
        return cls(users, items, user_slots, item_slots)


def _slots(names: Iterable[str], block: Block) -> tuple[list[int], list[int]]:
    is_users = [name in block.user_fields for name in names]
    return [k for k, yes in enumerate(is_users) if yes], [k for k, yes in enumerate(is_users) if not yes]


def _linear(model: LR, block: Block) -> Tensor:
    return _first_order(model, block)


def _fm(model: FM, block: Block) -> Tensor:
    return _first_order(model, block) + _all_products(_Fields.of(model, block))


def _all_products(fields: _Fields) -> Tensor:
    """FM's sum of <v_a, v_b> over all pairs of fields, float32 [B, I]."""
    within_users, within_items = (_products_within(side)[:, None] for side in (fields.users, fields.items))
    between = fields.users.sum(1) @ fields.items.sum(1).T
    return between.add_(within_users).add_(within_items.T)


def _products_within(fields: Tensor) -> Tensor:
    """1/2 (|sum|^2 - sum of squares) of fields [n, F, D]: float32 [n]."""
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)


def _ffm(model: FFM, block: Block) -> Tensor:
    user_slots, item_slots = _slots(model.feature2id, block)
    users, items = _field_aware(model, block.users), _field_aware(model, block.items)
    field_of = model.feature2field

    def product(left: list[Tensor], right: list[Tensor], a: int, b: int) -> Tensor:
        return (left[field_of[b]][:, a] * right[field_of[a]][:, b]).sum(1)

    logits = _first_order(model, block)
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


def _fwfm(model: FwFM, block: Block) -> Tensor:
    fields = _Fields.of(model, block)

    def weight(a: int, b: int) -> Tensor:
        first, second = sorted((a, b))
        return model.weight[model.feature2field[first], model.feature2field[second]]

    logits = _first_order(model, block)
    for (m, a), (n, b) in combinations(list(enumerate(fields.user_slots)), 2):
        logits += weight(a, b) * (fields.users[:, m] * fields.users[:, n]).sum(1, keepdim=True)
    for (m, a), (n, b) in combinations(list(enumerate(fields.item_slots)), 2):
        logits += weight(a, b) * (fields.items[:, m] * fields.items[:, n]).sum(1)
    towards = [
        torch.stack([weight(a, b) * fields.users[:, m] for m, a in enumerate(fields.user_slots)]).sum(0)
        for b in fields.item_slots
    ]
    return logits.addmm_(torch.cat(towards, dim=1), fields.items.flatten(1).T)


def _dssm(model: DSSM, block: Block) -> Tensor:
    users = torch.cat(
        [part for part in model.double_tower_embed_input_fields(block.users)[:2] if part is not None], dim=1
    )
    items = torch.cat(
        [part for part in model.double_tower_embed_input_fields(block.items)[2:] if part is not None], dim=1
    )
    of_users = model.user_mlp_layers(users.flatten(1))
    of_items = model.item_mlp_layers(items.flatten(1))
    return nn.functional.normalize(of_users, eps=1e-8) @ nn.functional.normalize(of_items, eps=1e-8).T


# -- networks whose first layer splits --------------------------------------------------------


def _deepfm(model: DeepFM, block: Block) -> Tensor:
    fields = _Fields.of(model, block)
    deep = _perceptron(fields, _layers(model.mlp_layers), model.deep_predict_layer)
    return deep.add_(_first_order(model, block)).add_(_all_products(fields))


def _widedeep(model: WideDeep, block: Block) -> Tensor:
    deep = _perceptron(_Fields.of(model, block), _layers(model.mlp_layers), model.deep_predict_layer)
    return deep.add_(_first_order(model, block))


def _fnn(model: FNN, block: Block) -> Tensor:
    return _perceptron(_Fields.of(model, block), _layers(model.mlp_layers), model.predict_layer)


def _nfm(model: NFM, block: Block) -> Tensor:
    fields = _Fields.of(model, block)
    sum_users, sum_items = fields.users.sum(1), fields.items.sum(1)
    within_users = 0.5 * (sum_users.square() - fields.users.square().sum(1))
    within_items = 0.5 * (sum_items.square() - fields.items.square().sum(1))

    def pooled(some: slice) -> Tensor:
        """FM's products of fields, not yet summed over D: [b, I, D]."""
        return sum_users[some, None] * sum_items + within_users[some, None] + within_items

    layers = [model.bn, *_layers(model.mlp_layers), model.predict_layer]
    return _through(layers, pooled, block.shape).add_(_first_order(model, block))


def _pnn(model: PNN, block: Block) -> Tensor:
    fields = _Fields.of(model, block)
    if model.use_outer or not model.use_inner:
        return _from_embedded(model, type(model).forward, block)
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


def _dcn(model: DCN, block: Block) -> Tensor:
    """A cross layer adds a multiple of its input x_0 and its bias: x_l = a_l x_0 + c_l, a_l a number a pair."""
    fields = _Fields.of(model, block)
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


def _perceptron(fields: _Fields, layers: Sequence[nn.Module], last: Layer) -> Tensor:
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


def _first_layer(weight: Tensor, bias: Tensor, fields: _Fields) -> tuple[Tensor, Tensor]:
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
    users_a_step = max(1, _PAIRS_A_STEP // n_items)
    rows = []
    for start in range(0, n_users, users_a_step):
        hidden = first(slice(start, start + users_a_step))
        n_rows, hidden = len(hidden), hidden.flatten(0, 1)
        for layer in layers:
            hidden = _IN_PLACE.get(type(layer), layer)(hidden)
        rows.append(hidden.view(n_rows, n_items))
    return torch.cat(rows)


# -- models that mix all fields layer by layer ------------------------------------------------


class _Given(nn.Module):
    """Stands in for a layer whose output is known."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, interaction: Any) -> Tensor:
        """The known output, whatever comes in."""
        return self.output


def _predicted(model: Any, interaction: Any) -> Tensor:
    return before_sigmoid(model, partial(model.predict, interaction))


def _kd_dagfm(model: KD_DAGFM, interaction: Any) -> Tensor:
    """The logits of the network whose sigmoid `predict` gives."""
    model.predict(interaction)
    network = model.teacher_network if model.phase == "teacher_training" else model.student_network
    logits: Tensor = network.logits
    return logits


def _from_embedded(model: Any, rate: Callable[[Any, Any], Tensor], block: Block) -> Tensor:
    """``rate`` of every pair, its fields embedded once a user and once a movie: float32 [B, I].

    Args:
        model: stays as it is: a twin, which shares its weights, is given the embedded fields.
        rate: from a model and an interaction (None here) to a number a pair, by RecBole's own forward pass.
        block: the users and movies.
    """
    fields, first_order = _Fields.of(model, block), _first_order(model, block)
    n_users, n_items = block.shape
    users_a_step = max(1, _PAIRS_A_STEP // n_items)
    slots = fields.user_slots + fields.item_slots
    in_place = torch.tensor([slots.index(slot) for slot in range(len(slots))])
    twin = _twin(model)
    rows = []
    for start in range(0, n_users, users_a_step):
        some = slice(start, start + users_a_step)
        of_users = fields.users[some, None].expand(-1, n_items, -1, -1)
        of_items = fields.items.expand(len(of_users), -1, -1, -1)
        embedded = torch.cat([of_users, of_items], dim=2)[:, :, in_place].flatten(0, 1)
        twin.concat_embed_input_fields = _Given(embedded).forward
        twin.first_order_linear = _Given(first_order[some].reshape(-1, 1))
        rows.append(rate(twin, None).view(-1, n_items))
    return torch.cat(rows)


def _twin(model: Any) -> Any:
    """A model with the same layers and weights, of which a layer can be replaced while the first keeps its own."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    return twin


_LOGITS: Mapping[type, Logits] = {
    DCN: _dcn,
    DSSM: _dssm,
    DeepFM: _deepfm,
    FFM: _ffm,
    FM: _fm,
    FNN: _fnn,
    FwFM: _fwfm,
    LR: _linear,
    NFM: _nfm,
    PNN: _pnn,
    WideDeep: _widedeep,
}
_MIXING: Mapping[type, Callable[[Any, Any], Tensor]] = {
    **dict.fromkeys((AFM, AutoInt, DCNV2, EulerNet, FiGNN, xDeepFM), _predicted),
    KD_DAGFM: _kd_dagfm,
}
