"""AsymKNN as RecBole has it, scored a block of users at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.general_recommender.asymknn import AsymKNN, ComputeSimilarity
from scipy.sparse import csr_matrix

from movierec_bench.models.parts.linear_model import sparse_scores
from movierec_bench.models.parts.sparse_rows import RowReader
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

_EPSILON = 1e-6  # RecBole's, in the denominators


class BlockAsymKNN(RowReader, AsymKNN):
    """RecBole's AsymKNN from its similarities, without its matrix of all users' scores.

    That matrix (213 million entries in Python lists at the competition's size) does not fit in memory, and it
    could not be scored from a longer history.

    Source:
        Aiolli, RecSys 2013, as in RecBole: the similarity of a and b is
        ``|a & b| / (|a| ** alpha * |b| ** (1 - alpha))``, kept for the ``k`` most similar; scores are divided by the
        norms of the history (to the power 2 beta) and of the movie's similarities (to 2 (1 - beta)), then raised
        to ``q``.
    """

    other_parameter_name = ["w"]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        GeneralRecommender.__init__(self, config, dataset)  # RecBole's own goes on to make the matrix of all scores
        self.k = config["k"]
        self.method = config["knn_method"]
        self.alpha = config["alpha"]
        self.beta = config["beta"]
        self.q = config["q"]
        self.fake_loss = torch.nn.Parameter(torch.zeros(1))
        self.history = dataset.interactions.csr
        similarity = ComputeSimilarity(self.history, topk=self.k, alpha=self.alpha, method=self.method)
        _, neighbours = similarity.compute_asym_similarity()
        self.w: csr_matrix = neighbours.tocsr()

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores; equal to RecBole's for the training rows."""
        user = interaction[self.USER_ID].cpu().numpy()
        if self.method == "item":
            sums = sparse_scores(self.history, user, self.w)
            row_norm, column_norm = _row_norms(self.history)[user], _row_norms(self.w)
        else:
            sums = sparse_scores(self.w, user, self.history)
            row_norm, column_norm = _row_norms(self.w)[user], _row_norms(self.history.T.tocsr())
        scale = np.outer(row_norm ** (2 * self.beta), column_norm ** (2 * (1 - self.beta))) + _EPSILON
        return torch.from_numpy((sums / scale).astype(np.float32) ** self.q).to(self.device)


def _row_norms(matrix: csr_matrix) -> np.ndarray:
    """Float64 [n], the Euclidean length of each row."""
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel())
