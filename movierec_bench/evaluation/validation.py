"""The number that every decision before the test rests on: Recall@10 on the validation rows."""

from __future__ import annotations

from typing import Callable

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.ranking.top_k import ScoreBlock, top_k
from movierec_bench.schema import USER, K

Validate = Callable[[ScoreBlock], float]  # scores of a model that has seen the training rows -> Recall@10


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

    def validate(score_block: ScoreBlock) -> float:
        best = top_k(score_block, users, train.csr, K)
        return recall_at_k(best.item_ix, best.user_ix, held, K)

    return validate
