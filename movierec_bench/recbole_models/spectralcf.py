"""SpectralCF as RecBole has it, on a fast graph."""

from __future__ import annotations

import torch
from recbole.model.general_recommender.spectralcf import SpectralCF
from scipy.sparse import csr_matrix, identity

from movierec_bench.models.parts.sparse_graph import SparseMatrix, random_walk_laplacian
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class FastSpectralCF(SpectralCF):
    """RecBole's SpectralCF: ``U U^T + U L U^T`` is ``I + L``, with L the random-walk Laplacian.

    Source:
        Zheng et al., "Spectral Collaborative Filtering", RecSys 2018.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        laplacian: csr_matrix = random_walk_laplacian(self.interaction_matrix)
        self.A_hat = SparseMatrix(laplacian + identity(laplacian.shape[0], format="csr")).to(self.device)

    def get_laplacian_matrix(self) -> torch.Tensor:
        """Nothing yet, of the right size: RecBole fills a dictionary with every edge here."""
        return self.get_eye_mat(self.n_items + self.n_users) * 0
