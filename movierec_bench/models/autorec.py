"""AutoRec: an autoencoder of users' histories, with one hidden layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from movierec_bench.models.parts.sparse_rows import RowLinear, RowLists, sample_zeros
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, HistoryModel, ModelConfig, TrainDataset

_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "identity": nn.Identity}


class AutoRec(EmbeddingModel, HistoryModel):
    """U-AutoRec: a user's row of the 0/1 matrix is squeezed through a hidden layer and read off again for all movies.

    The paper minimises ``sum_u |r_u - h(r_u)|^2 over the observed entries + reg / 2 * (|W|^2 + |V|^2)`` with
    ``h(r) = f(W g(V r + mu) + b)``, on ratings from 1 to 5. Here every observed entry is 1, and a network that
    always says 1 would be perfect; so zeros count too. ``BCE`` takes the whole row, each unseen movie a
    0, with f the logistic function. ``MSE`` takes the observed entries, as the paper, and ``negatives``
    times as many sampled zeros, with f the identity. Dropping part of the row (``dropout_prob``) keeps the network
    from copying its input; 0 is the paper's.

    Source:
        Sedhain et al., "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015, equations 1 and 2.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.network = AutoencoderNetwork(config, self.n_items)

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The loss of the batch's users, a mean over users."""
        return self.network.loss(RowLists.of(self.history, interaction[self.USER_ID]))

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, hidden_size]: the hidden layer."""
        return self.network.hidden(RowLists.of(self.history, interaction[self.USER_ID]))

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The output layer; its scores come before the logistic function, which changes no order."""
        return self.network.decoder.weight, self.network.decoder.bias


class AutoencoderNetwork(nn.Module):
    """One hidden layer between vectors of one width, and the losses of AutoRec.

    Args:
        config: gives ``hidden_size``, ``activation``, ``loss_type``, ``negatives``, ``dropout_prob``, ``reg_weight``.
        width: length of a vector.
    """

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        self.loss_type = config["loss_type"]
        self.negatives = config["negatives"]
        self.dropout_prob = config["dropout_prob"]
        self.reg_weight = config["reg_weight"]
        hidden_size = config["hidden_size"]
        encoder, self.decoder = nn.Linear(width, hidden_size), nn.Linear(hidden_size, width)
        for layer in (encoder, self.decoder):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.encoder = RowLinear(encoder, normalised=False)
        self.activation = _ACTIVATIONS[config["activation"]]()

    def forward(self, rows: RowLists) -> torch.Tensor:
        """Float32 [B, width] outputs for B rows."""
        outputs: torch.Tensor = self.decoder(self.hidden(rows))
        return outputs

    def hidden(self, rows: RowLists) -> torch.Tensor:
        """Float32 [B, hidden_size] of B rows."""
        hidden: torch.Tensor = self.activation(self.encoder(rows, self.dropout_prob))
        return hidden

    def loss(self, rows: RowLists) -> torch.Tensor:
        """The reconstruction loss of B rows, a mean over them, plus the penalty."""
        outputs = self(rows)
        targets = rows.dense(outputs.shape[1])
        if self.loss_type == "BCE":
            error = binary_cross_entropy_with_logits(outputs, targets, reduction="sum")
        else:
            counted = sample_zeros(targets, self.negatives)
            error = mse_loss(outputs * counted, targets, reduction="sum")
        penalty = self.encoder.weight.square().sum() + self.decoder.weight.square().sum()
        return error / len(outputs) + self.reg_weight / 2 * penalty
