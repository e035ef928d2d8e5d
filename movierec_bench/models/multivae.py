"""MultiVAE as RecBole has it, fed with lists of movies."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.multivae import MultiVAE

from movierec_bench.models.rows import RowLinear, RowLists, RowReader, multinomial_loss


class RowMultiVAE(RowReader, MultiVAE):
    """RecBole's MultiVAE: its layers, its first weights and its loss, without dense rows.

    Source:
        Liang et al., WWW 2018, equations 2 and 5.
    """

    encoder: Any  # RecBole's layers, then what follows the first

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.history = dataset.interactions.csr
        first, *later = self.encoder
        self.first_layer, self.encoder = RowLinear(first), torch.nn.Sequential(*later)

    def forward(self, rows: RowLists) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(scores [B, n_items], mean [B, latent_dimension / 2], logarithm of the variance, likewise) of rows."""
        mean, log_variance = self.encoder(self.first_layer(rows, self.drop_out)).split(self.lat_dim // 2, dim=1)
        return self.decoder(self.reparameterize(mean, log_variance)), mean, log_variance

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The negative likelihood of the batch's users plus the weighted KL term, a mean over users."""
        rows = self.row_lists(interaction[self.USER_ID])
        self.update += 1
        scores, mean, log_variance = self.forward(rows)
        grown = self.update / self.total_anneal_steps if self.total_anneal_steps > 0 else self.anneal_cap
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()
        return multinomial_loss(scores, rows) + min(self.anneal_cap, grown) * divergence

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores."""
        return self.forward(self.row_lists(interaction[self.USER_ID]))[0]
