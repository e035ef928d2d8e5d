"""The number that every decision before the test rests on: Recall@10 on the validation rows."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.ranking.top_k import ScoreBlock, top_k
from movierec_bench.schema import USER, K
from movierec_bench.settings.catalog import KNOWN_USERS, ModelEntry

Validate = Callable[[ScoreBlock], float]  # scores of a model that has seen the training rows -> Recall@10


def able_to_rank(entry: ModelEntry, fitted: Interactions, seen: Interactions) -> np.ndarray:
    """Bool [n_users], padding included: the users a model has anything to rank by; the others are missing users.

    A model that learns its users ranks those it was fitted on; one that reads a history, those who have one.

    Args:
        entry: the model.
        fitted: the rows it was fitted on.
        seen: the rows it reads when it ranks.
    """
    able = np.ones(seen.n_users, dtype=bool)
    if KNOWN_USERS in entry.requires:
        able &= np.diff(fitted.indptr) > 0
    if entry.history != "none":
        able &= np.diff(seen.indptr) > 0
    return able


def validator(valid: pd.DataFrame, seen: Interactions, data: AtomicData, able: Optional[np.ndarray] = None) -> Validate:
    """A function from a model's scores to its Recall@10, with the seen rows masked.

    Early stopping follows it, and so does the search for parameters.

    Args:
        valid: the validation rows: user, item, time.
        seen: the rows the model reads: those it is trained on, and those shown of users held out whole.
        data: the data set, for its vocabulary.
        able: bool [n_users], from `able_to_rank`: the others score 0. None: everybody is ranked.

    Raises:
        DataError: a validation row's user or movie is not in the data set.
    """
    held = Interactions.from_rows(valid, data.vocabulary).csr
    users = np.unique(data.vocabulary.user_ix(valid[USER].to_numpy()))
    if able is not None:
        users = users[able[users]]

    def validate(score_block: ScoreBlock) -> float:
        best = top_k(score_block, users, seen.csr, K)
        return recall_at_k(best.item_ix, best.user_ix, held, K)

    return validate
