"""Datasets RecBole's models accept, built from arrays instead of files and Python loops."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset, KnowledgeBasedDataset
from recbole.data.interaction import Interaction
from recbole.utils.enum_type import FeatureSource, FeatureType, ModelType
from scipy.sparse import coo_matrix

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.recbole_backend.model_contract import ModelConfig
from movierec_bench.schema import (
    DECADE,
    HEAD,
    ITEM,
    ITEM_FEATURES,
    ITEM_FIELD,
    RELATION,
    TAIL,
    TITLE,
    USER_FIELD,
    YEAR,
)

logger = logging.getLogger(__name__)

PAD = "[PAD]"


class ArrayBacked:
    """Fills a RecBole Dataset from arrays. Mixed in before the RecBole class it fills."""

    def __init__(self, config: ModelConfig, data: AtomicData, train: Interactions) -> None:
        self.data = data
        self.interactions = train
        self.movies = _movies_by_index(data)
        super().__init__(config)  # type: ignore[call-arg]  # RecBole's Dataset, at run time

    def _from_scratch(self: Any) -> None:
        self._get_preset()
        self._get_field_from_config()
        self._fill_interactions()
        self._fill_items()
        self.user_feat = None
        self.feat_name_list = ["inter_feat", "item_feat"]

    def _fill_interactions(self: Any) -> None:
        vocabulary = self.data.vocabulary
        self._set_token_field(USER_FIELD, vocabulary.users.astype(str), FeatureSource.USER_ID)
        self._set_token_field(ITEM_FIELD, vocabulary.items.astype(str), FeatureSource.ITEM_ID)
        rows = self.interactions
        self.inter_feat = Interaction(
            {USER_FIELD: torch.from_numpy(rows.user_ix), ITEM_FIELD: torch.from_numpy(rows.item_ix)}
        )

    def _fill_items(self: Any) -> None:
        """Load the features that ``load_col: {item: [...]}`` names, as RecBole does from the .item file."""
        columns = {ITEM_FIELD: torch.arange(len(self.movies) + 1)}
        for field in _wanted_item_fields(self.config):
            if _has_values(self.movies[field]):
                columns[field] = self._item_feature(field)
            else:
                logger.info("%s has no %s of any movie; the models do without that field", self.data.name, field)
        self.item_feat = Interaction(columns)

    def _item_feature(self: Any, field: str) -> torch.Tensor:
        values = self.movies[field]
        if field == YEAR:
            self.set_field_property(field, FeatureType.FLOAT, FeatureSource.ITEM, 1)
            if self.config["MODEL_TYPE"] == ModelType.CONTEXT:  # others read it where they want it, as it is
                self.config["numerical_features"] = [field]  # RecBole's models leave out a number not named here
                self.field2bucketnum[field] = 2  # as RecBole counts a number that is not cut into buckets
                return _scaled_number(values)
            filled = values.fillna(values.mean()).to_numpy(dtype=np.float32)
            return torch.from_numpy(np.concatenate([[np.float32(0)], filled]))
        if field == DECADE:
            tokens = sorted(set(values) - {""})
            self._set_token_field(field, tokens, FeatureSource.ITEM)
            index = self.field2token_id[field]
            return torch.tensor([0, *(index[value] if value else 0 for value in values)])
        lists = [title.split() for title in values] if field == TITLE else list(values)
        tokens = sorted({token for tokens in lists for token in tokens})
        self._set_token_field(field, tokens, FeatureSource.ITEM)
        length = max(1, max(map(len, lists), default=1))
        self.set_field_property(field, FeatureType.TOKEN_SEQ, FeatureSource.ITEM, length)
        index = self.field2token_id[field]
        padded = np.zeros((len(lists) + 1, length), dtype=np.int64)
        for row, tokens_of_row in enumerate(lists, start=1):
            padded[row, : len(tokens_of_row)] = [index[token] for token in tokens_of_row]
        return torch.from_numpy(padded)

    def _set_token_field(self: Any, field: str, tokens: Sequence[str], source: FeatureSource) -> None:
        self.set_field_property(field, FeatureType.TOKEN, source, 1)
        self.field2id_token[field] = np.array([PAD, *tokens], dtype=object)
        self.field2token_id[field] = {token: index for index, token in enumerate(self.field2id_token[field])}

    # -- what RecBole computes in Python loops, one user at a time ---------------------------

    def inter_matrix(self: Any, form: str = "coo", value_field: Optional[str] = None) -> Any:
        """Scipy matrix [n_users, n_items] of ones, ``coo`` or ``csr``."""
        if value_field is not None:
            raise ConfigError(f"interactions here have no values; found value_field {value_field!r}, expected null")
        matrix = self.interactions.csr.astype(np.float64)
        return matrix if form == "csr" else matrix.tocoo()

    def history_item_matrix(
        self: Any, value_field: Optional[str] = None, max_history_len: Optional[int] = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """RecBole's padded histories of users: item ids [n_users, L], ones [n_users, L], lengths [n_users].

        With ``max_history_len`` the latest rows are kept (RecBole keeps a random subset).
        """
        rows = self.interactions
        return padded_history(rows.indptr, rows.item_ix, max_history_len)

    def without_padded_histories(self: Any) -> Any:
        """This data set for a model that gets its histories another way: padded matrices are one column of padding."""
        slim = copy.copy(self)
        slim.history_item_matrix = functools.partial(_no_histories, self.interactions.n_users)
        slim.history_user_matrix = functools.partial(_no_histories, self.interactions.n_items)
        return slim

    def history_user_matrix(
        self: Any, value_field: Optional[str] = None, max_history_len: Optional[int] = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """RecBole's padded histories of items: user ids [n_items, L], ones [n_items, L], lengths [n_items]."""
        by_item = self.interactions.csr.tocsc()
        return padded_history(by_item.indptr.astype(np.int64), by_item.indices.astype(np.int64), max_history_len)


