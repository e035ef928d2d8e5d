"""DIN that ranks all movies of a user at once."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.sequential_recommender.din import DIN

from movierec_bench.models.parts.din_features import feature_vectors, movie_vectors


class RankingDIN(DIN):
    """RecBole's DIN, which only rates one pair at a time and embeds the user's history again for each.

    Source:
        Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018.
    """

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], the logits of ``predict``, which do not saturate."""
        movies = movie_vectors(self)
        _, histories = feature_vectors(self, interaction[self.USER_ID], interaction[self.ITEM_SEQ])
        lengths = interaction[self.ITEM_SEQ_LEN]
        return torch.stack([self._logits(history, n, movies) for history, n in zip(histories, lengths)])

    def _logits(self, history: torch.Tensor, length: torch.Tensor, movies: torch.Tensor) -> torch.Tensor:
        """Float32 [n_items] of one user, whose history is float32 [L, D]."""
        n_items = len(movies)
        interest = self.attention(movies, history.expand(n_items, -1, -1), length.expand(n_items)).squeeze(1)
        hidden = self.dnn_mlp_layers(torch.cat([interest, movies, interest * movies], dim=-1))
        logits: torch.Tensor = self.dnn_predict_layers(hidden).squeeze(1)
        return logits
