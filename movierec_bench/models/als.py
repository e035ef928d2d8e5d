"""ALS: implicit matrix factorisation by alternating least squares."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.recbole_backend.model_contract import (
    EmbeddingModel,
    HistoryModel,
    ModelConfig,
    TrainDataset,
    without_bias,
)
from movierec_bench.recbole_backend.recency import RecencyWeighted

_STEPS = 3  # of conjugate gradients in a sweep, from where the last sweep ended; Takacs et al.
_PRECISION = 1e-6  # the residual, of the first one, at which a system counts as solved
_NOTHING = 1e-30  # the square of a residual that is as good as none; one of less would underflow in a division
_FIRST_SIZE = 0.1  # standard deviation of the vectors a fit begins with


class ALS(EmbeddingModel, RecencyWeighted, HistoryModel):
    """Vectors x_u of users and y_i of movies that minimise the weighted squared error of the whole 0/1 matrix.

    That is

        sum_(u, i) c_ui (p_ui - x_u y_i)^2 + reg_weight (sum_u |x_u|^2 + sum_i |y_i|^2),

    where p_ui is 1 and c_ui is 1 + ``alpha`` for a watched movie, 0 and 1 for any other. With the movies' vectors Y
    fixed, a user's vector solves

        (Y.T Y + alpha sum_(i seen) y_i y_i.T + reg_weight I) x_u = (1 + alpha) sum_(i seen) y_i,

    and the other way round. Only the movies' vectors are kept: a user's is solved for when ranking, from the
    history in force, so it knows the newest rows. Where recent rows weigh more, c_ui is then 1 + ``alpha`` times the
    row's weight.

    Source:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, equations
        3 to 5; conjugate gradients as in Takacs et al., "Applications of the conjugate gradient method for
        implicit feedback collaborative filtering", RecSys 2011.
    """

    other_parameter_name = ["item_vectors"]
    item_vectors: np.ndarray  # float32 [n_items, n_factors]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.n_factors = config["n_factors"]
        self.sweeps = config["sweeps"]
        self.alpha = config["alpha"]
        self.reg_weight = config["reg_weight"]
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

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_factors], solved for from the history in force."""
        seen = self.weighted_history[self.user_rows(interaction)]
        users = np.zeros((seen.shape[0], self.n_factors), dtype=np.float32)
        improve(users, seen, self.item_vectors, self.alpha, self.reg_weight, 2 * self.n_factors)
        return torch.from_numpy(users)

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The movies' vectors, without a bias."""
        return without_bias(torch.from_numpy(self.item_vectors))


def improve(
    vectors: np.ndarray, seen: csr_matrix, fixed: np.ndarray, alpha: float, reg_weight: float, most_steps: int
) -> None:
    """Move ``vectors`` (users or movies) towards the solution of their least-squares problems, in place.

    Args:
        vectors: float32 [m, f], where to begin.
        seen: float32 csr [m, n], times ``alpha`` the confidence that an entry adds; 1 for all as a rule.
        fixed: float32 [n, f], the vectors of the other side.
        alpha: confidence that an entry of 1 adds, > 0.
        reg_weight: added to the diagonal, > 0.
        most_steps: conjugate-gradient steps a vector; f of them solve exactly but for rounding.
    """
    shared = fixed.T @ fixed
    np.fill_diagonal(shared, shared.diagonal() + np.float32(reg_weight))
    with numba.parallel_chunksize(64):
        _solve(seen.indptr, seen.indices, seen.data, fixed, shared, np.float32(alpha), most_steps, vectors)


