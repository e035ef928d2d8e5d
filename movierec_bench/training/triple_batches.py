"""Batches of knowledge-aware training: interactions, triples of the knowledge graph, or both side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.recbole_backend.model_contract import KnowledgeDataset, ModelConfig
from movierec_bench.training.batches import Batches

_REDRAWS = 100  # a tail that is still a true one after so many draws belongs to a head linked to nearly everything


class KnowledgeBatches:
    """Batches of interactions, of triples, or of both side by side.

    Args:
        interactions: the interactions with sampled negatives.
        triples: the knowledge graph with sampled negatives.
    """

    def __init__(self, interactions: Batches, triples: TripleBatches) -> None:
        self._interactions = interactions
        self._triples = triples

    def interactions(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """One pass over the interactions alone; RecBole's state RS."""
        return self._interactions.epoch(rng)

    def triples(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """One pass over the triples alone; RecBole's state KG."""
        return self._triples.epoch(rng)

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """One pass over the interactions, each batch with one of triples beside it; RecBole's state RSKG.

        The triples start over, reshuffled, as often as the interactions need.
        """
        triples = chain.from_iterable(self._triples.epoch(rng) for _ in repeat(None))
        for batch in self._interactions.epoch(rng):
            batch.update(next(triples))
            yield batch


class TripleBatches:
    """Batches of (head, relation, tail, negative tail).

    Args:
        dataset: a knowledge-based data set of RecBole's in its final format.
        config: its RecBole Config; ``train_batch_size`` counts triples here, as in RecBole.
    """

    def __init__(self, dataset: KnowledgeDataset, config: ModelConfig) -> None:
        self._triples: Interaction = dataset.kg_feat
        self._head_field = dataset.head_entity_field
        self._negative_field = config["NEG_PREFIX"] + dataset.tail_entity_field
        self._batch_size = int(config["train_batch_size"])
        self._sampler = TailSampler(dataset.head_entities, dataset.tail_entities, dataset.entity_num)

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """The batches of one epoch, in an order drawn from ``rng``."""
        order = rng.permutation(len(self._triples))
        for start in range(0, len(order), self._batch_size):
            some = torch.from_numpy(order[start : start + self._batch_size])
            columns = {field: values[some] for field, values in self._triples.interaction.items()}
            negatives = self._sampler.draw(columns[self._head_field].numpy(), rng)
            yield Interaction({**columns, self._negative_field: torch.from_numpy(negatives)})


class TailSampler:
    """Draws entities that are no tail of a head, uniformly.

    Args:
        heads: int64 [n], heads of the triples.
        tails: int64 [n], their tails.
        n_entities: number of entities, padding included.
    """

    def __init__(self, heads: np.ndarray, tails: np.ndarray, n_entities: int) -> None:
        self._n_entities = n_entities
        self._true = np.unique(heads.astype(np.int64) * n_entities + tails)

    def draw(self, heads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Int64 [n] entities, none of them a true tail of ``heads[i]`` (int64 [n]) and none the padding."""
        tails = rng.integers(1, self._n_entities, len(heads))
        pending = np.flatnonzero(self._is_true(heads, tails))
        for _ in range(_REDRAWS):
            if len(pending) == 0:
                break
            tails[pending] = rng.integers(1, self._n_entities, len(pending))
            pending = pending[self._is_true(heads[pending], tails[pending])]
        return tails

    def _is_true(self, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        keys = heads * self._n_entities + tails
        places = np.minimum(np.searchsorted(self._true, keys), len(self._true) - 1)
        return self._true[places] == keys
