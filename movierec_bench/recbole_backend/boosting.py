"""Training of gradient-boosted trees: an epoch's batches, as one table, grow a few more trees."""

from __future__ import annotations

from typing import Any

import numpy as np

from movierec_bench.recbole_backend.batches import Batches
from movierec_bench.recbole_backend.schemes import Scheme
from movierec_bench.schema import ITEM_FIELD, LABEL_FIELD, USER_FIELD


class BoostingScheme(Scheme):
    """For models with ``grow(user_ix, item_ix, labels)``: the tree libraries want all rows of a round at once."""

    def __init__(self, config: Any, model: Any) -> None:
        self._model = model

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Grow on one epoch's rows; the mean log loss on them."""
        drawn = list(batches.epoch(rng))
        columns = [
            np.concatenate([batch[field].numpy() for batch in drawn]) for field in (USER_FIELD, ITEM_FIELD, LABEL_FIELD)
        ]
        loss: float = self._model.grow(*columns)
        return loss
