"""MultiVAE as RecBole has it, fed with lists of movies."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.multivae import MultiVAE

from movierec_bench.models.parts.gaussian_latent import GaussianLatent
from movierec_bench.models.parts.sparse_rows import RowLinear, RowLists, RowReader, multinomial_loss
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import RecencyWeighted


class RowMultiVAE(RecencyWeighted, RowReader, GaussianLatent, EmbeddingModel, MultiVAE):
    """RecBole's MultiVAE: its layers, its first weights and its loss, without dense rows.

    Where recent rows weigh more, a row that is ranked from holds the weights in the place of ones.

    Source:
        Liang et al., WWW 2018, equations 2 and 5.
    """

    encoder: Any  # RecBole's layers, then what follows the first
    decoder: Any

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.set_history(dataset.interactions)
        first, *later = self.encoder
        self.first_layer, self.encoder = RowLinear(first), torch.nn.Sequential(*later)

    def forward(self, rows: RowLists) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(scores [B, n_items], mean [B, latent_dimension / 2], logarithm of the variance, likewise) of B histories."""
        mean, log_variance = self.latent(rows)
        return self.decoder(self.reparameterize(mean, log_variance)), mean, log_variance

    def latent(self, rows: RowLists) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, logarithm of the variance), both [B, latent_dimension / 2], of B histories."""
        mean, log_variance = self.encoder(self.first_layer(rows, self.drop_out)).split(self.lat_dim // 2, dim=1)
        return mean, log_variance

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The negative likelihood of the batch's users plus the weighted KL term, a mean over users."""
        rows = self.row_lists(interaction[self.USER_ID])
        self.update += 1
        scores, mean, log_variance = self.forward(rows)
        grown = self.update / self.total_anneal_steps if self.total_anneal_steps > 0 else self.anneal_cap
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()
        return multinomial_loss(scores, rows) + min(self.anneal_cap, grown) * divergence

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, f]: the last hidden layer."""
        latent = self.reparameterize(*self.latent(RowLists.of(self.weighted_history, interaction[self.USER_ID])))
        hidden: torch.Tensor = self.decoder[:-1](latent)
        return hidden

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The last layer's weights and biases."""
        return self.decoder[-1].weight, self.decoder[-1].bias
