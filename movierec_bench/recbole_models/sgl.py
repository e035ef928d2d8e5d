"""SGL as RecBole has it, on fast graphs."""

from __future__ import annotations

from recbole.model.general_recommender.sgl import SGL
from scipy.sparse import csr_matrix

from movierec_bench.models.parts.sparse_graph import SparseMatrix


class FastSGL(SGL):
    """RecBole's SGL.

    Source:
        Wu et al., "Self-supervised Graph Learning for Recommendation", SIGIR 2021.
    """

    def csr2tensor(self, matrix: csr_matrix) -> SparseMatrix:
        """A normalised adjacency or part of one, all symmetric, for ``torch.sparse.mm``."""
        return SparseMatrix(matrix.tocsr(), symmetric=True).to(self.device)
