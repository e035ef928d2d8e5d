"""RippleNet as RecBole has it, its ripple sets in one table drawn by a compiled loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from recbole.model.knowledge_aware_recommender.ripplenet import RippleNet

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.relation_matrices import times_matrix_of
from movierec_bench.recbole_backend.model_contract import KnowledgeDataset, ModelConfig

_PAIRS_A_STEP = 65_536


class TableRippleNet(RippleNet):
    """RecBole's RippleNet with ripple sets in one tensor.

    RecBole's are Python lists of tensors that every batch gathers user by user, and it looks up one matrix of a
    relation for every triple of every row.

    The ripples start from what a user has seen: training rows while fitting, and the rows the protocol
    allows when ranking.

    Attributes:
        ripple_set: int64 [n_users, n_hop, 3, n_memory], heads, relations and tails of each user's ripples;
            0 for a user whose movies are in no triple.

    Source:
        Wang et al., CIKM 2018.
    """

    def __init__(self, config: ModelConfig, dataset: KnowledgeDataset) -> None:
        self._graph = _Triples(dataset)
        self._seed = config["seed"]
        self._history = dataset.interactions
        super().__init__(config, dataset)

    def set_history(self, rows: Interactions) -> None:
        """Draw the ripples anew from these rows."""
        if rows is not self._history:
            self._history = rows
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
        items = self.entity_embedding(interaction[self.ITEM_ID]).unsqueeze(1)
        return self._scores(self._ripples(interaction[self.USER_ID]), items).squeeze(1)

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Cross-entropy of the labels, less ``kg_weight`` times how true the triples are, plus the L2 penalty."""
        ripples = self._ripples(interaction[self.USER_ID])
        items = self.entity_embedding(interaction[self.ITEM_ID]).unsqueeze(1)
        loss = self.loss(self._scores(ripples, items).squeeze(1), interaction[self.LABEL])
        penalty = self.l2_loss(self.transform_matrix.weight)
        for ripple in ripples:
            loss = loss - self.kg_weight * torch.sigmoid((ripple.heads_into * ripple.tails).sum(1)).mean()
            penalty = penalty + (ripple.heads.norm() + ripple.tails.norm() + ripple.matrices_norm) / len(ripple.heads)
        return loss + self.reg_weight * penalty

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], as ``predict`` of every pair."""
        items = self.entity_embedding.weight[: self.n_items]
        steps = interaction[self.USER_ID].split(max(1, _PAIRS_A_STEP // self.n_items))
        return torch.cat([self._scores(self._ripples(users), items.expand(len(users), -1, -1)) for users in steps])

    def _ripples(self, users: torch.Tensor) -> list[_Ripple]:
        """The embedded ripples of users int64 [n], nearest first."""
        heads, relations, tails = self.ripple_set[users].permute(2, 1, 0, 3).flatten(2)  # each [n_hop, n * n_memory]
        matrices = self.relation_embedding.weight.view(-1, self.embedding_size, self.embedding_size)
        return [
            _Ripple.of(self.entity_embedding(head), relation, self.entity_embedding(tail), matrices)
            for head, relation, tail in zip(heads, relations, tails)
        ]

    def _scores(self, ripples: list[_Ripple], items: torch.Tensor) -> torch.Tensor:
        """Float32 [n, I] scores of movies [n, I, D] for the n users of the ripples (equations 4, 6 and 8)."""
        heard: Any = 0
        for ripple in ripples:
            keys, tails = (vectors.view(len(items), self.n_memory, -1) for vectors in (ripple.keys, ripple.tails))
            answer = (items @ keys.transpose(1, 2)).softmax(dim=2) @ tails
            items = self.transform_matrix(items + answer)
            heard = heard + answer
        return (items * heard).sum(dim=2)


@dataclass(frozen=True)
class _Ripple:
    """One ripple of n users, their n_memory triples one after the other.

    Attributes:
        heads: float32 [n * n_memory, D], h.
        tails: float32 [n * n_memory, D], t.
        keys: float32 [n * n_memory, D], R h, what a movie is compared with.
        heads_into: float32 [n * n_memory, D], h' R, which a true tail resembles.
        matrices_norm: the norm of all R, one a triple; RecBole's penalty.
    """

    heads: torch.Tensor
    tails: torch.Tensor
    keys: torch.Tensor
    heads_into: torch.Tensor
    matrices_norm: torch.Tensor

    @classmethod
    def of(cls, heads: torch.Tensor, relation: torch.Tensor, tails: torch.Tensor, matrices: torch.Tensor) -> _Ripple:
        """From vectors [n, D] of heads and tails, relations int64 [n], and the matrices [n_relations, D, D]."""
        keys = times_matrix_of(relation, heads, matrices.transpose(1, 2))
        into = times_matrix_of(relation, heads, matrices)
        counts = torch.bincount(relation, minlength=len(matrices))
        return cls(heads, tails, keys, into, (counts * matrices.square().sum((1, 2))).sum().sqrt())


class _Triples:
    """The knowledge graph's triples by head.

    Attributes:
        triples: int64 [3, n], heads, relations and tails, by head.
        starts: int64 [n_entities + 1], where the triples of each head begin.
    """

    def __init__(self, dataset: KnowledgeDataset) -> None:
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
