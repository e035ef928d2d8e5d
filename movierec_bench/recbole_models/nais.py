"""NAIS as RecBole has it, pre-trained as FISM, trained on a few movies a user, ranked from item-item tables."""

from __future__ import annotations

from typing import Any, Optional

import torch
from recbole.model.general_recommender.nais import NAIS
from torch.nn.functional import binary_cross_entropy_with_logits

from movierec_bench.models.parts.sparse_rows import RowReader, sample_zeros
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_models.fism import leave_one_out_scores, profile_scores

_PAIRS_A_BLOCK = 200_000  # pairs of movies whose attention is computed in one go: 50 MB at 64 factors


class TableNAIS(RowReader, NAIS):
    """RecBole's NAIS, its parameters and its ranking, fast enough to be used.

    The attention of a history's movie j for a movie i depends on the two movies alone. So ranking needs two
    tables of all pairs of movies and two matrix products, in place of a network pass for every user, movie
    of the history and candidate. A batch is users, of whom ``targets_per_user`` movies and as many others
    are scored; a movie is scored from the others of its history, as in the paper (RecBole leaves it in).

    The paper starts from the vectors of a trained FISM. ``pretrain_epochs`` epochs train one first, in the
    same embeddings; RecBole would read them from a file.

    Attributes:
        as_fism: whether the model is still being pre-trained, and ranks as FISM.

    Source:
        He et al., TKDE 2018, equations 4 to 8.
    """

    other_parameter_name = ["as_fism"]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.history = dataset.interactions.csr
        self.negatives = config["train_neg_sample_args"]["sample_num"]
        self.targets_per_user = config["targets_per_user"]
        self.fism_alpha = config["fism_alpha"]
        self.as_fism = False
        self._tables: Optional[tuple[torch.Tensor, torch.Tensor]] = None

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """Binary cross-entropy of movies and sampled zeros of the batch's users, plus RecBole's penalty."""
        self._tables = None
        rows = self.rows(interaction[self.USER_ID])
        return self._fism_loss(rows) if self.as_fism else self._attention_loss(rows) + self.reg_loss()

    def _fism_loss(self, rows: torch.Tensor) -> torch.Tensor:
        counted = sample_zeros(rows, self.negatives)
        scores = self.bias + leave_one_out_scores(
            rows, self.item_src_embedding.weight, self.item_dst_embedding.weight, self.fism_alpha
        )
        return binary_cross_entropy_with_logits(scores, rows, weight=counted, reduction="sum") / counted.sum()

    def _attention_loss(self, rows: torch.Tensor) -> torch.Tensor:
        targets, labels = self._draw_targets(rows)
        user, item = rows.nonzero(as_tuple=True)  # every movie of every history of the batch
        similarity, attention = self._pairs(item, targets[user])
        attention = attention * (item.unsqueeze(1) != targets[user])  # a movie does not predict itself
        sums = torch.zeros_like(labels).index_add(0, user, attention * similarity)
        weights = torch.zeros_like(labels).index_add(0, user, attention)
        others = (rows.sum(dim=1, keepdim=True) - labels).clamp(min=1)
        scores = self._combine(sums, weights, others, self.bias[targets])
        return binary_cross_entropy_with_logits(scores, labels)

    def _draw_targets(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Movies to score: int64 [B, 2T] and their labels float32 [B, 2T]."""
        unseen = 1 - rows + 1e-9  # who has seen everything draws from that; the labels are looked up
        unseen[:, 0] = 0
        seen = torch.multinomial(rows, self.targets_per_user, replacement=True)
        others = torch.multinomial(unseen, self.targets_per_user * self.negatives, replacement=True)
        targets = torch.cat([seen, others], dim=1)
        return targets, rows.gather(1, targets)

    def _pairs(self, item: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity and unnormalised attention, float32 [N, T], of movies int64 [N] for targets int64 [N, T]."""
        source = self.item_src_embedding(item)
        target = self.item_dst_embedding(targets)
        similarity = torch.einsum("nd,ntd->nt", source, target)
        if self.algorithm == "prod":
            inputs = source.unsqueeze(1) * target
        else:
            inputs = torch.cat([source.unsqueeze(1).expand_as(target), target], dim=2)
        return similarity, torch.exp(self.mlp_layers(inputs) @ self.weight_layer).squeeze(2)

    def _combine(
        self, sums: torch.Tensor, weights: torch.Tensor, length: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        return length**-self.alpha * sums / weights.clamp(min=1e-12) ** self.beta + bias

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores, before RecBole's sigmoid, which changes no order but makes ties."""
        rows = self.rows(interaction[self.USER_ID])
        if self.as_fism:
            sources, targets = self.item_src_embedding.weight, self.item_dst_embedding.weight
            return self.bias + profile_scores(rows, sources, targets, self.fism_alpha)
        if self._tables is None:
            self._tables = self._all_pairs()
        weighted, attention = self._tables
        length = rows.sum(dim=1, keepdim=True).clamp(min=1)
        return self._combine(rows @ weighted, rows @ attention, length, self.bias)

    def _all_pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention times similarity, and attention: float32 [n_items, n_items], history's movie by candidate."""
        items = torch.arange(self.n_items, device=self.bias.device)
        weighted, attention = [], []
        for block in items.split(max(1, _PAIRS_A_BLOCK // self.n_items)):
            similarity, weights = self._pairs(block, items.expand(len(block), -1))
            weighted.append(weights * similarity)
            attention.append(weights)
        return torch.cat(weighted), torch.cat(attention)

    def load_other_parameter(self, para: Any) -> None:
        """Take back ``as_fism``; the tables are of other weights then."""
        super().load_other_parameter(para)
        self._tables = None
