"""How a trained model ranks: it is given a history, blocks of users go in, their scores come out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Optional

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ModelError
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.top_k import Candidates, ScoreBlock, TopK, top_k
from movierec_bench.recbole_backend.context_scores import context_scores, scores_at_once
from movierec_bench.recbole_backend.datasets import padded_history
from movierec_bench.recbole_backend.logits import before_sigmoid
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, ModelConfig, TrainDataset
from movierec_bench.recbole_backend.pairwise_scores import score_pairs
from movierec_bench.recbole_backend.prefixes import latest_windows
from movierec_bench.recbole_backend.sequence_datasets import ranking_columns
from movierec_bench.schema import USER_FIELD
from movierec_bench.settings.catalog import KNOWN_USERS, ModelEntry

_SEQUENCES_A_STEP = 128  # users whose histories a sequence model reads at once: it keeps many floats a row, or a movie


@dataclass
class Ranker:
    """A trained model with all it takes to rank from any history.

    A model keeps the history it reads, so a function from users to scores would silently change with the next history.
    None is handed out: `rank` and `scores` take the history with every call.

    Attributes:
        entry: the catalogued model; ``entry.history`` says what it reads.
        model: the RecBole model; its history is replaced with every call.
        config: its RecBole Config.
        items: the movies' columns, the padding movie first; context-aware models read them.
        known: bool [n_users], padding included: the users it learned from.
    """

    entry: ModelEntry
    model: Any
    config: ModelConfig
    items: Interaction
    known: np.ndarray

    def rank(self, history: Interactions, user_ix: np.ndarray, k: int, allowed: Optional[Candidates] = None) -> TopK:
        """The ``k`` best movies, none of the history, of each user whom the model has anything to rank by.

        Args:
            history: the rows the protocol lets the model see; they are read, and masked.
            user_ix: int64 [U], users.
            k: movies a user gets.
            allowed: filters the candidates; None allows every movie.

        Returns:
            The ranking of each of ``user_ix`` that `able` has, in their order; the others are missing.
        """
        users = user_ix[self.able(history)[user_ix]]
        return top_k(self._score_block(history), users, history.csr, k, allowed=allowed)

    def scores(self, history: Interactions, user_ix: np.ndarray) -> torch.Tensor:
        """Float32 [B, n_items] scores from this history of users int64 [B], column 0 padding. Nothing is masked."""
        return torch.as_tensor(self._score_block(history)(user_ix))

    def able(self, history: Interactions) -> np.ndarray:
        """Bool [n_users], padding included: the users the model has anything to rank by.

        A model that learns its users ranks those it learned from; one that reads a history, those who have one.
        """
        able = np.ones(history.n_users, dtype=bool)
        if KNOWN_USERS in self.entry.requires:
            able &= self.known
        if self.entry.history != "none":
            able &= np.diff(history.indptr) > 0
        return able

    def _score_block(self, history: Interactions) -> ScoreBlock:
        """A function, good until the model reads other rows: int64 [B] users to float32 [B, n_items] scores.

        Of a model of embeddings it is `Products`, which ranking can do quicker than by calling it.
        """
        give_history(self.entry, self.model, history)
        self.model.eval()
        if isinstance(self.model, EmbeddingModel) and self.model.has_embeddings:
            return _products(self.model, self.entry, self.config, history)
        score = _way_of_scoring(self.model)
        users_a_step = _SEQUENCES_A_STEP if self.entry.history == "sequence" else sys.maxsize
        items = self.items.to(self.config["device"])

        def score_step(user_ix: np.ndarray) -> torch.Tensor:
            with torch.no_grad():
                users = _user_columns(self.entry, self.config, history, user_ix).to(self.config["device"])
                scores = score(self.model, users, items)
            if scores.shape[0] != len(user_ix) or scores.shape[1] < history.n_items:
                raise ModelError(
                    f"{self.entry.name} scored a block of {len(user_ix)} users as {tuple(scores.shape)}; "
                    f"expected [{len(user_ix)}, {history.n_items}]"
                )
            return scores[:, : history.n_items].float()  # BERT4Rec and others score a mask token besides

        def score_block(user_ix: np.ndarray) -> torch.Tensor:
            starts = range(0, max(1, len(user_ix)), users_a_step)
            steps = [score_step(user_ix[start : start + users_a_step]) for start in starts]
            return steps[0] if len(steps) == 1 else torch.cat(steps)

        return score_block


def _products(model: EmbeddingModel, entry: ModelEntry, config: ModelConfig, history: Interactions) -> Products:
    def users(user_ix: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            columns = _user_columns(entry, config, history, user_ix).to(config["device"])
            return model.user_embeddings(columns).float()

    items, bias = (tensor.detach().float() for tensor in model.item_embeddings())
    return Products(users, items, bias)


def dataset_of(entry: ModelEntry, dataset: TrainDataset) -> Any:
    """The data set a model is built from: without RecBole's padded histories where `give_history` brings others."""
    return dataset.without_padded_histories() if entry.history == "autoencoder" else dataset


def give_history(entry: ModelEntry, model: Any, history: Interactions) -> None:
    """Let a model read these rows: the only place that knows where RecBole's models keep theirs."""
    if entry.history == "rows" or hasattr(model, "set_history"):
        model.set_history(history)
    elif entry.history == "autoencoder":
        model.get_rating_matrix = _RatingRows(history.csr, model.device)
    elif entry.history == "interaction_matrix":
        model.interaction_matrix = history.csr
    elif entry.history == "history_matrix":
        _replace_history_matrix(model, history)


class _RatingRows:
    """RecBole's ``AutoEncoderMixin.get_rating_matrix`` from a CSR matrix, without its padded copy of all histories."""

    def __init__(self, csr: csr_matrix, device: torch.device) -> None:
        self._csr = csr
        self._device = device

    def __call__(self, user: torch.Tensor) -> torch.Tensor:
        """Float32 [B, n_items] of 0 and 1: the histories of users int64 [B]."""
        return torch.from_numpy(self._csr[user.cpu().numpy()].toarray()).to(self._device)


def _replace_history_matrix(model: Any, history: Interactions) -> None:
    """FISM and NAIS keep ``history_item_matrix``, ``history_lens`` and a mask of its width."""
    items, _, lengths = padded_history(history.indptr, history.item_ix, None)
    model.history_item_matrix = items.to(model.device)
    model.history_lens = lengths.to(model.device)
    model.mask_mat = torch.arange(items.shape[1], device=model.device).view(1, -1)


def _user_columns(entry: ModelEntry, config: ModelConfig, history: Interactions, user_ix: np.ndarray) -> Interaction:
    columns = {USER_FIELD: user_ix}
    if entry.history == "sequence":
        columns = ranking_columns(config, latest_windows(history, user_ix, config["MAX_ITEM_LIST_LENGTH"]))
    return Interaction({field: torch.from_numpy(np.ascontiguousarray(values)) for field, values in columns.items()})


def _way_of_scoring(model: Any) -> Callable[[Any, Interaction, Interaction], torch.Tensor]:
    """A function from a model, users' columns [B] and movies' columns [n_items] to scores [B, n_items]."""
    if scores_at_once(model):
        return context_scores
    if type(model).full_sort_predict is not AbstractRecommender.full_sort_predict:
        return _full_sort
    return score_pairs


def _full_sort(model: Any, users: Interaction, items: Interaction) -> torch.Tensor:
    return before_sigmoid(model, partial(model.full_sort_predict, users)).view(len(users), -1)
