"""The data set of sequence models, and the columns a few of them read besides the plain prefix."""

from __future__ import annotations

from typing import Any

import numpy as np
from recbole.data.dataset import SequentialDataset
from recbole.data.transform import construct_transform
from recbole.utils.enum_type import FeatureSource, FeatureType

from movierec_bench.errors import ModelError
from movierec_bench.recbole_backend.datasets import ArrayBacked
from movierec_bench.recbole_backend.knowledge_vectors import KnowledgeVectors
from movierec_bench.recbole_backend.model_contract import ModelConfig
from movierec_bench.recbole_backend.prefixes import LENGTH_FIELD, LIST_SUFFIX
from movierec_bench.schema import HEAD, ITEM_FIELD, RELATION, TAIL, TIME_FIELD, USER_FIELD

_ITEM_LIST = ITEM_FIELD + LIST_SUFFIX


class SequentialArrays(ArrayBacked, SequentialDataset):
    """For sequence models: the fields of the prefixes are declared; `sequences` makes them as they are needed.

    Attributes:
        transform: RecBole's change to a training batch that the parameter ``transform`` names (hiding rows for
            BERT4Rec, padding on the left for SHAN). Made before the model, which reads the names it gives.
    """

    def _from_scratch(self) -> None:
        super()._from_scratch()
        suffix = self.config["LIST_SUFFIX"]
        self.set_field_property(TIME_FIELD, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        for field, ftype in ((ITEM_FIELD, FeatureType.TOKEN_SEQ), (TIME_FIELD, FeatureType.FLOAT_SEQ)):
            setattr(self, f"{field}_list_field", field + suffix)
            self.set_field_property(field + suffix, ftype, FeatureSource.INTERACTION, self.max_item_list_len)
        self.field2id_token[ITEM_FIELD + suffix] = self.field2id_token[ITEM_FIELD]
        self.field2token_id[ITEM_FIELD + suffix] = self.field2token_id[ITEM_FIELD]
        self.set_field_property(self.item_list_length_field, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
        self.transform = construct_transform(self.config)
        self._keep_features_at_hand()
        if self.config["knowledge_vectors"]:
            self._make_knowledge_vectors()

    def _keep_features_at_hand(self) -> None:
        """Leave out of ``selected_features`` what no movie of these data has."""
        wanted = self.config["selected_features"]
        if not wanted:
            return
        there = [field for field in wanted if field in self.item_feat]
        if not there:
            raise ModelError(
                f"{self.config['model']} reads the movies' {', '.join(wanted)}, and {self.data.name} has none of them; "
                "set selected_features in its YAML to a field of the .item file"
            )
        self.config["selected_features"] = there

    def _make_knowledge_vectors(self) -> None:
        """Entities and relations as fields, with vectors in the place of the files RecBole would load them from."""
        triples = self.data.triples
        vectors = KnowledgeVectors.from_triples(
            triples[HEAD].to_numpy(),
            triples[RELATION].to_numpy(),
            triples[TAIL].to_numpy(),
            movies=[f"movie:{item}" for item in self.data.vocabulary.items],
            size=self.config["kg_embedding_size"] or self.config["embedding_size"],
            seed=self.config["seed"],
        )
        self._set_token_field(self.config["ENTITY_ID_FIELD"], vectors.entities, FeatureSource.KG)
        relations = [*vectors.relations, "[UI-Relation]"]  # RecBole counts that of users and movies, and leaves it out
        self._set_token_field(self.config["RELATION_ID_FIELD"], relations, FeatureSource.KG)
        self._preloaded_weight.update(ent_id=vectors.of_entities, rel_id=vectors.of_relations)


def negative_history(columns: dict[str, np.ndarray], sampler: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """DIEN's column: beside each row of a prefix, a movie the user has not seen.

    Args:
        columns: of `Prefixes.columns`, n prefixes of length L.
        sampler: a `NegativeSampler`.
        rng: draws.

    Returns:
        ``neg_item_id_list`` int64 [n, L], 0 where the prefix is padding.
    """
    items = columns[_ITEM_LIST]
    drawn = sampler.draw(np.repeat(columns[USER_FIELD], items.shape[1]), rng).reshape(items.shape)
    return {"neg_" + _ITEM_LIST: np.where(items > 0, drawn, 0)}


def ranking_columns(config: ModelConfig, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of `latest_windows` as the model reads them when it ranks.

    SHAN wants its list padded on the left; RecBole's gives its ranking the one padded on the right, so that
    a short history counts for nothing. DIEN and the CPR models compute a loss even then, which nobody
    reads: they get padding for what it needs.
    """
    items = columns[_ITEM_LIST]
    columns = {**columns, ITEM_FIELD: np.zeros_like(columns[LENGTH_FIELD])}
    if config["transform"] == "inverse_itemseq":
        columns[_ITEM_LIST] = _padded_on_the_left(items, columns[LENGTH_FIELD])
    if config["negative_history"]:
        columns["neg_" + _ITEM_LIST] = np.zeros_like(items)
    return columns


def _padded_on_the_left(items: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Int64 [n, L]: the first ``length`` (int64 [n]) entries of each row moved to its end."""
    width = items.shape[1]
    source = np.arange(width) - (width - length[:, None])
    return np.where(source >= 0, np.take_along_axis(items, np.maximum(source, 0), axis=1), 0)
