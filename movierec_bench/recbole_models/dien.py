"""DIEN that ranks all movies of a user at once."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.sequential_recommender.dien import DIEN

from movierec_bench.models.parts.din_features import feature_vectors, movie_vectors


class RankingDIEN(DIEN):
    """RecBole's DIEN, which only rates one pair at a time and extracts the user's interests again for each.

    Source:
        Zhou et al., "Deep Interest Evolution Network for Click-Through Rate Prediction", AAAI 2019.
    """

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], the logits of ``predict``, which do not saturate."""
        movies = movie_vectors(self)
        users, histories = feature_vectors(self, interaction[self.USER_ID], interaction[self.ITEM_SEQ])
        lengths = interaction[self.ITEM_SEQ_LEN]
        # The extractor also gives a loss, of no use here, for which it wants movies not seen: anything will do.
        interests, _ = self.interset_extractor(histories, lengths, histories)
        return torch.stack([self._logits(*of_user, movies) for of_user in zip(users, interests, lengths)])

    def _logits(
        self, user: torch.Tensor, interests: torch.Tensor, length: torch.Tensor, movies: torch.Tensor
    ) -> torch.Tensor:
        """Float32 [n_items] of one user, whose vector is float32 [D'] and whose interests are float32 [L, D]."""
        n_items = len(movies)
        evolved = self.interest_evolution(movies, interests.expand(n_items, -1, -1), length.expand(n_items))
        hidden = self.dnn_mlp_layers(torch.cat([evolved, movies, user.expand(n_items, -1)], dim=-1))
        logits: torch.Tensor = self.dnn_predict_layer(hidden).squeeze(1)
        return logits
