"""What one training step sees: positives with sampled negatives, users, or prefixes of histories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional, Protocol

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import InputType

from movierec_bench.data.interactions import Interactions
from movierec_bench.data.seen_pairs import seen_pairs, which_are_seen
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.model_contract import ModelConfig, SequenceDataset
from movierec_bench.recbole_backend.prefixes import Prefixes
from movierec_bench.recbole_backend.sequence_datasets import negative_history
from movierec_bench.schema import ITEM_FIELD, LABEL_FIELD, USER_FIELD

_REDRAWS = 100  # a negative that still hits a seen movie after so many draws belongs to a user who saw nearly all


class Batches(Protocol):
    """Batches of one epoch after another."""

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """The batches of one epoch, in an order drawn from ``rng``."""


class NegativeSampler:
    """Draws movies a user has not seen in the training rows.

    Args:
        rows: training rows; nothing else is ever looked at, so no held-out row influences a draw.
        sample_num: negatives a positive.
        popularity_power: None draws uniformly; otherwise in proportion to training counts to this power.
    """

    def __init__(self, rows: Interactions, sample_num: int, popularity_power: Optional[float] = None) -> None:
        self.sample_num = sample_num
        self._n_items = rows.n_items
        self._seen = seen_pairs(rows)
        self._cumulative = None
        if popularity_power is not None:
            weights = np.bincount(rows.item_ix, minlength=rows.n_items).astype(float) ** popularity_power
            weights[0] = 0
            self._cumulative = np.cumsum(weights) / weights.sum()

    @classmethod
    def from_config(cls, rows: Interactions, config: ModelConfig) -> Optional[NegativeSampler]:
        """As ``train_neg_sample_args`` says; None when it asks for no negatives."""
        settings = config["train_neg_sample_args"]
        if settings["distribution"] == "none":
            return None
        if settings["dynamic"]:
            raise ConfigError(
                "train_neg_sample_args: dynamic: true is not offered; expected false (uniform or popularity)"
            )
        power = float(settings["alpha"]) if settings["distribution"] == "popularity" else None
        return cls(rows, int(settings["sample_num"]), power)

    def draw(self, user_ix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Int64 [n] item indices, none of them in the training rows of ``user_ix[i]`` (int64 [n])."""
        items = self._propose(len(user_ix), rng)
        pending = np.flatnonzero(which_are_seen(self._seen, user_ix, items))
        for _ in range(_REDRAWS):
            if len(pending) == 0:
                break
            items[pending] = self._propose(len(pending), rng)
            pending = pending[which_are_seen(self._seen, user_ix[pending], items[pending])]
        return items

    def _propose(self, n: int, rng: np.random.Generator) -> np.ndarray:
        if self._cumulative is None:
            return rng.integers(1, self._n_items, n)
        return np.searchsorted(self._cumulative, rng.random(n), side="right")


class NoBatches:
    """For models whose scheme draws the training rows itself."""

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        return iter(())


