"""ItemAutoRec: an autoencoder of movies' columns, with one hidden layer."""

from __future__ import annotations

from typing import Any, Optional

import torch

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.autorec import AutoencoderNetwork
from movierec_bench.models.parts.sparse_rows import RowLists
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset


class ItemAutoRec(HistoryModel):
    """I-AutoRec: a movie's column (who watched it) is squeezed through a hidden layer and read off for all users.

    The losses are `AutoRec`'s, with movies in the place of users. A user's score for a movie is the user's
    output for that movie's column, in which the user's own unseen entry is a 0 like everybody else's.

    Source:
        Sedhain et al., "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015, equation 1.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.network = AutoencoderNetwork(config, self.n_users)
        self.set_history(self.interactions)

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from: every movie's column changes with them."""
        super().set_history(rows)
        self.columns = rows.csr.T.tocsr()
        self._hidden: Optional[torch.Tensor] = None

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """The loss of the batch's movies, a mean over movies."""
        self._hidden = None
        return self.network.loss(RowLists.of(self.columns, interaction[self.ITEM_ID]))

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] outputs before the logistic function, which changes no order."""
        if self._hidden is None:
            items = torch.arange(self.n_items, device=self.device)
            self._hidden = self.network.hidden(RowLists.of(self.columns, items))
        user = interaction[self.USER_ID]
        decoder = self.network.decoder
        return decoder.weight[user] @ self._hidden.T + decoder.bias[user].unsqueeze(1)

    def load_other_parameter(self, para: Any) -> None:
        """Forget the movies' hidden layers, which are of other weights."""
        super().load_other_parameter(para)
        self._hidden = None
