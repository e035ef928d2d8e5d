"""Users and movies whose pairs a context-aware model is to score: their columns, fields and first-order terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from recbole.data.interaction import Interaction
from torch import Tensor

PAIRS_A_STEP = 8_192  # pairs that go through a network at once; their hidden layers stay in the processor's cache


@dataclass(frozen=True)
class Block:
    """Users and movies whose pairs are wanted, in columns that a context model can embed.

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


def _beside(rows: Interaction, other: Interaction) -> Interaction:
    """``rows`` with the columns of the single row ``other`` repeated beside them."""
    return Interaction({**rows.interaction, **other.repeat(len(rows)).interaction})


def first_order(model: Any, block: Block) -> Tensor:
    """The linear terms of every pair, float32 [B, I]: L(u, i) = L(u, pad) + L(u0, i) - L(u0, pad)."""
    of_users = model.first_order_linear(block.users)
    of_items = model.first_order_linear(block.items)
    return of_users + (of_items - of_items[:1]).T


@dataclass(frozen=True)
class Fields:
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
    def of(cls, model: Any, block: Block) -> Fields:
        """The fields of ``block``, embedded by ``model``."""
        names = [
            *model.token_seq_field_names,
            *model.token_field_names,
            *model.float_seq_field_names,
            *model.float_field_names,
        ]
        user_slots, item_slots = slots_of(names, block)
        users = model.concat_embed_input_fields(block.users)[:, user_slots]
        items = model.concat_embed_input_fields(block.items)[:, item_slots]
        return cls(users, items, user_slots, item_slots)


def slots_of(names: Iterable[str], block: Block) -> tuple[list[int], list[int]]:
    """The places of the user's fields among ``names``, and those of the movie's."""
    is_users = [name in block.user_fields for name in names]
    return [k for k, yes in enumerate(is_users) if yes], [k for k, yes in enumerate(is_users) if not yes]
