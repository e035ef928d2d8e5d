"""Weights of a user's rows by how recent they are, for models that score from a matrix of histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_backend.stored_state import Storable

FLOOR, ROWS, GRID = "recency_floor", "recency_rows", "recency_grid"  # names of the parameters


@dataclass(frozen=True)
class Recency(Storable):
    """A row of age a, counted in the user's rows from the newest (0), weighs ``floor + (1 - floor) exp(-a / rows)``.

    Args:
        floor: what the oldest rows weigh, 0 to 1; 1 weighs all rows alike.
        rows: how many rows it takes until what is above the floor has fallen to 1 / e, > 0.
    """

    floor: float
    rows: float

    @property
    def is_off(self) -> bool:
        """Whether all rows weigh alike."""
        return self.floor == 1

    def weights(self, ages: np.ndarray) -> np.ndarray:
        """Float32 weights of ages, integers of any shape."""
        table = self.floor + (1 - self.floor) * np.exp(-np.arange(ages.max(initial=0) + 1) / self.rows)
        weights: np.ndarray = table.astype(np.float32)[ages]
        return weights


OFF = Recency(1.0, 1.0)


class RecencyWeighted:
    """A model that can weigh the rows it scores from. Mixed in before a model that takes ``set_history``.

    Training never sees the weights. A model whose YAML lacks the parameters weighs all rows alike.

    Attributes:
        recency: the weights in force.
        recency_grid: others that `training.trainer.fit` tries on the validation rows.
    """

    recency: Recency = OFF
    recency_grid: tuple[Recency, ...] = ()
    interactions: Interactions
    _aged: Optional[Interactions] = None  # the rows that the two below are of
    _ages: Optional[csr_matrix] = None  # int32 [n_users, n_items]: 1 + the age of each row of the history
    _weighted: Optional[csr_matrix] = None

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)  # type: ignore[call-arg]  # the model's own, at run time
        if config[FLOOR] is not None:
            self.recency = Recency(config[FLOOR], config[ROWS])
            self.recency_grid = _grid(config)

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from."""
        super().set_history(rows)  # type: ignore[misc]  # the model's own, at run time
        if rows is not self._aged:
            self._ages = self._weighted = None
        self.interactions = rows

    def weigh(self, recency: Recency) -> None:
        """Score from histories weighted like this from now on."""
        self.recency, self._weighted = recency, None

    @property
    def weighted_history(self) -> csr_matrix:
        """The history to score from: float32 csr [n_users, n_items], each row at its weight; of 0 and 1 when off."""
        if self.recency.is_off:
            return self.interactions.csr
        if self._weighted is None:
            ages = self._ages_of_history()
            weights = self.recency.weights(ages.data - 1)
            self._weighted = csr_matrix((weights, ages.indices, ages.indptr), shape=ages.shape)
        return self._weighted

    def _ages_of_history(self) -> csr_matrix:
        if self._ages is None:
            self._aged = rows = self.interactions
            ages = (rows.indptr[rows.user_ix + 1] - np.arange(len(rows))).astype(np.int32)
            self._ages = csr_matrix(
                (ages, rows.item_ix.astype(np.int32), rows.indptr.astype(np.int32)), shape=(rows.n_users, rows.n_items)
            )
            self._ages.sort_indices()  # as the matrix of the history
        return self._ages


def _grid(config: ModelConfig) -> tuple[Recency, ...]:
    grid = tuple(Recency(floor, rows) for floor, rows in config[GRID] or ())
    for tried in grid:
        if not (tried.floor <= 1 and tried.rows > 0):
            raise ConfigError(
                f"{config['model']}: {GRID} holds {[tried.floor, tried.rows]}; expected pairs of a floor from 0 to 1 "
                "and rows > 0; change it in the model's YAML"
            )
    return grid
