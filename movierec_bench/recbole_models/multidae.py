"""MultiDAE as RecBole has it, fed with lists of movies."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.general_recommender.multidae import MultiDAE

from movierec_bench.models.parts.sparse_rows import RowLinear, RowLists, RowReader, multinomial_loss
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import RecencyWeighted


class RowMultiDAE(RecencyWeighted, RowReader, EmbeddingModel, MultiDAE):
    """RecBole's MultiDAE: its layers, its first weights and its loss, without dense rows.

    Where recent rows weigh more, a row that is ranked from holds the weights in the place of ones.

    Source:
        Liang et al., WWW 2018, section 2.3.
    """

    encoder: Any  # RecBole's MLPLayers, then what follows its first layer
    decoder: Any

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset.without_padded_histories())
        self.set_history(dataset.interactions)
        _, linear, *later = self.encoder.mlp_layers  # the first is a dropout of nothing
        self.first_layer, self.encoder = RowLinear(linear), torch.nn.Sequential(*later)

    def forward(self, rows: RowLists) -> torch.Tensor:
        """Float32 [B, n_items] scores of B histories."""
        scores: torch.Tensor = self.decoder(self.encoder(self.first_layer(rows, self.drop_out)))
        return scores

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The negative likelihood of the batch's users, a mean over users."""
        rows = self.row_lists(interaction[self.USER_ID])
        return multinomial_loss(self.forward(rows), rows)

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, f]: the last hidden layer."""
        latent = self.encoder(
            self.first_layer(RowLists.of(self.weighted_history, interaction[self.USER_ID]), self.drop_out)
        )
        hidden: torch.Tensor = self.decoder[:-1](latent)
        return hidden

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The last layer's weights and biases."""
        return self.decoder[-1].weight, self.decoder[-1].bias
