"""The number that every decision before the test rests on: Recall@10 on the validation rows."""

from __future__ import annotations

from typing import Callable, Optional, Protocol

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.ranking.top_k import Candidates, TopK
from movierec_bench.schema import USER, K


class Ranks(Protocol):
    """What can be validated: `recbole_backend.scorer.Ranker`, which is built on stages that come after this one."""

    def rank(self, history: Interactions, user_ix: np.ndarray, k: int, allowed: Optional[Candidates] = None) -> TopK:
        """The ``k`` best movies of each user that can be ranked, none of them in the history."""


Validate = Callable[[Ranks], float]  # a model that has seen the training rows -> Recall@10


def validator(
    valid: pd.DataFrame, seen: Interactions, data: AtomicData, allowed: Optional[Candidates] = None
) -> Validate:
    """A function from a model to its Recall@10 on the validation rows. A user it cannot rank scores 0.

    Early stopping follows it, and so does the search for parameters.

    Args:
        valid: the validation rows: user, item, time.
        seen: the rows the model reads, which are masked: those it is trained on, and those shown of users held out
            whole.
        data: the data set, for its vocabulary.
        allowed: the run's filter of candidates, so that a model is chosen by what it is later measured by.

    Raises:
        DataError: a validation row's user or movie is not in the data set.
    """
    held = Interactions.from_rows(valid, data.vocabulary).csr
    users = np.unique(data.vocabulary.user_ix(valid[USER].to_numpy()))

    def validate(model: Ranks) -> float:
        best = model.rank(seen, users, K, allowed)
        return recall_at_k(best.item_ix, best.user_ix, held, K)

    return validate
