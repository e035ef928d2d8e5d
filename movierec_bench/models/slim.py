"""SLIM: sparse item weights, an elastic net a movie, by coordinate descent on the Gram matrix."""

from __future__ import annotations

import logging
from typing import Union

import numba
import numpy as np
from scipy.sparse import csr_matrix, vstack

from movierec_bench.models.parts.gram_matrix import GramRows, item_gram
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # the largest change of a weight in a sweep over all movies that counts as none
_MOST_SWEEPS = 200  # over all movies; five to ten are usual
_SPARSE_BELOW = 1 / 8  # share of the Gram matrix's entries that are not 0, below which it is kept sparse
_FLOATS_A_BLOCK = 2**24  # weights in memory at once before those that are 0 are left out: of some movies to all others
_NO_COLUMNS = np.zeros(0, dtype=np.int32)


class FastSLIM(LinearModel):
    """Item weights W with zero diagonal that minimise ``|X - X W|^2 / 2 + lambda2 |W|^2 / 2 + lambda1 |W|_1``.

    The columns of W are problems of their own, and each needs the Gram matrix of X alone: with G = X.T X,
    coordinate descent sets ``w_j = shrink(g_ji - sum_(k != j) g_jk w_k, lambda1) / (g_jj + lambda2)``.

    Source:
        Ning and Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011, equation
        3; covariance updates as in Friedman et al., Journal of Statistical Software 33(1), 2010, section
        2.2. Column by column equal to scikit-learn's ElasticNet, which divides the objective by the number of users.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.lambda1 = config["lambda1"]
        self.lambda2 = config["lambda2"]
        self.positive_only = config["positive_only"]

    def item_weights(self) -> csr_matrix:
        """Float32 csr [n_items, n_items]: W."""
        if GramRows(self.history).density < _SPARSE_BELOW:
            gram = (self.history.T @ self.history).tocsr()
        else:
            gram = item_gram(self.history)
        return slim_weights(gram, self.lambda1, self.lambda2, self.positive_only)


def slim_weights(
    gram: Union[np.ndarray, csr_matrix], lambda1: float, lambda2: float, positive_only: bool
) -> csr_matrix:
    """The W of `FastSLIM` from a Gram matrix, dense or sparse: the same weights either way.

    Args:
        gram: float32 [n, n], symmetric, positive semi-definite; left as it is.
        lambda1: L1 penalty on a weight, >= 0.
        lambda2: L2 penalty on a weight, > 0.
        positive_only: no negative weights.

    Returns:
        Float32 csr [n, n] without a diagonal.
    """
    n_items = gram.shape[0]
    if isinstance(gram, np.ndarray):
        start, columns, values = np.arange(n_items + 1) * n_items, _NO_COLUMNS, gram.ravel()
    else:
        start, columns, values = gram.indptr.astype(np.int64), gram.indices, gram.data
    diagonal = gram.diagonal().astype(np.float32)
    converged = np.zeros(n_items, dtype=np.bool_)
    blocks = []
    targets_a_block = max(1, _FLOATS_A_BLOCK // n_items)
    for first in range(0, n_items, targets_a_block):
        last = min(n_items, first + targets_a_block)
        by_target = np.zeros((last - first, n_items), dtype=np.float32)
        with numba.parallel_chunksize(16):  # popular movies take longest and are not spread evenly
            _descend(
                start,
                columns,
                values,
                diagonal,
                first,
                np.float32(lambda1),
                np.float32(lambda2),
                positive_only,
                by_target,
                converged[first:last],
            )
        blocks.append(csr_matrix(by_target))
    if not converged.all():
        logger.warning(
            "SLIM: the weights of %d movies still moved by %g after %d sweeps; larger penalties settle sooner",
            (~converged).sum(),
            _TOLERANCE,
            _MOST_SWEEPS,
        )
    return vstack(blocks, format="csr").T.tocsr()


@numba.njit(cache=True, parallel=True)
def _descend(
    start: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    diagonal: np.ndarray,
    first: int,
    lambda1: np.float32,
    lambda2: np.float32,
    positive_only: bool,
    by_target: np.ndarray,
    converged: np.ndarray,
) -> None:
    """Fill ``by_target`` [B, n], which comes in as zeros: row b holds the weights that predict movie ``first`` + b.

    Of the Gram matrix ``start`` (int64 [n + 1]) says where each row begins in ``columns`` (int32; none at all where
    every entry is there) and ``values``; ``diagonal`` float32 [n] is its diagonal.
    """
    everything = np.arange(by_target.shape[1])
    for b in numba.prange(len(by_target)):
        weights, target = by_target[b], first + b
        residual = np.zeros(len(weights), dtype=np.float32)  # g_i - G w, kept up to date
        _subtract(start, columns, values, target, np.float32(-1), residual)
        for _ in range(_MOST_SWEEPS):
            moved = _sweep(
                start, columns, values, diagonal, target, everything, lambda1, lambda2, positive_only, weights, residual
            )
            if moved < _TOLERANCE:
                converged[b] = True
                break
            # Few weights are not 0, and they do most of the moving.
            active = np.flatnonzero(weights)
            for _ in range(_MOST_SWEEPS):
                moved = _sweep(
                    start, columns, values, diagonal, target, active, lambda1, lambda2, positive_only, weights, residual
                )
                if moved < _TOLERANCE:
                    break


@numba.njit(cache=True)
def _sweep(
    start: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    diagonal: np.ndarray,
    target: int,
    items: np.ndarray,
    lambda1: np.float32,
    lambda2: np.float32,
    positive_only: bool,
    weights: np.ndarray,
    residual: np.ndarray,
) -> np.float32:
    """Set the weight of each of ``items`` to its best value given the others; the largest change."""
    largest = np.float32(0)
    for item in items:
        if item == target:
            continue
        pull = residual[item] + diagonal[item] * weights[item]
        if pull > lambda1:
            best = (pull - lambda1) / (diagonal[item] + lambda2)
        elif pull < -lambda1 and not positive_only:
            best = (pull + lambda1) / (diagonal[item] + lambda2)
        else:
            best = np.float32(0)
        change = best - weights[item]
        if change != 0:
            _subtract(start, columns, values, item, change, residual)
            weights[item] = best
            largest = max(largest, abs(change))
    return largest


@numba.njit(cache=True)
def _subtract(
    start: np.ndarray, columns: np.ndarray, values: np.ndarray, item: int, factor: np.float32, total: np.ndarray
) -> None:
    """Subtract ``factor`` times a row of the Gram matrix from ``total`` [n]."""
    row = values[start[item] : start[item + 1]]
    if len(columns) == 0:
        for other in range(len(total)):
            total[other] -= factor * row[other]
    else:
        others = columns[start[item] : start[item + 1]]
        for k in range(len(row)):
            total[others[k]] -= factor * row[k]
