"""DMF as RecBole has it, trained and ranked from whole rows and columns of the 0/1 matrix."""

from __future__ import annotations

from typing import Any, Optional

import torch
from recbole.model.general_recommender.dmf import DMF
from scipy.sparse import csr_matrix
from torch.nn.functional import binary_cross_entropy_with_logits

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.sparse_rows import RowReader, sample_zeros
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class RowDMF(RowReader, DMF):
    """RecBole's DMF: its parameters and loss, without a dense row and column for every (user, movie) pair.

    A batch is users; all movies' vectors come from one sparse product, and the scores of the users' movies
    and sampled zeros from a dense one.

    Source:
        Xue et al., IJCAI 2017, with RecBole's inner product in place of the cosine.
    """

    other_parameter_name: list[str] = []

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.max_rating = 1.0
        self.negatives = config["train_neg_sample_args"]["sample_num"]
        self.other_parameter_name = []  # RecBole stores the movies' vectors, which ours recomputes
        self.set_history(dataset.interactions)

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from; the movies' columns are those of the same rows, of the users it was made with."""
        super().set_history(rows)
        self.columns = _sparse_tensor(rows.csr[: self.n_users].T.tocsr()).to(self.device)
        self._item_vectors: Optional[torch.Tensor] = None

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Binary cross-entropy of the batch's movies and about ``sample_num`` sampled zeros each."""
        self._item_vectors = None
        rows = self.rows(interaction[self.USER_ID])
        counted = sample_zeros(rows, self.negatives)
        scores = self.user_vectors(rows) @ self.item_vectors().T
        return binary_cross_entropy_with_logits(scores, rows, weight=counted, reduction="sum") / counted.sum()

    def user_vectors(self, rows: torch.Tensor) -> torch.Tensor:
        """Float32 [B, d] from rows float32 [B, n_items]."""
        return self.user_fc_layers(self.user_linear(rows))

    def item_vectors(self) -> torch.Tensor:
        """Float32 [n_items, d] of all movies, from their columns."""
        return self.item_fc_layers(torch.sparse.mm(self.columns, self.item_linear.weight.T))

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores, before RecBole's sigmoid, which changes no order but makes ties."""
        if self._item_vectors is None:
            self._item_vectors = self.item_vectors()
        return self.user_vectors(self.rows(interaction[self.USER_ID])) @ self._item_vectors.T

    def load_other_parameter(self, para: Any) -> None:
        """Forget the movies' vectors, which are of other weights."""
        super().load_other_parameter(para)
        self._item_vectors = None


def _sparse_tensor(matrix: csr_matrix) -> torch.Tensor:
    """A torch sparse matrix in coordinates, coalesced."""
    coo = matrix.tocoo()
    index = torch.stack([torch.from_numpy(coo.row).long(), torch.from_numpy(coo.col).long()])
    return torch.sparse_coo_tensor(index, torch.from_numpy(coo.data), coo.shape).coalesce()
