"""SLIM: sparse item weights, an elastic net a movie, by coordinate descent on the Gram matrix."""

from __future__ import annotations

import logging

import numba
import numpy as np

from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # the largest change of a weight in a sweep over all movies that counts as none
_MOST_SWEEPS = 200  # over all movies; five to ten are usual


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

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: W."""
        return slim_weights(item_gram(self.history), self.lambda1, self.lambda2, self.positive_only)


def slim_weights(gram: np.ndarray, lambda1: float, lambda2: float, positive_only: bool) -> np.ndarray:
    """The W of `FastSLIM` from a Gram matrix.

    Args:
        gram: float32 [n, n], symmetric, positive semi-definite; left as it is.
        lambda1: L1 penalty on a weight, >= 0.
        lambda2: L2 penalty on a weight, > 0.
        positive_only: no negative weights.

    Returns:
        Float32 [n, n] with zero diagonal.
    """
    by_target = np.zeros_like(gram)
    converged = np.zeros(len(gram), dtype=np.bool_)
    with numba.parallel_chunksize(16):  # popular movies take longest and are not spread evenly
        _descend(gram, np.float32(lambda1), np.float32(lambda2), positive_only, by_target, converged)
    if not converged.all():
        logger.warning(
            "SLIM: the weights of %d movies still moved by %g after %d sweeps; larger penalties settle sooner",
            (~converged).sum(),
            _TOLERANCE,
            _MOST_SWEEPS,
        )
    return np.ascontiguousarray(by_target.T)


@numba.njit(cache=True, parallel=True)
def _descend(
    gram: np.ndarray,
    lambda1: np.float32,
    lambda2: np.float32,
    positive_only: bool,
    by_target: np.ndarray,
    converged: np.ndarray,
) -> None:
    """Fill ``by_target`` [n, n], which comes in as zeros: row i holds the weights that predict i."""
    everything = np.arange(len(gram))
    for target in numba.prange(len(gram)):
        weights = by_target[target]
        residual = gram[target].copy()  # g_i - G w, kept up to date
        for _ in range(_MOST_SWEEPS):
            if _sweep(gram, target, everything, lambda1, lambda2, positive_only, weights, residual) < _TOLERANCE:
                converged[target] = True
                break
            # Few weights are not 0, and they do most of the moving.
            active = np.flatnonzero(weights)
            for _ in range(_MOST_SWEEPS):
                if _sweep(gram, target, active, lambda1, lambda2, positive_only, weights, residual) < _TOLERANCE:
                    break


@numba.njit(cache=True)
def _sweep(
    gram: np.ndarray,
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
        pull = residual[item] + gram[item, item] * weights[item]
        if pull > lambda1:
            best = (pull - lambda1) / (gram[item, item] + lambda2)
        elif pull < -lambda1 and not positive_only:
            best = (pull + lambda1) / (gram[item, item] + lambda2)
        else:
            best = np.float32(0)
        change = best - weights[item]
        if change != 0:
            row = gram[item]
            for other in range(len(residual)):
                residual[other] -= change * row[other]
            weights[item] = best
            largest = max(largest, abs(change))
    return largest