class GeneralArrays(ArrayBacked, Dataset):
    """For general, context-aware and tree models."""


class KnowledgeArrays(ArrayBacked, KnowledgeBasedDataset):
    """For knowledge-aware models: movies are the first entities, in the same order as the items."""

    def _from_scratch(self) -> None:
        super()._from_scratch()
        movie_entities = {f"movie:{item}": item for item in self.data.vocabulary.items}
        triples = self.data.triples
        if len(triples) == 0:
            raise ModelError(
                f"{self.data.name} has no knowledge triples, of which {self.config['model']} learns; expected some in "
                f"{self.data.name}.kg (convert data with genres, directors or writers), or leave the model out"
            )
        others = sorted((set(triples[HEAD]) | set(triples[TAIL])) - set(movie_entities))
        self._set_token_field(self.entity_field, [*movie_entities, *others], FeatureSource.KG)
        relations = sorted(set(triples[RELATION]))
        if self.kg_reverse_r:
            relations += [f"{relation}_r" for relation in relations]
        self._set_token_field(self.relation_field, [*relations, "[UI-Relation]"], FeatureSource.KG)
        for field in (self.head_entity_field, self.tail_entity_field):
            self.set_field_property(field, FeatureType.TOKEN, FeatureSource.KG, 1)
            self.field2id_token[field] = self.field2id_token[self.entity_field]
            self.field2token_id[field] = self.field2token_id[self.entity_field]
        self.item2entity = {str(item): entity for entity, item in movie_entities.items()}
        self.entity2item = {entity: item for item, entity in self.item2entity.items()}
        self.kg_feat = self._triples_as_integers(triples)
        self.feat_name_list.append("kg_feat")

    def ckg_graph(self, form: str = "coo", value_field: Optional[str] = None) -> coo_matrix:
        """RecBole's graph of users, movies and entities; where it wants DGL's form (KGAT alone), the scipy one."""
        return super().ckg_graph("coo" if form == "dgl" else form, value_field)

    def _triples_as_integers(self, triples: pd.DataFrame) -> Interaction:
        entity, relation = self.field2token_id[self.entity_field], self.field2token_id[self.relation_field]
        head = triples[HEAD].map(entity).to_numpy(dtype=np.int64)
        tail = triples[TAIL].map(entity).to_numpy(dtype=np.int64)
        kind = triples[RELATION].map(relation).to_numpy(dtype=np.int64)
        if self.kg_reverse_r:
            n_relations = (len(relation) - 2) // 2  # without [PAD] and [UI-Relation]
            head, tail = np.concatenate([head, tail]), np.concatenate([tail, head])
            kind = np.concatenate([kind, kind + n_relations])
        return Interaction(
            {
                self.head_entity_field: torch.from_numpy(head),
                self.relation_field: torch.from_numpy(kind),
                self.tail_entity_field: torch.from_numpy(tail),
            }
        )


