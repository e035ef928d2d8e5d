"""KGAT as RecBole has it, without DGL, the matrices of the relations applied a relation at a time."""

from __future__ import annotations

import numpy as np
import torch
from recbole.model.knowledge_aware_recommender.kgat import KGAT

from movierec_bench.models.parts.relation_matrices import times_matrix_of


class ScipyKGAT(KGAT):
    """RecBole's KGAT. Building the graph in DGL, for one matrix, is all that RecBole needs the package for."""

    def init_graph(self) -> torch.Tensor:
        """The attention before training: sparse float32 [n_users + n_entities, n_users + n_entities].

        An edge (head, relation, tail) weighs 1 over the number of edges of its head with that relation;
        edges of several relations between the same two nodes add up.
        """
        head, tail, relation = self.ckg.row.astype(np.int64), self.ckg.col.astype(np.int64), self.ckg.data
        _, kind, count = np.unique(head * self.n_relations + relation, return_inverse=True, return_counts=True)
        weight = torch.from_numpy((1.0 / count[kind]).astype(np.float32))
        edges = torch.from_numpy(np.stack([head, tail]))
        return torch.sparse_coo_tensor(edges, weight, self.matrix_size).coalesce().to(self.device)

    def _get_kg_embedding(
        self, h: torch.Tensor, r: torch.Tensor, pos_t: torch.Tensor, neg_t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Vectors [n, K] of heads, relations, tails and negative tails."""
        matrices = self.trans_w.weight.view(-1, self.embedding_size, self.kg_embedding_size)
        heads, tails, others = (
            times_matrix_of(r, self.entity_embedding(nodes), matrices) for nodes in (h, pos_t, neg_t)
        )
        return heads, self.relation_embedding(r), tails, others
