"""RippleNet as RecBole has it, its ripple sets in one table drawn by a compiled loop."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from recbole.model.knowledge_aware_recommender.ripplenet import RippleNet
from scipy.sparse import csr_matrix

_PAIRS_A_STEP = 65_536


class TableRippleNet(RippleNet):
    """RecBole's RippleNet, whose ripple sets are Python lists of tensors that every batch gathers user by user.

    The ripples start from what a user has seen: training rows while fitting, and the rows the protocol
    allows when ranking.

    Attributes:
        ripple_set: int64 [n_users, n_hop, 3, n_memory], heads, relations and tails of each user's ripples;
            0 for a user whose movies are in no triple.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        self._graph = _Triples(dataset)
        self._seed = config["seed"]
        self._history = dataset.interactions
        super().__init__(config, dataset)

    def set_history(self, history: csr_matrix, interactions: Any) -> None:
        """Draw the ripples anew from these rows: float32 csr [n_users, n_items] and the same with times."""
        if interactions is not self._history:
            self._history = interactions
            self.ripple_set = self._build_ripple_set()

    def _build_ripple_set(self) -> torch.Tensor:
        seen = self._history.csr
        starts, seeds = seen.indptr.astype(np.int64), seen.indices.astype(np.int64)
        ripples: list[np.ndarray] = []
        for hop in range(self.n_hop):
            chosen = _draw(starts, seeds, self._graph.starts, self.n_memory, self._seed + hop)
            ripple = self._graph.triples[:, chosen].transpose(1, 0, 2)  # [n_users, 3, n_memory]
            nothing = chosen[:, 0] < 0
            ripple[nothing] = ripples[-1][nothing] if ripples else 0
            ripples.append(ripple)
            starts, seeds = np.arange(len(ripple) + 1) * self.n_memory, ripple[:, 2].ravel()
        return torch.from_numpy(np.stack(ripples, axis=1)).to(self.device)

    def forward(self, interaction: Any) -> torch.Tensor:
        """Float32 [n] scores of the pairs."""
        self._recall(interaction[self.USER_ID])
        self.item_embeddings = self.entity_embedding(interaction[self.ITEM_ID])
        heard = sum(self._key_addressing())
        return (self.item_embeddings * heard).sum(dim=1)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        rows = []
        for users in interaction[self.USER_ID].split(max(1, _PAIRS_A_STEP // self.n_items)):
            self._recall(users)
            self.item_embeddings = self.entity_embedding.weight[: self.n_items]
            heard = sum(self._key_addressing_full())
            rows.append((self.item_embeddings * heard).sum(dim=2))
        return torch.cat(rows)

    def _recall(self, users: torch.Tensor) -> None:
        """Embed the ripples of users int64 [n] where RecBole's equations look for them."""
        heads, relations, tails = self.ripple_set[users].permute(2, 1, 0, 3).flatten(2)  # each [n_hop, n * n_memory]
        self.h_emb_list = list(self.entity_embedding(heads))
        self.r_emb_list = list(self.relation_embedding(relations))
        self.t_emb_list = list(self.entity_embedding(tails))


class _Triples:
    """The knowledge graph's triples by head.

    Attributes:
        triples: int64 [3, n], heads, relations and tails, by head.
        starts: int64 [n_entities + 1], where the triples of each head begin.
    """

    def __init__(self, dataset: Any) -> None:
        heads = dataset.head_entities
        order = np.argsort(heads, kind="stable")
        self.triples = np.stack([heads, dataset.relations, dataset.tail_entities])[:, order]
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(heads, minlength=dataset.entity_num))])


@numba.njit(cache=True)
def _draw(starts: np.ndarray, seeds: np.ndarray, triple_starts: np.ndarray, n_memory: int, seed: int) -> np.ndarray:
    """Triples whose heads are a user's seeds, int64 [n_users, n_memory]; -1 where there is none.

    All different where a user has that many (Floyd's algorithm, CACM 1987), with repetition otherwise.

    Args:
        starts: int64 [n_users + 1], where the seeds of each user begin.
        seeds: int64, entities.
        triple_starts: int64 [n_entities + 1], where the triples of each head begin.
        n_memory: triples drawn a user.
        seed: of the draw.
    """
    np.random.seed(seed)
    chosen = np.full((len(starts) - 1, n_memory), -1, dtype=np.int64)
    for user in range(len(starts) - 1):
        own = seeds[starts[user] : starts[user + 1]]
        ends = np.cumsum(triple_starts[own + 1] - triple_starts[own])
        total = ends[-1] if len(ends) else 0
        if total == 0:
            continue
        distinct = total >= n_memory
        ranks = np.empty(n_memory, dtype=np.int64)
        for place in range(n_memory):
            last = total - n_memory + place if distinct else total - 1
            rank = np.random.randint(0, last + 1)
            ranks[place] = last if distinct and (ranks[:place] == rank).any() else rank
        for place in range(n_memory):
            which = np.searchsorted(ends, ranks[place], side="right")
            head = own[which]
            chosen[user, place] = triple_starts[head + 1] - (ends[which] - ranks[place])
    return chosen
