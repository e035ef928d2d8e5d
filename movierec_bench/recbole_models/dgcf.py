"""DGCF as RecBole has it, for data of any size."""

from __future__ import annotations

import torch
from recbole.model.general_recommender.dgcf import DGCF
from scipy.sparse import csr_matrix

from movierec_bench.models.parts.sparse_graph import SparseMatrix
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class AnySizeDGCF(DGCF):
    """RecBole's DGCF, also where an epoch has few batches.

    Its penalty on correlated factors samples users and movies for every batch, and RecBole asks for more of them than
    there are when there are few batches.

    Source:
        Wang et al., "Disentangled Graph Collaborative Filtering", SIGIR 2020.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.cor_batch_size: int = min(self.cor_batch_size, self.n_users, self.n_items)

    def _build_sparse_tensor(self, indices: torch.Tensor, values: torch.Tensor, size: tuple[int, int]) -> SparseMatrix:
        """A sparse matrix of edges and nodes for ``torch.sparse.mm``, from coordinates int64 [2, nnz]."""
        rows, columns = indices.cpu().numpy()
        return SparseMatrix(csr_matrix((values.cpu().numpy(), (rows, columns)), shape=size)).to(self.device)
