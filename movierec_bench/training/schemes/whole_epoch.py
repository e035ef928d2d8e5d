"""Training whose step is a whole epoch."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from movierec_bench.schema import ITEM_FIELD, LABEL_FIELD, USER_FIELD
from movierec_bench.training.batches import Batches
from movierec_bench.training.schemes.base import Scheme, check_loss


class DescentScheme(Scheme):
    """For models with ``descend(rng)``: they draw an epoch's rows themselves and step through them in compiled code."""

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step. Raises ModelError when it is not finite."""
        loss: float = self._model.descend(rng)
        check_loss(self._config, loss, "in an epoch")
        return loss

    def state(self) -> Optional[dict[str, Any]]:
        """Nothing: the weights are all there is."""
        return {}


class BoostingScheme(Scheme):
    """For models with ``grow(user_ix, item_ix, labels)``: the tree libraries want all rows of a round at once."""

    def epoch_end(self, training_end: float) -> float:
        """A round of trees on some of its rows would be another model."""
        return math.inf

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Grow on one epoch's rows; the mean log loss on them."""
        drawn = list(batches.epoch(rng))
        columns = [
            np.concatenate([batch[field].numpy() for batch in drawn]) for field in (USER_FIELD, ITEM_FIELD, LABEL_FIELD)
        ]
        loss: float = self._model.grow(*columns)
        return loss

    def state(self) -> Optional[dict[str, Any]]:
        """Nothing: the trees are all there is."""
        return {}
