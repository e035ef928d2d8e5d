"""ALS: implicit matrix factorisation by alternating least squares."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.models.base import HistoryModel
from movierec_bench.models.parameters import number, whole_number

_STEPS = 3  # of conjugate gradients in a sweep, from where the last sweep ended; Takacs et al.
_PRECISION = 1e-6  # the residual, of the right-hand side, at which a system counts as solved
_FIRST_SIZE = 0.1  # standard deviation of the vectors a fit begins with


class ALS(HistoryModel):
    """Vectors x_u of users and y_i of movies that minimise the weighted squared error of the whole 0/1 matrix,

        sum_(u, i) c_ui (p_ui - x_u y_i)^2 + reg_weight (sum_u |x_u|^2 + sum_i |y_i|^2),

    where p_ui is 1 and c_ui is 1 + ``alpha`` for a watched movie, 0 and 1 for any other. With the movies' vectors Y
    fixed, a user's vector solves

        (Y.T Y + alpha sum_(i seen) y_i y_i.T + reg_weight I) x_u = (1 + alpha) sum_(i seen) y_i,

    and the other way round. Only the movies' vectors are kept: a user's is solved for when ranking, from the
    history in force, so it knows the newest rows.

    Source:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, equations
        3 to 5; conjugate gradients as in Takacs et al., "Applications of the conjugate gradient method for
        implicit feedback collaborative filtering", RecSys 2011.
    """

    other_parameter_name = ["item_vectors"]
    item_vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.n_factors = whole_number(config, "n_factors")
        self.sweeps = whole_number(config, "sweeps")
        self.alpha = number(config, "alpha", above=0)
        self.reg_weight = number(config, "reg_weight", above=0)
        self.seed = config["seed"]

    def fit_closed_form(self) -> None:
        """Learn the movies' vectors from the training rows."""
        watchers = self.history.T.tocsr()
        first = _FIRST_SIZE * np.random.default_rng(self.seed).standard_normal((self.n_items, self.n_factors))
        self.item_vectors = first.astype(np.float32)
        users = np.zeros((self.n_users, self.n_factors), dtype=np.float32)
        for _ in range(self.sweeps):
            improve(users, self.history, self.item_vectors, self.alpha, self.reg_weight, _STEPS)
            improve(self.item_vectors, watchers, users, self.alpha, self.reg_weight, _STEPS)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        seen = self.history[self.user_rows(interaction)]
        users = np.zeros((seen.shape[0], self.n_factors), dtype=np.float32)
        improve(users, seen, self.item_vectors, self.alpha, self.reg_weight, 2 * self.n_factors)
        return torch.from_numpy(users @ self.item_vectors.T)


def improve(
    vectors: np.ndarray, seen: csr_matrix, fixed: np.ndarray, alpha: float, reg_weight: float, most_steps: int
) -> None:
    """Moves ``vectors`` (users or movies) towards the solution of their least-squares problems, in place.

    Args:
        vectors: float32 [m, f], where to begin.
        seen: csr [m, n] of 0 and 1.
        fixed: float32 [n, f], the vectors of the other side.
        alpha: confidence that a 1 adds, > 0.
        reg_weight: added to the diagonal, > 0.
        most_steps: conjugate-gradient steps a row; f of them solve exactly but for rounding.
    """
    shared = fixed.T @ fixed
    np.fill_diagonal(shared, shared.diagonal() + np.float32(reg_weight))
    with numba.parallel_chunksize(64):
        _solve(seen.indptr, seen.indices, fixed, shared, np.float32(alpha), most_steps, vectors)


# Sums in any order are what lets the compiler use vector instructions; the order is the same on every call.
@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract"})
def _solve(
    start: np.ndarray,
    items: np.ndarray,
    fixed: np.ndarray,
    shared: np.ndarray,
    alpha: np.float32,
    most_steps: int,
    vectors: np.ndarray,
) -> None:
    """Conjugate gradients for every row of ``vectors`` [m, f]."""
    for row in numba.prange(len(vectors)):
        seen, solution = items[start[row] : start[row + 1]], vectors[row]
        target = np.zeros_like(solution)
        for item in seen:
            target += (1 + alpha) * fixed[item]
        residual = target - _product(seen, fixed, shared, alpha, solution)
        direction, length = residual.copy(), _dot(residual, residual)
        enough = np.float32(_PRECISION**2) * _dot(target, target)
        for _ in range(most_steps):
            if length <= enough:
                break
            image = _product(seen, fixed, shared, alpha, direction)
            step = length / _dot(direction, image)
            for factor in range(len(solution)):
                solution[factor] += step * direction[factor]
                residual[factor] -= step * image[factor]
            previous, length = length, _dot(residual, residual)
            for factor in range(len(solution)):
                direction[factor] = residual[factor] + length / previous * direction[factor]


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _product(
    seen: np.ndarray, fixed: np.ndarray, shared: np.ndarray, alpha: np.float32, vector: np.ndarray
) -> np.ndarray:
    """Float32 [f]: ``(shared + alpha sum_(i seen) y_i y_i.T) vector``."""
    product = np.zeros_like(vector)
    for factor in range(len(vector)):
        product[factor] = _dot(shared[factor], vector)
    for item in seen:
        row = fixed[item]
        weight = alpha * _dot(row, vector)
        for factor in range(len(vector)):
            product[factor] += weight * row[factor]
    return product


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(one: np.ndarray, other: np.ndarray) -> np.float32:
    total = np.float32(0)
    for factor in range(len(one)):
        total += one[factor] * other[factor]
    return total
