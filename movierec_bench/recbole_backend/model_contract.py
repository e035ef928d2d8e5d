"""What a model of ours builds on: a history to score from, or embeddings whose products are the scores."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Protocol

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ModelError


class ModelConfig(Protocol):
    """A model's settings by name: RecBole's Config, in which a name that is not set reads None, or a dictionary."""

    def __getitem__(self, key: str, /) -> Any:
        """The setting's value, in the type its YAML declares."""


class TrainDataset(Protocol):
    """What a model is built from: a RecBole data set of the training rows.

    RecBole's own models ask it for more, by RecBole's names (`recbole_backend.datasets.ArrayBacked`).

    Attributes:
        interactions: the training rows, sorted by user, time and place in the log.
        movies: DataFrame [title, year, decade, genre, director, writer] by item_ix, 1 to n_items - 1.
        item_feat: the same columns as RecBole's models read them, the padding movie first.
    """

    interactions: Interactions
    movies: pd.DataFrame
    item_feat: Interaction

    def without_padded_histories(self) -> Any:
        """The same for a RecBole model that gets its histories another way, without a padded matrix of them."""


class KnowledgeDataset(TrainDataset, Protocol):
    """What a knowledge-aware model is built from.

    Attributes:
        head_entities: int64 [n], of the triples; the movies are the first entities, by item_ix.
        relations: int64 [n].
        tail_entities: int64 [n].
        entity_num: entities, padding included.
        kg_feat: the triples, by RecBole's names of their columns.
        head_entity_field: RecBole's name of the heads.
        tail_entity_field: RecBole's name of the tails.
    """

    head_entities: np.ndarray
    relations: np.ndarray
    tail_entities: np.ndarray
    entity_num: int
    kg_feat: Interaction
    head_entity_field: str
    tail_entity_field: str


class SequenceDataset(TrainDataset, Protocol):
    """What a sequence model is built from.

    Attributes:
        transform: RecBole's change to a training batch, a function of the data set and the batch.
    """

    transform: Callable[..., Interaction]


class HistoryModel(GeneralRecommender):
    """A RecBole general recommender that scores movies from what each user has seen.

    The history is the training rows while fitting; before ranking, `set_history` gives it all the
    rows the protocol allows (train and validation at test, every row for a submission).

    Attributes:
        interactions: the rows it reads, sorted by user, time and place in the log.
    """

    type = ModelType.GENERAL
    input_type = InputType.POINTWISE
    interactions: Interactions

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.interactions = dataset.interactions
        # The trainer and RecBole both expect something on a device.
        self.register_buffer("_device_anchor", torch.zeros(1), persistent=False)

    def __init_subclass__(cls) -> None:
        """Refuse, before it is built, a model whose `set_history` takes anything but the rows.

        Raises:
            ModelError: its ``set_history`` does not take the rows alone.
        """
        super().__init_subclass__()
        taken = list(inspect.signature(cls.set_history).parameters)
        if len(taken) != 2:
            raise ModelError(
                f"{cls.__name__}.set_history takes ({', '.join(taken)}); expected (self, rows): the rows come as one "
                "`Interactions`, of which rows.csr is the matrix; change its head and what it hands on"
            )

    @property
    def history(self) -> csr_matrix:
        """The same rows as a matrix: float32 csr [n_users, n_items] of 0 and 1; row 0 and column 0 are padding."""
        return self.interactions.csr

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from. A model that keeps what it works out of them forgets it here."""
        self.interactions = rows

    def fit_closed_form(self) -> None:
        """Fit from `history` in one go. Models that train by epochs leave this alone."""

    def user_rows(self, interaction: Any) -> np.ndarray:
        """Int64 [B] user indices of a batch, on the CPU."""
        users: np.ndarray = interaction[self.USER_ID].cpu().numpy()
        return users


class EmbeddingModel:
    """Scores ``users @ items.T + bias``. Mixed in before a RecBole model; ranking need not multiply all of it out.

    Attributes:
        has_embeddings: whether it scores so as it is set; else its ``full_sort_predict`` is asked.
    """

    has_embeddings: bool = True

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, f] of a batch of users."""
        raise NotImplementedError

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(float32 [n_items, f], bias float32 [n_items])."""
        raise NotImplementedError

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        items, bias = self.item_embeddings()
        return torch.addmm(bias, self.user_embeddings(interaction), items.T)


def without_bias(items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Movies' embeddings [n_items, f] with a bias of zeros."""
    return items, items.new_zeros(len(items))
