"""The number that every decision before the test rests on: Recall@10 on the validation rows."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pandas as pd

from movierec_bench.atomic import AtomicData
from movierec_bench.ranking import top_k
from movierec_bench.recbole_backend.data import Interactions
from movierec_bench.recbole_backend.trainer import Validate
from movierec_bench.schema import USER, K
from movierec_bench.scoring import recall_at_k


def validator(valid: pd.DataFrame, train: Interactions, data: AtomicData) -> Validate:
    """A function from a model's scores to its Recall@10, with the training rows masked.

    Early stopping follows it, and so does the search for parameters.

    Args:
        valid: the validation rows: user, item, time.
        train: the rows the model is trained on.
        data: the data set, for its vocabulary.

    Raises:
        DataError: a validation row's user or movie is not in the data set.
    """
    held = Interactions.from_rows(valid, data.vocabulary).csr
    users = np.unique(data.vocabulary.user_ix(valid[USER].to_numpy()))

    def validate(score_block: Callable[[np.ndarray], Any]) -> float:
        best = top_k(score_block, users, train.csr, K)
        return recall_at_k(best.item_ix, best.user_ix, held, K)

    return validate
