"""Names, id types, errors and small records that every stage shares.

This module imports nothing of ours. Column names are written here once; every other module
refers to these constants.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Union

import numpy as np
import pandas as pd

PathLike = Union[str, "os.PathLike[str]"]

# -- columns of every table of ours (the competition's id space) ------------------------------
USER = "user"
ITEM = "item"
TIME = "time"
RANK = "rank"
SCORE = "score"
TITLE = "title"
YEAR = "year"
DECADE = "decade"
GENRE = "genre"
DIRECTOR = "director"
WRITER = "writer"
HEAD, RELATION, TAIL = "head", "relation", "tail"

INTERACTION_COLUMNS = (USER, ITEM, TIME)
TOPK_COLUMNS = (USER, ITEM, RANK, SCORE)
ITEM_FEATURES = (GENRE, DIRECTOR, WRITER)  # the many-valued features of a movie

# -- RecBole's field names in the atomic files ------------------------------------------------
USER_FIELD = "user_id"
ITEM_FIELD = "item_id"
TIME_FIELD = "timestamp"
LABEL_FIELD = "label"
HEAD_FIELD, RELATION_FIELD, TAIL_FIELD, ENTITY_FIELD = "head_id", "relation_id", "tail_id", "entity_id"

# -- the board --------------------------------------------------------------------------------
K = 10  # movies a user is given
STORED_K = 100  # movies a user is kept in topk_*.parquet, for mixes
METRICS = (
    "recall@10",
    "recall_plain@10",
    "ndcg@10",
    "mrr@10",
    "map@10",
    "precision@10",
    "hit@10",
)
MAIN_METRIC = METRICS[0]
COVERAGE = "coverage@10"
BOARD_COLUMNS = (
    "place",
    "model",
    "family",
    "source",
    "status",
    "recall@10",
    "ci_low",
    "ci_high",
    "recall_plain@10",
    "ndcg@10",
    "mrr@10",
    "map@10",
    "precision@10",
    "hit@10",
    "coverage@10",
    "users",
    "missing_users",
    "fit_seconds",
    "rank_seconds",
    "refit_seconds",
    "peak_rss_mb",
    "epochs",
    "error",
)

FAMILIES = ("rule", "general", "sequential", "context", "knowledge", "tree")


class BenchError(Exception):
    """Anything this library refuses; its message says what was found, expected, where, and the next step."""


class DataError(BenchError):
    """The input data are not what the competition's format promises."""


class ConfigError(BenchError):
    """A setting, flag, YAML key or model name is not one we know."""


class ModelError(BenchError):
    """A model cannot be trained or cannot rank."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its number from 1, mean training loss a step, validation Recall@10 (NaN: not validated), seconds."""

    epoch: int
    train_loss: float
    valid_recall: float
    seconds: float


@dataclass(frozen=True)
class Vocabulary:
    """The one crossing between the competition's ids and RecBole's integers.

    ``user_ix`` and ``item_ix`` count from 1 in ascending order of the competition's id, and 0 is
    padding; ascending ``item_ix`` is therefore ascending movie id, which is how ties are broken.

    Args:
        users: int64 [n_users], every user of the ratings file, ascending.
        items: int64 [n_items], every movie of the item file, ascending.
    """

    users: np.ndarray
    items: np.ndarray

    @property
    def n_user_ix(self) -> int:
        """Number of user indices, padding included."""
        return len(self.users) + 1

    @property
    def n_item_ix(self) -> int:
        """Number of item indices, padding included."""
        return len(self.items) + 1

    def user_ix(self, users: np.ndarray) -> np.ndarray:
        """Int64 indices of ``users`` (competition ids, any shape). Raises DataError for an unknown id."""
        return _positions(self.users, users, USER)

    def item_ix(self, items: np.ndarray) -> np.ndarray:
        """Int64 indices of ``items`` (competition ids, any shape). Raises DataError for an unknown id."""
        return _positions(self.items, items, ITEM)

    def user_ids(self, user_ix: np.ndarray) -> np.ndarray:
        """Competition ids of ``user_ix`` (1-based, any shape)."""
        return self.users[np.asarray(user_ix) - 1]

    def item_ids(self, item_ix: np.ndarray) -> np.ndarray:
        """Competition ids of ``item_ix`` (1-based, any shape)."""
        return self.items[np.asarray(item_ix) - 1]


def _positions(known: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    wanted = np.asarray(wanted)
    # A hash table of this size stays in the cache: a quarter of the time of a binary search.
    positions = pd.Index(known).get_indexer(wanted.ravel()).reshape(wanted.shape)
    unknown = positions < 0
    if unknown.any():
        first = wanted[unknown].ravel()[0]
        raise DataError(
            f"{what} {first} is not in the data set ({int(unknown.sum())} such ids); "
            f"expected one of its {len(known)} {what}s; check that both files come from the same data"
        )
    return positions + 1
