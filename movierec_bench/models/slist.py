"""SLIST: which movies go together, and which follow one another, in one linear model with a closed form."""

from __future__ import annotations

import numba
import numpy as np

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.gram_matrix import foretelling_weights, item_gram
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class SLIST(LinearModel):
    """Item weights B with zero diagonal that foretell both a user's movies and the movie that comes next.

    They minimise

        (1 - transitions) |X - X B|^2 + transitions |T - S B|^2 + reg_weight |B|^2,

    where X is the 0/1 matrix of histories, and S and T have a row for every row of the log but each user's first: S the
    ``window`` rows before it, at ``exp(-age / decay)`` with the age counted in rows from 0, and T the movie itself.

    With ``A = (1 - transitions) X.T X + transitions S.T S`` and C the same of ``X.T X`` and ``S.T T``, and
    ``P = (A + reg_weight I) ** -1``: ``B = P C - P diag(g)``, g so that B's diagonal is 0. Without transitions it is
    EASE, with nothing else SLIT.

    Source:
        Choi et al., "Session-aware Linear Item-Item Models for Session-based Recommendation", WWW 2021.
        Ours: one target a row, the next movie, where the paper weighs all that follow; whole logs for sessions; the
        diagonal as in EASE.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.transitions = config["transitions"]
        self.window = config["window"]
        self.decay = config["decay"]
        self.reg_weight = config["reg_weight"]

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: B."""
        together = item_gram(self.history) * np.float32(1 - self.transitions)
        sources, follows = transition_counts(self.interactions, self.window, self.decay)
        sources *= np.float32(self.transitions)
        follows *= np.float32(self.transitions)
        sources += together
        follows += together
        del together
        return foretelling_weights(sources, follows, self.reg_weight)


def transition_counts(rows: Interactions, window: int, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """What stands together before a row, and what it is followed by.

    Args:
        rows: histories in the order of the log.
        window: rows before a row that count.
        decay: rows until a row's weight has fallen to 1 / e, > 0.

    Returns:
        ``S.T S`` and ``S.T T`` of `SLIST`, float32 [n_items, n_items] each.
    """
    weights = np.exp(-np.arange(window) / decay).astype(np.float32)
    shape = (rows.n_items, rows.n_items)
    sources, follows = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    _count(rows.indptr, rows.item_ix, weights, sources, follows)
    return sources, follows


@numba.njit(cache=True)
def _count(start: np.ndarray, items: np.ndarray, weights: np.ndarray, sources: np.ndarray, follows: np.ndarray) -> None:
    """Fills both, which come in as zeros."""
    for user in range(len(start) - 1):
        for row in range(start[user] + 1, start[user + 1]):
            first = max(start[user], row - len(weights))
            for one in range(first, row):
                weight = weights[row - 1 - one]
                follows[items[one], items[row]] += weight
                for other in range(first, row):
                    sources[items[one], items[other]] += weight * weights[row - 1 - other]
