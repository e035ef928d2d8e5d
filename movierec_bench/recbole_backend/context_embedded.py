"""Context-aware models that mix all fields layer by layer: fields embedded once, then RecBole's own forward pass."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Callable

import torch
from recbole.model.context_aware_recommender import KD_DAGFM
from torch import Tensor, nn

from movierec_bench.recbole_backend.context_blocks import PAIRS_A_STEP, Block, Fields, first_order
from movierec_bench.recbole_backend.logits import before_sigmoid


class _Given(nn.Module):
    """Stands in for a layer whose output is known."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, interaction: Any) -> Tensor:
        """The known output, whatever comes in."""
        return self.output


def predicted(model: Any, interaction: Any) -> Tensor:
    """What ``model.predict`` says before its sigmoid, for `from_embedded`."""
    return before_sigmoid(model, partial(model.predict, interaction))


def kd_dagfm(model: KD_DAGFM, interaction: Any) -> Tensor:
    """The logits of the network whose sigmoid `predict` gives."""
    model.predict(interaction)
    network = model.teacher_network if model.phase == "teacher_training" else model.student_network
    logits: Tensor = network.logits
    return logits


def from_embedded(model: Any, rate: Callable[[Any, Any], Tensor], block: Block) -> Tensor:
    """``rate`` of every pair, its fields embedded once a user and once a movie: float32 [B, I].

    Args:
        model: stays as it is: a twin, which shares its weights, is given the embedded fields.
        rate: from a model and an interaction (None here) to a number a pair, by RecBole's own forward pass.
        block: the users and movies.
    """
    fields, linear_terms = Fields.of(model, block), first_order(model, block)
    n_users, n_items = block.shape
    users_a_step = max(1, PAIRS_A_STEP // n_items)
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
        twin.first_order_linear = _Given(linear_terms[some].reshape(-1, 1))
        rows.append(rate(twin, None).view(-1, n_items))
    return torch.cat(rows)


def _twin(model: Any) -> Any:
    """A model with the same layers and weights, of which a layer can be replaced while the first keeps its own."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    return twin
