"""How a trained model is asked for scores: its history is set, blocks of users go in, score rows come out."""

from __future__ import annotations

import sys
from typing import Any, Callable

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ModelError
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.top_k import ScoreBlock
from movierec_bench.recbole_backend.context_scores import context_scores, scores_at_once
from movierec_bench.recbole_backend.datasets import padded_history
from movierec_bench.recbole_backend.model_contract import EmbeddingModel
from movierec_bench.recbole_backend.pairwise_scores import score_pairs
from movierec_bench.recbole_backend.prefixes import latest_windows
from movierec_bench.recbole_backend.sequence_datasets import ranking_columns
from movierec_bench.schema import USER_FIELD
from movierec_bench.settings.catalog import ModelEntry

_SEQUENCES_A_STEP = 128  # users whose histories a sequence model reads at once: it keeps many floats a row, or a movie


def score_blocks(entry: ModelEntry, model: Any, config: Any, history: Interactions, items: Interaction) -> ScoreBlock:
    """A function from users to their scores for every movie.

    Args:
        entry: the catalogued model; ``entry.history`` says what it reads.
        model: the trained RecBole model; its history is replaced.
        config: its RecBole Config.
        history: the rows the protocol lets the model see.
        items: the movies' columns, the padding movie first; context-aware models read them.

    Returns:
        A function: int64 [B] user indices to float32 [B, n_items] scores, column 0 padding. Nothing is masked.
        Of a model of embeddings it is `Products`, which ranking can do quicker than by calling it.
    """
    give_history(entry, model, history)
    model.eval()
    if isinstance(model, EmbeddingModel):
        return _products(model, entry, config, history)
    score = _way_of_scoring(model)
    users_a_step = _SEQUENCES_A_STEP if entry.history == "sequence" else sys.maxsize
    items = items.to(config["device"])

    def score_step(user_ix: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            users = _user_columns(entry, config, history, user_ix).to(config["device"])
            scores = score(model, users, items)
        if scores.shape[0] != len(user_ix) or scores.shape[1] < history.n_items:
            raise ModelError(
                f"{entry.name} scored a block of {len(user_ix)} users as {tuple(scores.shape)}; "
                f"expected [{len(user_ix)}, {history.n_items}]"
            )
        return scores[:, : history.n_items].float()  # BERT4Rec and others score a mask token besides

    def score_block(user_ix: np.ndarray) -> torch.Tensor:
        steps = [
            score_step(user_ix[start : start + users_a_step]) for start in range(0, max(1, len(user_ix)), users_a_step)
        ]
        return steps[0] if len(steps) == 1 else torch.cat(steps)

    return score_block


def _products(model: EmbeddingModel, entry: ModelEntry, config: Any, history: Interactions) -> Products:
    def users(user_ix: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            columns = _user_columns(entry, config, history, user_ix).to(config["device"])
            return model.user_embeddings(columns).float()

    items, bias = (tensor.detach().float() for tensor in model.item_embeddings())
    return Products(users, items, bias)


def dataset_of(entry: ModelEntry, dataset: Any) -> Any:
    """The data set a model is built from: without RecBole's padded histories where `give_history` brings others."""
    return dataset.without_padded_histories() if entry.history == "autoencoder" else dataset


def give_history(entry: ModelEntry, model: Any, history: Interactions) -> None:
    """Let a model read these rows: the only place that knows where RecBole's models keep theirs."""
    if entry.history == "rows" or hasattr(model, "set_history"):
        model.set_history(history.csr, history)
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
        """Float32 [B, n_items] rows of users int64 [B]."""
        return torch.from_numpy(self._csr[user.cpu().numpy()].toarray()).to(self._device)


def _replace_history_matrix(model: Any, history: Interactions) -> None:
    """FISM and NAIS keep ``history_item_matrix``, ``history_lens`` and a mask of its width."""
    items, _, lengths = padded_history(history.indptr, history.item_ix, None)
    model.history_item_matrix = items.to(model.device)
    model.history_lens = lengths.to(model.device)
    model.mask_mat = torch.arange(items.shape[1], device=model.device).view(1, -1)


def _user_columns(entry: ModelEntry, config: Any, history: Interactions, user_ix: np.ndarray) -> Interaction:
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
    return model.full_sort_predict(users).view(len(users), -1)
