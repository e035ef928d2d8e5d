"""KTUP as RecBole has it, with a full ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from recbole.model.knowledge_aware_recommender.ktup import KTUP

from movierec_bench.recbole_backend.pairwise_scores import score_pairs_of_ids


@dataclass(frozen=True)
class _Sum:
    """A vector of every pair that is a user's part plus a movie's part.

    Attributes:
        users: float32 [B, D].
        items: float32 [I, D].
    """

    users: torch.Tensor
    items: torch.Tensor

    def dot(self, other: _Sum) -> torch.Tensor:
        """Inner products of both vectors of every pair: float32 [B, I]."""
        of_users = (self.users * other.users).sum(1, keepdim=True)
        of_items = (self.items * other.items).sum(1)
        left = torch.cat([self.users, other.users], dim=1)
        right = torch.cat([other.items, self.items], dim=1)
        return (left @ right.T).add_(of_users).add_(of_items)


class FullSortKTUP(KTUP):
    """RecBole's KTUP, which rates one pair at a time.

    The preference r and the normal n of a pair are linear in user + movie, so the distance
    |(u - i + r) - <u - i, n> n|^2 is made of inner products of sums of a user's and a movie's part.
    """

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        user = interaction[self.USER_ID]
        if self.L1_flag or self.use_st_gumbel:
            return score_pairs_of_ids(self, user)
        users = self.user_embedding(user)
        items = self.item_embedding.weight + self.entity_embedding.weight[: self.n_items]
        preferences = self.pref_embedding.weight + self.relation_embedding.weight
        normals = self.pref_norm_embedding.weight + self.relation_norm_embedding.weight
        to_preference = preferences.T @ preferences / 4  # RecBole halves twice
        to_normal = preferences.T @ normals / 4
        normal = _Sum(users @ to_normal, items @ to_normal)
        translated = _Sum(users + users @ to_preference, items @ to_preference - items)
        along = _Sum(users, -items).dot(normal)
        return 2 * along * translated.dot(normal) - translated.dot(translated) - along**2 * normal.dot(normal)
