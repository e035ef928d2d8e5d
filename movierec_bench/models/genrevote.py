"""GenreVote: a user's favourite genres vote for their popular movies."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch

from movierec_bench.errors import ConfigError
from movierec_bench.models.parts.popularity import Popularity, favourites, feature_matrix, popular_by_value
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset
from movierec_bench.schema import GENRE


class GenreVote(HistoryModel):
    """Each favourite genre gives its votes to its most watched movies that the user has not seen.

    The genre most of the user's movies have gives ``votes[0]`` votes to each of its ``ballots[0]`` most
    watched unseen movies, the second ``votes[1]`` to each of its ``ballots[1]``, and so on; without ``ballots`` each
    votes for ``ballot`` movies. A movie of several of these genres adds its votes up. Equal votes, and movies without
    a vote, go by popularity. Popularity is counted on training rows, favourites on the history in force; equal counts
    go by genre name.

    Source:
        ours, after t3-07, whose five genres list their 10, 9, 8, 7 and 6 most popular unseen movies, with one vote a
        list: ``votes: [1, 1, 1, 1, 1]`` and ``ballots: [10, 9, 8, 7, 6]``.
    """

    other_parameter_name = ["popular"]
    popular: Popularity

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.votes = np.array(config["votes"])
        self.ballots = _ballots(config, len(self.votes))
        self.genres = feature_matrix(dataset.movies, GENRE)

    def fit_closed_form(self) -> None:
        """Count the training rows of each movie."""
        self.popular = Popularity.of(self.history)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items]: a movie's votes, and its popularity's place below 1."""
        users = self.user_rows(interaction)
        chosen = favourites(self.history, users, self.genres, len(self.votes))
        listed = popular_by_value(self.genres, self.popular)
        scores = np.tile(self.popular.place, (len(users), 1))
        _cast_votes(
            users,
            self.history.indptr,
            self.history.indices,
            chosen.indptr,
            chosen.indices,
            self.votes,
            self.ballots,
            listed.indptr,
            listed.indices,
            scores,
        )
        return torch.from_numpy(scores)


def _ballots(config: ModelConfig, n_genres: int) -> np.ndarray:
    """Int64 [n_genres]: movies that each favourite genre votes for."""
    ballots = config["ballots"] or [config["ballot"]] * n_genres
    if len(ballots) != n_genres:
        raise ConfigError(
            f"{config['model']}: ballots has {len(ballots)} numbers and votes {n_genres}; expected one of each a "
            "favourite genre, or ballots: null; change it in the model's YAML"
        )
    return np.array(ballots)


@numba.njit(cache=True, parallel=True)
def _cast_votes(
    users: np.ndarray,
    seen_start: np.ndarray,
    seen_items: np.ndarray,
    chosen_start: np.ndarray,
    chosen_genres: np.ndarray,
    votes: np.ndarray,
    ballots: np.ndarray,
    list_start: np.ndarray,
    list_items: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Add the votes to ``scores`` [B, n_items]."""
    for b in numba.prange(len(users)):
        seen = np.zeros(scores.shape[1], dtype=np.bool_)
        seen[seen_items[seen_start[users[b]] : seen_start[users[b] + 1]]] = True
        genres = chosen_genres[chosen_start[b] : chosen_start[b + 1]]
        for place in range(len(genres)):
            left = ballots[place]
            for item in list_items[list_start[genres[place]] : list_start[genres[place] + 1]]:
                if left == 0:
                    break
                if not seen[item]:
                    scores[b, item] += votes[place]
                    left -= 1
