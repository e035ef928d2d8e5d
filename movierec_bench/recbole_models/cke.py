"""CKE as RecBole has it, the matrices of the relations applied a relation at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from recbole.model.knowledge_aware_recommender.cke import CKE

from movierec_bench.models.parts.relation_matrices import times_matrix_of


class GroupedCKE(CKE):
    """RecBole's CKE, which looks up one matrix of a relation for every triple of a batch."""

    def _get_kg_embedding(
        self, h: torch.Tensor, r: torch.Tensor, pos_t: torch.Tensor, neg_t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, None]:
        """Normalised vectors [n, K] of heads, relations, tails and negative tails; RecBole reads no more."""
        matrices = self.trans_w.weight.view(-1, self.embedding_size, self.kg_embedding_size)
        heads, tails, others = (
            times_matrix_of(r, self.entity_embedding(nodes), matrices) for nodes in (h, pos_t, neg_t)
        )
        relations = self.relation_embedding(r)
        return F.normalize(heads), F.normalize(relations), F.normalize(tails), F.normalize(others), None
