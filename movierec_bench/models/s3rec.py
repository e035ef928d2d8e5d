"""S3Rec in two stages on whole windows: pre-training on hidden movies and attributes, then on the next movie."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.sequential_recommender.s3rec import S3Rec
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from movierec_bench.models.parts.window_model import CausalAttention, at_position, softmax_loss
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class WindowS3Rec(CausalAttention, S3Rec):
    """Self-attention, first trained to recover hidden movies, attributes and segments, then to predict the next movie.

    While ``train_stage`` is ``pretrain``, the loss adds up the paper's four tasks, each contrasted with all
    movies, or with the batch's other segments, where RecBole draws one negative. Attributes are the genres,
    directors and writers that several movies share. While it is ``finetune``, training is that of SASRec.

    The parameter ``scorer`` says how a hidden state and a movie's vector are compared, in fine-tuning and
    ranking alike: ``dot``, or ``negative_euclidean``, minus their distance, so that the nearest movie wins.

    Source:
        Zhou et al., "S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual Information
        Maximization", CIKM 2020, section 4.2; layers are RecBole's S3Rec.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        # RecBole's constructor asks for one field to make a table of; the table below takes its place.
        settings: Any = config
        settings["item_attribute"], settings["train_stage"] = config["ITEM_ID_FIELD"], "pretrain"
        super().__init__(config, dataset)
        self.scorer = config["scorer"]
        attributes = attribute_table(dataset, config["item_attributes"], config["min_attribute_movies"])
        self.register_buffer("attributes", attributes, persistent=False)
        self.n_features = attributes.shape[1]
        self.feature_embedding = torch.nn.Embedding(self.n_features, self.hidden_size)
        self._init_weights(self.feature_embedding)

    def item_vectors(self) -> torch.Tensor:
        """Float32 [n_items, H]; RecBole's S3Rec counts the mask token among its items, which is last."""
        return self.item_embedding.weight[: self.mask_token]

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The loss of the stage that ``train_stage`` names."""
        if self.train_stage == "finetune":
            return super().calculate_loss(interaction)
        item_seq, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        loss: torch.Tensor = self.recovery_loss(item_seq) + self.sp_weight * self.segment_loss(item_seq, length)
        return loss

    def recovery_loss(self, item_seq: torch.Tensor) -> torch.Tensor:
        """Hidden movies and their attributes from their context, and attributes of the movies that are shown.

        Args:
            item_seq: int64 [B, W], windows padded on the right with 0.
        """
        real = item_seq > 0
        hidden = real & (torch.rand(item_seq.shape, device=item_seq.device) < self.mask_ratio)
        states = self.forward(item_seq.masked_fill(hidden, self.mask_token))
        shown = real & ~hidden
        items = softmax_loss(self.mip_norm(states[hidden]), self.item_vectors(), None, item_seq[hidden])
        hidden_attributes = self._attribute_loss(self.map_norm(states[hidden]), item_seq[hidden])
        shown_attributes = self._attribute_loss(self.aap_norm(states[shown]), item_seq[shown])
        loss: torch.Tensor = (
            self.mip_weight * items + self.map_weight * hidden_attributes + self.aap_weight * shown_attributes
        )
        return loss

    def _attribute_loss(self, states: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Mean over ``states`` (float32 [N, H]) of the summed cross-entropies of the attributes of ``items``."""
        scores = states @ self.feature_embedding.weight.T
        total = binary_cross_entropy_with_logits(scores, self.attributes[items].float(), reduction="sum")
        return total / max(len(items), 1)

    def segment_loss(self, item_seq: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """A window without a segment finds its own segment among those of the batch.

        Args:
            item_seq: int64 [B, W], windows padded on the right with 0.
            length: int64 [B], their rows.
        """
        long_enough = length >= 2
        item_seq, length = item_seq[long_enough], length[long_enough]
        if len(item_seq) < 2:
            return item_seq.new_zeros((), dtype=torch.float32)
        inside = draw_segments(length, item_seq.shape[1])
        context = self._last_state(item_seq.masked_fill(inside, self.mask_token), length)
        segment = self._last_state(item_seq.masked_fill(~inside & (item_seq > 0), self.mask_token), length)
        scores = self.sp_norm(context) @ segment.T
        return cross_entropy(scores, torch.arange(len(scores), device=scores.device))

    def _last_state(self, item_seq: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        return at_position(self.forward(item_seq), length - 1)

    def loss_at(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of ``targets`` (int64 [B, W], 0: none) under the softmax of the scorer.

        Minus the squared distance is ``2 h.v - v.v``, but for a part that is the same for every movie.
        """
        if self.scorer == "dot":
            return super().loss_at(hidden, targets)
        counted, vectors = targets > 0, self.item_vectors()
        return softmax_loss(2 * hidden[counted], vectors, -vectors.square().sum(dim=1), targets[counted])

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 [B, n_items] from ``hidden`` (float32 [B, H]): larger is better, whatever the scorer."""
        if self.scorer == "dot":
            return super().scores(hidden)
        return -torch.cdist(hidden, self.item_vectors())


def attribute_table(dataset: TrainDataset, fields: list[str], min_movies: int) -> torch.Tensor:
    """Which movie has which attribute.

    Args:
        dataset: RecBole dataset, whose item features hold the fields, each int64 [n_items, L], 0 padding.
        fields: names of such fields; one that the data lack counts for nothing.
        min_movies: an attribute of fewer movies is left out: nothing can be learned about it.

    Returns:
        Bool [n_items, number of attributes]; row 0 is padding, all False.
    """
    features = dataset.item_feat
    tables = [_membership(features[field].numpy()) for field in fields if field in features.interaction]
    table = np.concatenate([np.zeros((len(features), 0), dtype=bool), *tables], axis=1)
    return torch.from_numpy(table[:, table.sum(axis=0) >= min_movies])


def _membership(tokens: np.ndarray) -> np.ndarray:
    """Bool [n_items, n_tokens - 1] of padded lists of tokens int64 [n_items, L]."""
    table = np.zeros((len(tokens), tokens.max(initial=0) + 1), dtype=bool)
    table[np.arange(len(tokens))[:, None], tokens] = True
    return table[:, 1:]


def draw_segments(length: torch.Tensor, width: int) -> torch.Tensor:
    """Bool [B, width]: in each window of ``length`` (int64 [B], at least 2) rows a run of 1 to half of them."""
    rows = length.float()
    segment = 1 + (torch.rand(len(length), device=length.device) * (length // 2)).long()
    start = (torch.rand(len(length), device=length.device) * (rows - segment + 1)).long()
    position = torch.arange(width, device=length.device)
    return (position >= start.unsqueeze(1)) & (position < (start + segment).unsqueeze(1))