# Sums in any order are what lets the compiler use vector instructions; the order is the same on every call.
@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract"})
def _solve(
    start: np.ndarray,
    items: np.ndarray,
    values: np.ndarray,
    fixed: np.ndarray,
    shared: np.ndarray,
    alpha: np.float32,
    most_steps: int,
    vectors: np.ndarray,
) -> None:
    """Conjugate gradients for every row of ``vectors`` [m, f]."""
    for row in numba.prange(len(vectors)):
        seen, solution = items[start[row] : start[row + 1]], vectors[row]
        value = values[start[row] : start[row + 1]]
        alike = _all_ones(value)
        residual, image = np.zeros_like(solution), np.empty_like(solution)
        if alike:
            _add_seen(seen, fixed, 1 + alpha, -alpha, solution, residual)  # right-hand side and product in one pass
        else:
            _add_weighted(seen, value, fixed, np.float32(1), alpha, -alpha, solution, residual)
        _multiply(shared, solution, image)
        residual -= image
        direction, length = residual.copy(), _dot(residual, residual)
        enough = max(np.float32(_PRECISION**2) * length, np.float32(_NOTHING))
        for _ in range(most_steps):
            if length <= enough:
                break
            _multiply(shared, direction, image)
            if alike:
                _add_seen(seen, fixed, np.float32(0), alpha, direction, image)
            else:
                _add_weighted(seen, value, fixed, np.float32(0), np.float32(0), alpha, direction, image)
            step = length / _dot(direction, image)
            for factor in range(len(solution)):
                solution[factor] += step * direction[factor]
                residual[factor] -= step * image[factor]
            previous, length = length, _dot(residual, residual)
            for factor in range(len(solution)):
                direction[factor] = residual[factor] + length / previous * direction[factor]


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _add_seen(
    seen: np.ndarray, fixed: np.ndarray, constant: np.float32, slope: np.float32, vector: np.ndarray, total: np.ndarray
) -> None:
    """Add ``sum_(i seen) (constant + slope y_i.vector) y_i`` to ``total``; four movies at a time share its reading."""
    by_fours = len(seen) - len(seen) % 4
    for first in range(0, by_fours, 4):
        one, two = fixed[seen[first]], fixed[seen[first + 1]]
        three, four = fixed[seen[first + 2]], fixed[seen[first + 3]]
        dot_one = dot_two = dot_three = dot_four = np.float32(0)
        for factor in range(len(vector)):
            dot_one += one[factor] * vector[factor]
            dot_two += two[factor] * vector[factor]
            dot_three += three[factor] * vector[factor]
            dot_four += four[factor] * vector[factor]
        weight_one, weight_two = constant + slope * dot_one, constant + slope * dot_two
        weight_three, weight_four = constant + slope * dot_three, constant + slope * dot_four
        for factor in range(len(total)):
            total[factor] += (weight_one * one[factor] + weight_two * two[factor]) + (
                weight_three * three[factor] + weight_four * four[factor]
            )
    for item in seen[by_fours:]:
        row = fixed[item]
        weight = constant + slope * _dot(row, vector)
        for factor in range(len(total)):
            total[factor] += weight * row[factor]


@numba.njit(cache=True)
def _all_ones(values: np.ndarray) -> bool:
    for value in values:  # noqa: SIM110  # numba compiles no generator
        if value != 1:
            return False
    return True


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _add_weighted(
    seen: np.ndarray,
    value: np.ndarray,
    fixed: np.ndarray,
    base: np.float32,
    constant: np.float32,
    slope: np.float32,
    vector: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add ``sum_(i seen) (base + value_i (constant + slope y_i.vector)) y_i`` to ``total``."""
    for k in range(len(seen)):
        row = fixed[seen[k]]
        weight = base + value[k] * (constant + slope * _dot(row, vector))
        for factor in range(len(total)):
            total[factor] += weight * row[factor]


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _multiply(matrix: np.ndarray, vector: np.ndarray, product: np.ndarray) -> None:
    """``matrix @ vector``, into ``product``."""
    for factor in range(len(vector)):
        product[factor] = _dot(matrix[factor], vector)


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(one: np.ndarray, other: np.ndarray) -> np.float32:
    total = np.float32(0)
    for factor in range(len(one)):
        total += one[factor] * other[factor]
    return total
