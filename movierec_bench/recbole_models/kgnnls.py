"""KGNN-LS as RecBole has it, its labels in sorted arrays instead of a dictionary, with a full ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.knowledge_aware_recommender.kgnnls import KGNNLS

from movierec_bench.recbole_models.kgcn import neighbourhood_scores

_UNKNOWN = 0.5  # the label of a pair that is neither watched nor drawn as unwatched


class ArrayKGNNLS(KGNNLS):
    """RecBole's KGNN-LS, which keeps a Python dictionary of ten million labels at five million rows.

    Attributes:
        interaction_table: sorted keys int64 [n] of the labelled (user, movie) pairs and their labels
            float32 [n], 1 watched and 0 drawn as unwatched.

    Source:
        Wang et al., KDD 2019, section 3.4.
    """

    interaction_table: tuple[np.ndarray, np.ndarray]

    def get_interaction_table(
        self, user_id: torch.Tensor, item_id: torch.Tensor, y: torch.Tensor
    ) -> tuple[np.ndarray, int]:
        """The keys of the watched pairs, and what a user's number is multiplied with in a key."""
        return np.unique(user_id.numpy() * self.n_entities + item_id.numpy()), self.n_entities

    def sample_neg_interaction(self, pos_interaction_table: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
        """The watched pairs with about as many unwatched ones, drawn once."""
        watched = pos_interaction_table
        users = np.random.randint(1, self.n_users, len(watched))
        drawn = np.unique(users * offset + np.random.randint(1, self.n_items, len(watched)))
        keys = np.concatenate([watched, np.setdiff1d(drawn, watched, assume_unique=True)])
        order = np.argsort(keys)
        return keys[order], (order < len(watched)).astype(np.float32)

    def _labels(self, user: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        """Labels float32 [n, m] of users int64 [n] and entities int64 [n, m]."""
        keys, labels = self.interaction_table
        wanted = (user.unsqueeze(1) * self.offset + entities).cpu().numpy()
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where(keys[places] == wanted, labels[places], np.float32(_UNKNOWN))
        return torch.from_numpy(found).to(self.device)

    def label_smoothness_predict(
        self,
        user_embeddings: torch.Tensor,
        user: torch.Tensor,
        entities: list[torch.Tensor],
        relations: list[torch.Tensor],
    ) -> torch.Tensor:
        """Labels that spread to each movie from its neighbourhood, its own label held out: float32 [n].

        Args:
            user_embeddings: float32 [n, D].
            user: int64 [n].
            entities: hop by hop, int64 [n, K^hop], the movies themselves first.
            relations: hop by hop, int64 [n, K^(hop + 1)], relations to the next hop's entities.
        """
        held_out = [nodes == entities[0] for nodes in entities]
        known = [self._labels(user, nodes) for nodes in entities]
        labels = [label.masked_fill(held, _UNKNOWN) for label, held in zip(known, held_out)]
        fixed = [(label != _UNKNOWN) & ~held for label, held in zip(known, held_out)]
        liking = user_embeddings @ self.relation_embedding.weight.T / self.embedding_size
        for done in range(self.n_iter):
            spread = []
            for hop in range(self.n_iter - done):
                shape = (len(user), -1, self.neighbor_sample_size)
                weights = liking.gather(1, relations[hop]).view(shape).softmax(dim=2)
                from_neighbours = (weights * labels[hop + 1].view(shape)).mean(dim=2)
                spread.append(torch.where(fixed[hop], labels[hop], from_neighbours))
            labels = spread
        return labels[0].squeeze(1)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        return neighbourhood_scores(self, interaction[self.USER_ID])
