"""GenreTop: popular movies of a user's favourite genres, in fixed proportion."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch

from movierec_bench.models.parts.popularity import Popularity, favourites, feature_matrix, popular_by_value
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset
from movierec_bench.schema import GENRE


class GenreTop(HistoryModel):
    """Rounds of the most watched unseen movies of a user's favourite genres.

    A round takes the next ``proportions[0]`` movies of the genre most of the user's movies have, then
    ``proportions[1]`` of the second, and so on; a movie taken for one genre is passed over by the others,
    and a genre that has run out is left out. With 3:2:2:2:1 a round is ten movies, so the first ten
    unseen movies, the second ten, and so on, each hold the genres in that proportion. After the last
    round come the other unseen movies by popularity. Popularity is counted on training rows, favourites
    on the history in force; equal counts go by genre name.
    """

    other_parameter_name = ["popular"]
    popular: Popularity

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.proportions = np.array(config["proportions"])
        self.genres = feature_matrix(dataset.movies, GENRE)

    def fit_closed_form(self) -> None:
        """Count the training rows of each movie."""
        self.popular = Popularity.of(self.history)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items]: n_items - 1 for the first movie, one less for each next, 0 for seen ones."""
        users = self.user_rows(interaction)
        chosen = favourites(self.history, users, self.genres, len(self.proportions))
        listed = popular_by_value(self.genres, self.popular)
        scores = np.zeros((len(users), self.n_items), dtype=np.float32)
        _rank_in_rounds(
            users,
            self.history.indptr,
            self.history.indices,
            chosen.indptr,
            chosen.indices,
            self.proportions,
            listed.indptr,
            listed.indices,
            self.popular.order,
            scores,
        )
        return torch.from_numpy(scores)


@numba.njit(cache=True, parallel=True)
def _rank_in_rounds(
    users: np.ndarray,
    seen_start: np.ndarray,
    seen_items: np.ndarray,
    chosen_start: np.ndarray,
    chosen_genres: np.ndarray,
    proportions: np.ndarray,
    list_start: np.ndarray,
    list_items: np.ndarray,
    popular_items: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Fill ``scores`` [B, n_items], which come in as zeros."""
    for b in numba.prange(len(users)):
        placed = np.zeros(scores.shape[1], dtype=np.bool_)
        placed[seen_items[seen_start[users[b]] : seen_start[users[b] + 1]]] = True
        genres = chosen_genres[chosen_start[b] : chosen_start[b + 1]]
        next_in_list = list_start[genres]
        score = scores.shape[1] - 1
        round_was_empty = False
        while not round_was_empty:
            round_was_empty = True
            for place in range(len(genres)):
                left = proportions[place]
                end = list_start[genres[place] + 1]
                while left > 0 and next_in_list[place] < end:
                    item = list_items[next_in_list[place]]
                    next_in_list[place] += 1
                    if not placed[item]:
                        placed[item] = True
                        scores[b, item] = score
                        score -= 1
                        left -= 1
                        round_was_empty = False
        for item in popular_items:
            if not placed[item]:
                scores[b, item] = score
                score -= 1
