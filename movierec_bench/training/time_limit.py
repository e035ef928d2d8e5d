"""An epoch that breaks off when its time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from recbole.data.interaction import Interaction


class LimitedBatches:
    """The batches of a model, of which an epoch gives no more once its time is up.

    Every pass gives one batch at least, so that each part of a model learns something. An epoch that begins when its
    time is up already is given whole: its scheme needs it before the model can rank.

    Args:
        batches: what a scheme's ``epoch`` takes: batches of rows, or of rows and knowledge triples.

    Attributes:
        cut: whether the present epoch was broken off.
    """

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self._end = math.inf
        self.cut = False

    def begin_epoch(self, end: float) -> None:
        """From now on the passes of one epoch are asked for; they end at ``end``, by ``time.perf_counter``."""
        self.cut = False
        self._end = end if time.perf_counter() < end else math.inf

    def epoch(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """A pass over the rows."""
        return self._until_end(self._batches.epoch(rng))

    def interactions(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """A pass over the rows of a model that has triples, too."""
        return self._until_end(self._batches.interactions(rng))

    def triples(self, rng: np.random.Generator) -> Iterator[Interaction]:
        """A pass over the triples."""
        return self._until_end(self._batches.triples(rng))

    def _until_end(self, batches: Iterable[Interaction]) -> Iterator[Interaction]:
        for number, batch in enumerate(batches):
            if number and time.perf_counter() >= self._end:
                self.cut = True
                return
            yield batch
