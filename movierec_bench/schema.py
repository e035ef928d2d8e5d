"""Names of columns, metrics and families, and small records that every stage shares.

This module imports nothing of ours. Column names are written here once; every other module refers to these constants.

Words, everywhere in this library: a *row* is one interaction, a user and an item with its time; the rows of a table or
of a matrix are called so only where the table or the matrix is named. A *history* is a user's rows as a model reads
them. A *movie* is an item. A *trial* is one configuration that `tune` tries.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Union

PathLike = Union[str, os.PathLike[str]]

# -- columns of every table of ours (the data's own ids) --------------------------------------
USER = "user"
ITEM = "item"
TIME = "time"
RATING = "rating"
RANK = "rank"
SCORE = "score"
TITLE = "title"
YEAR = "year"
DECADE = "decade"
GENRE = "genre"
DIRECTOR = "director"
WRITER = "writer"
HEAD, RELATION, TAIL = "head", "relation", "tail"

# What the times of a data set are: seconds since 1970; places in each user's log; or unknown, and 0 everywhere.
DATES, POSITIONS, NO_TIMES = "dates", "positions", "none"

INTERACTION_COLUMNS = (USER, ITEM, TIME)
TOPK_COLUMNS = (USER, ITEM, RANK, SCORE)
ITEM_FEATURES = (GENRE, DIRECTOR, WRITER)  # the many-valued features of a movie

# -- RecBole's field names in the atomic files ------------------------------------------------
USER_FIELD = "user_id"
ITEM_FIELD = "item_id"
TIME_FIELD = "timestamp"
LABEL_FIELD = "label"
HEAD_FIELD, RELATION_FIELD, TAIL_FIELD, ENTITY_FIELD = "head_id", "relation_id", "tail_id", "entity_id"

# Raised by one with every line "[scores]" of the CHANGELOG that is not about `ensemble`: results of an earlier version
# are redone, as they would not be the same today.
SCORES_VERSION = 19

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
MAIN_METRIC, NDCG = METRICS[0], METRICS[2]
COVERAGE = "coverage@10"
PLACE, MODEL, FAMILY, SOURCE, STATUS = "place", "model", "family", "source", "status"
CI_LOW, CI_HIGH = "ci_low", "ci_high"  # 95 % interval of MAIN_METRIC
USERS, MISSING_USERS = "users", "missing_users"
FIT_SECONDS, RANK_SECONDS, REFIT_SECONDS = "fit_seconds", "rank_seconds", "refit_seconds"
PEAK_RSS, EPOCHS, ERROR = "peak_rss_mb", "epochs", "error"
BOARD_COLUMNS = (
    *(PLACE, MODEL, FAMILY, SOURCE, STATUS),
    *(MAIN_METRIC, CI_LOW, CI_HIGH, *METRICS[1:], COVERAGE),
    *(USERS, MISSING_USERS, FIT_SECONDS, RANK_SECONDS, REFIT_SECONDS, PEAK_RSS, EPOCHS, ERROR),
)

FAMILIES = ("rule", "general", "sequential", "context", "knowledge", "tree")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its number from 1, mean training loss a step, validation Recall@10 (NaN: not validated), seconds."""

    epoch: int
    train_loss: float
    valid_recall: float
    seconds: float