class IdBatches:
    """Batches of the users (or movies) that have training rows, for models that learn from whole rows or columns.

    Args:
        field: RecBole's name of the id.
        index: int64 [n], the users or movies of the training rows.
        batch_size: ids a batch.
        least_steps: batches of an epoch at least; where the ids are too few for them, a batch holds fewer.
    """

    def __init__(self, field: str, index: np.ndarray, batch_size: int, least_steps: int = 1) -> None:
        self._field = field
        self._index = np.unique(index)
        self._batch_size = min(batch_size, max(1, len(self._index) // least_steps))

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        index = rng.permutation(self._index)
        for start in range(0, len(index), self._batch_size):
            yield Interaction({self._field: torch.from_numpy(index[start : start + self._batch_size])})


class InteractionBatches:
    """Batches of training rows with sampled negatives, pairwise or pointwise as the model's input type says.

    With ``rows_per_epoch`` above 0 an epoch is that many rows, drawn anew each time: at five million rows
    a slow model would otherwise not finish its first epoch within a budget.
    """

    def __init__(self, rows: Interactions, config: ModelConfig, sampler: Optional[NegativeSampler]) -> None:
        self._rows = rows
        self._rows_per_epoch = config["rows_per_epoch"] or len(rows)
        self._layout = NegativeLayout(config, sampler)

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        order = rng.permutation(len(self._rows))[: self._rows_per_epoch]
        size = self._layout.positives_a_batch
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            columns = {USER_FIELD: self._rows.user_ix[rows], ITEM_FIELD: self._rows.item_ix[rows]}
            yield self._layout.add_negatives(columns, rng)


class WithMovies:
    """Batches with the movies' columns joined, as RecBole's dataset joins them for context-aware models."""

    def __init__(self, batches: Batches, items: Interaction) -> None:
        self._batches = batches
        self._items = items

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        for batch in self._batches.epoch(rng):
            item_ix = batch[ITEM_FIELD]
            batch.update(Interaction({field: values[item_ix] for field, values in self._items.interaction.items()}))
            yield batch


class SequenceBatches:
    """Batches of (prefix of a history, next movie), built as they are needed.

    RecBole writes out every prefix of every history, padded, before training starts: 5 million rows
    of 50. Here an epoch draws ``prefixes_per_user`` targets a user (0: every one) and pads them batch
    by batch.
    """

    def __init__(self, dataset: SequenceDataset, config: ModelConfig, sampler: Optional[NegativeSampler]) -> None:
        self._dataset = dataset
        self._prefixes = Prefixes(dataset.interactions, config["MAX_ITEM_LIST_LENGTH"])
        self._per_user = config["prefixes_per_user"]
        self._sampler = sampler
        self._negative_history = config["negative_history"]
        self._layout = NegativeLayout(config, sampler)

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        targets = self._prefixes.draw_targets(self._per_user, rng)
        size = self._layout.positives_a_batch
        for start in range(0, len(targets), size):
            columns = self._prefixes.columns(targets[start : start + size])
            if self._negative_history:
                columns.update(negative_history(columns, self._sampler, rng))
            yield self._dataset.transform(self._dataset, self._layout.add_negatives(columns, rng))


class NegativeLayout:
    """How positives and negatives share a batch: RecBole's pairwise and pointwise forms.

    Pairwise: every positive is repeated ``sample_num`` times beside a ``neg_item_id``. Pointwise:
    positives labelled 1, then ``sample_num`` rows a positive labelled 0. As in RecBole,
    ``train_batch_size`` counts the rows that result.
    """

    def __init__(self, config: ModelConfig, sampler: Optional[NegativeSampler]) -> None:
        self._sampler = sampler
        self._pairwise = config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE
        self._negative_field = config["NEG_PREFIX"] + ITEM_FIELD
        if self._pairwise and sampler is None:
            raise ConfigError(
                f"{config['model']} compares a positive with a negative; found train_neg_sample_args: null, "
                "expected {distribution: uniform, sample_num: 1}"
            )
        times = 1 if sampler is None else sampler.sample_num + (0 if self._pairwise else 1)
        self.positives_a_batch = max(1, int(config["train_batch_size"]) // times)

    def add_negatives(self, columns: dict[str, np.ndarray], rng: np.random.Generator) -> Interaction:
        """Columns of positives (each [n, ...]) as a RecBole Interaction with negatives where the model wants them."""
        if self._sampler is None:
            return _as_interaction(columns)
        copies = self._sampler.sample_num
        negatives = self._sampler.draw(np.tile(columns[USER_FIELD], copies), rng)
        if self._pairwise:
            repeated = {field: _tile_rows(values, copies) for field, values in columns.items()}
            return _as_interaction({**repeated, self._negative_field: negatives})
        stacked = {field: _tile_rows(values, copies + 1) for field, values in columns.items()}
        n_positives = len(columns[ITEM_FIELD])
        stacked[ITEM_FIELD][n_positives:] = negatives
        labels = np.zeros(len(stacked[ITEM_FIELD]), dtype=np.float32)
        labels[:n_positives] = 1.0
        return _as_interaction({**stacked, LABEL_FIELD: labels})


def _tile_rows(values: np.ndarray, copies: int) -> np.ndarray:
    return np.tile(values, (copies,) + (1,) * (values.ndim - 1))


def _as_interaction(columns: dict[str, np.ndarray]) -> Interaction:
    return Interaction({field: torch.from_numpy(values) for field, values in columns.items()})
