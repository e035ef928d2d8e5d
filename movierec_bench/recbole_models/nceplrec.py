"""NCE-PLRec as RecBole has it, able to rank from a longer history."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.general_recommender.nceplrec import NCEPLRec
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd

from movierec_bench.models.parts.sparse_rows import RowReader
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class FoldInNCEPLRec(RowReader, NCEPLRec):
    """RecBole's NCEPLRec, keeping the projection of histories that it drops, so that new rows can be projected.

    Source:
        Wu et al., SIGIR 2019, in RecBole's variant.
    """

    other_parameter_name = ["projection", "weights"]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        GeneralRecommender.__init__(self, config, dataset)  # RecBole's own does the whole work here
        self.dummy_param = torch.nn.Parameter(torch.zeros(1))
        self.history = dataset.interactions.csr
        beta, reg_weight = config["beta"], config["reg_weight"]
        rank = min(config["rank"], min(self.history.shape) - 1)
        _, singular, vectors = randomized_svd(
            weighted_by_rarity(self.history, beta),
            n_components=rank,
            n_iter="auto",
            power_iteration_normalizer="QR",
            random_state=config["seed"],
        )
        self.projection = (vectors.T * np.sqrt(singular)).astype(np.float32)
        projected = self.history @ self.projection
        gram = projected.T @ projected + reg_weight * np.identity(rank, dtype=np.float32)
        self.weights = np.linalg.solve(gram, projected.T @ self.history).astype(np.float32)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores."""
        user = interaction[self.USER_ID].cpu().numpy()
        return torch.from_numpy(self.history[user] @ self.projection @ self.weights).to(self.device)


def weighted_by_rarity(history: csr_matrix, beta: float) -> csr_matrix:
    """The ones of ``history`` as ``max(log(n_users / popularity ** beta), 0)``, popularity in users who watched.

    RecBole computes this a user at a time.
    """
    popularity = np.asarray(history.sum(axis=0)).ravel()
    values = np.maximum(np.log(history.shape[0] / np.maximum(popularity, 1) ** beta), 0)
    return (history @ diags(values)).tocsr()
