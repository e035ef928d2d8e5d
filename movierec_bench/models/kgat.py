"""KGAT as RecBole has it, its first attention matrix computed without DGL."""

from __future__ import annotations

import numpy as np
import torch
from recbole.model.knowledge_aware_recommender.kgat import KGAT


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
