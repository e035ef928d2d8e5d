"""PrefixEASE: EASE that learns from every prefix of every log, in which recent rows weigh more."""

from __future__ import annotations

import numba
import numpy as np

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.gram_matrix import foretelling_weights
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_backend.recency import Recency


class PrefixEASE(LinearModel):
    """Item weights B with zero diagonal that foretell a prefix's movies, and the one that follows it, from the prefix.

    EASE learns from whole histories in which all rows weigh alike, and may then be asked to score histories whose
    recent rows weigh more. This model learns from such histories. Of a user's n rows, the prefix of the first r
    (1 <= r <= n) has row j, of age r - 1 - j, at ``s_rj = f + (1 - f) exp(-age / t)``, with f ``prefix_floor`` and t
    ``prefix_rows``. B minimises

        sum_u 1 / n_u sum_r (|p_r - s_r B|^2 - 2 next_weight s_r B e_r) + reg_weight |B|^2,

    where s_r and p_r are the prefix with these weights and as 0 and 1, and e_r the movie that follows it, if one does.
    (The linear term makes the following movie's target ``next_weight`` without a second squared term.)

    With ``A = sum_u 1 / n_u sum_r s_r.T s_r``, ``C = sum_u 1 / n_u sum_r s_r.T (p_r + next_weight e_r)`` and
    ``P = (A + reg_weight I) ** -1``: ``B = P C - P diag(g)``, g so that B's diagonal is 0. The sums over r are
    geometric series, so a pair of a user's rows costs the same as in the Gram matrix of EASE.

    Source:
        ours; after Steck, WWW 2019 (the constraint and its solution), and Choi et al., "Session-aware Linear Item-Item
        Models for Session-based Recommendation", WWW 2021 (weights that decay, parts of a log as examples).
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.prefix_recency = Recency(config["prefix_floor"], config["prefix_rows"])
        self.next_weight = config["next_weight"]
        self.reg_weight = config["reg_weight"]

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: B."""
        inputs, targets = prefix_products(self.interactions, self.prefix_recency, self.next_weight)
        return foretelling_weights(inputs, targets, self.reg_weight)


def prefix_products(rows: Interactions, recency: Recency, next_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """What stands together in the prefixes of all logs, and what they foretell.

    Args:
        rows: histories in the order of the log.
        recency: the weights of a prefix's rows.
        next_weight: target of the movie that follows a prefix; those of the prefix have 1.

    Returns:
        A and C of `PrefixEASE`, float32 [n_items, n_items] each.
    """
    longest = int(np.diff(rows.indptr).max(initial=0))
    decay = np.exp(-np.arange(longest + 1) / recency.rows)
    # Of a row that a prefix ends with: the sums of its decay, and of its square, over that and the following prefixes.
    series = np.concatenate([[0], np.cumsum(decay)]), np.concatenate([[0], np.cumsum(decay**2)])
    by_item = np.argsort(rows.item_ix, kind="stable")
    item_start = np.searchsorted(rows.item_ix[by_item], np.arange(rows.n_items + 1))
    shape = (rows.n_items, rows.n_items)
    inputs, targets = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    with numba.parallel_chunksize(16):  # popular movies take longest and are not spread evenly
        log = (rows.indptr, rows.user_ix, rows.item_ix, item_start, by_item)
        _sum_prefixes(*log, decay, *series, recency.floor, next_weight, inputs, targets)
    return inputs, targets


@numba.njit(cache=True, parallel=True)
def _sum_prefixes(
    start: np.ndarray,
    user_ix: np.ndarray,
    items: np.ndarray,
    item_start: np.ndarray,
    item_rows: np.ndarray,
    decay: np.ndarray,
    decay_sums: np.ndarray,
    square_sums: np.ndarray,
    floor: float,
    next_weight: float,
    inputs: np.ndarray,
    targets: np.ndarray,
) -> None:
    """Fill both [n_items, n_items], a row of both at a time."""
    above = 1 - floor
    for item in numba.prange(len(inputs)):
        together, foretold = np.zeros(len(inputs)), np.zeros(len(inputs))
        for row in item_rows[item_start[item] : item_start[item + 1]]:
            first, end = start[user_ix[row]], start[user_ix[row] + 1]
            share = 1 / (end - first)
            m = end - row  # prefixes that hold the row
            weights = floor * m + above * decay_sums[m]  # of this row, summed over them
            for earlier in range(first, row + 1):
                apart = decay[row - earlier]
                both = floor * (floor * m + above * (1 + apart) * decay_sums[m]) + above**2 * apart * square_sums[m]
                together[items[earlier]] += share * both
                foretold[items[earlier]] += share * weights
            for later in range(row + 1, end):
                apart, m = decay[later - row], end - later
                both = floor * (floor * m + above * (1 + apart) * decay_sums[m]) + above**2 * apart * square_sums[m]
                following = next_weight * (floor + above * decay[later - row - 1])
                together[items[later]] += share * both
                foretold[items[later]] += share * (floor * m + above * apart * decay_sums[m] + following)
        inputs[item], targets[item] = together, foretold
