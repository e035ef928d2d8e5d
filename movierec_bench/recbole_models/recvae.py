"""RecVAE as RecBole has it, fed with lists of movies."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.recvae import Encoder, RecVAE, log_norm_pdf, swish

from movierec_bench.models.parts.gaussian_latent import GaussianLatent
from movierec_bench.models.parts.sparse_rows import RowLinear, RowLists, RowReader, multinomial_loss
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import RecencyWeighted


class RowRecVAE(RecencyWeighted, RowReader, GaussianLatent, EmbeddingModel, RecVAE):
    """RecBole's RecVAE: its layers, its first weights and its loss, without dense rows.

    Where recent rows weigh more, a row that is ranked from holds the weights in the place of ones.

    Source:
        Shenbin et al., WSDM 2020, equations 4 to 7.
    """

    encoder: Any
    decoder: Any

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.set_history(dataset.interactions)
        self.encoder = _RowEncoder(self.encoder)
        self.prior.encoder_old = _RowEncoder(self.prior.encoder_old).requires_grad_(False)

    def calculate_loss(self, interaction: Any, encoder_flag: bool) -> torch.Tensor:
        """The negative evidence lower bound, a mean over the batch's users; only the encoder's passes drop movies."""
        rows = self.row_lists(interaction[self.USER_ID])
        scores, mean, log_variance, latent = self.forward(rows, self.dropout_prob if encoder_flag else 0)
        weight = self.gamma * rows.counts if self.gamma else self.beta
        divergence = (log_norm_pdf(latent, mean, log_variance) - self.prior(rows, latent)).sum(dim=1)
        return multinomial_loss(scores, rows) + (weight * divergence).mean()

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, latent_dimension] means of the latent vectors, which is what RecBole ranks by."""
        mean: torch.Tensor = self.encoder.mean(
            self.encoder.hidden(RowLists.of(self.weighted_history, interaction[self.USER_ID]), 0)
        )
        return mean

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's weights and biases."""
        return self.decoder.weight, self.decoder.bias


class _RowEncoder(torch.nn.Module):
    """RecBole's encoder, whose layers each read all those before them."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.first_layer = RowLinear(encoder.fc1)
        self.layers = torch.nn.ModuleList((encoder.fc2, encoder.fc3, encoder.fc4, encoder.fc5))
        self.norms = torch.nn.ModuleList((encoder.ln1, encoder.ln2, encoder.ln3, encoder.ln4, encoder.ln5))
        self.mean, self.log_variance = encoder.fc_mu, encoder.fc_logvar

    def forward(self, rows: RowLists, dropout_prob: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, logarithm of the variance), both [B, latent_dimension], of B histories."""
        hidden = self.hidden(rows, dropout_prob)
        return self.mean(hidden), self.log_variance(hidden)

    def hidden(self, rows: RowLists, dropout_prob: float) -> torch.Tensor:
        """Float32 [B, hidden_dimension], the last layer, of B histories."""
        hidden: torch.Tensor = self.norms[0](swish(self.first_layer(rows, dropout_prob)))
        before = hidden
        for layer, norm in zip(self.layers, self.norms[1:]):
            hidden = norm(swish(layer(hidden) + before))
            before = before + hidden
        return hidden