def padded_history(
    indptr: np.ndarray, indices: np.ndarray, max_length: Optional[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of a CSR structure as a padded matrix, the last ``max_length`` entries of each.

    Args:
        indptr: int64 [n + 1].
        indices: int64 [nnz].
        max_length: longest row kept; None keeps all.

    Returns:
        int64 [n, L] indices, float32 [n, L] ones, int64 [n] lengths; 0 where there is nothing.
    """
    full = np.diff(indptr)
    length = full if max_length is None else np.minimum(full, max_length)
    width = int(length.max()) if len(length) else 0
    column = np.arange(width)
    inside = column[None, :] < length[:, None]
    source = (indptr[1:] - length)[:, None] + column[None, :]
    matrix = np.zeros(inside.shape, dtype=np.int64)
    matrix[inside] = indices[source[inside]]
    return (
        torch.from_numpy(matrix),
        torch.from_numpy(inside.astype(np.float32)),
        torch.from_numpy(length.astype(np.int64)),
    )


def _no_histories(
    n: int, value_field: Optional[str] = None, max_history_len: Optional[int] = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `padded_history` gives for ``n`` empty histories, one column wide."""
    return torch.zeros((n, 1), dtype=torch.int64), torch.zeros((n, 1)), torch.zeros(n, dtype=torch.int64)


def _movies_by_index(data: AtomicData) -> pd.DataFrame:
    """The movies table indexed by item_ix, 1 to n_items - 1."""
    movies = data.movies.set_index(ITEM).loc[data.vocabulary.items]
    return movies.set_axis(np.arange(1, len(movies) + 1), axis="index")


def _has_values(values: pd.Series) -> bool:
    """Whether any movie has a value in this column of the movies table: a number, a text or a tuple of them."""
    return bool(values.notna().any()) if values.name == YEAR else any(map(len, values))


def _scaled_number(values: pd.Series) -> torch.Tensor:
    """A number a movie as RecBole's context models read it: float32 [n_items, 2], the number from 0 to 1 and a 1.

    The number is scaled as RecBole's ``normalize_all`` does; a movie without one has the mean, padding 0.
    """
    filled = values.fillna(values.mean()).to_numpy(dtype=np.float64)
    span = filled.max() - filled.min()
    scaled = (filled - filled.min()) / span if span > 0 else np.ones_like(filled)
    number = np.concatenate([[0.0], scaled]).astype(np.float32)
    return torch.from_numpy(np.stack([number, np.ones_like(number)], axis=1))


def _wanted_item_fields(config: ModelConfig) -> list[str]:
    known = [TITLE, YEAR, DECADE, *ITEM_FEATURES]
    load_col = config["load_col"]
    named = known if load_col is None else load_col.get("item", [])
    named = known if named == "*" else [field for field in named if field != ITEM_FIELD]
    for field in named:
        if field not in known:
            raise ConfigError(
                f"load_col names the item field {field!r}; expected some of {', '.join([ITEM_FIELD, *known])}"
            )
    return named
