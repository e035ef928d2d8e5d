"""The interaction graph as a sparse matrix that RecBole's graph models multiply with at full speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix, diags

_EPSILON = 1e-7  # RecBole's, added to every degree


class SparseMatrix:
    """A constant sparse matrix that ``torch.sparse.mm(matrix, dense)`` takes in the place of a sparse tensor.

    RecBole keeps its graphs in coordinates, which torch multiplies on one core, and transposes for every
    gradient. Here both the matrix and its transpose are kept in compressed rows: at the size of ml-100k a
    product with its gradient takes a seventh of the time.

    Args:
        matrix: float32 csr [n, m].
        symmetric: whether it is its own transpose.
    """

    def __init__(self, matrix: csr_matrix, symmetric: bool = False) -> None:
        self.shape = matrix.shape
        self.rows = _compressed(matrix)
        self.columns = self.rows if symmetric else _compressed(matrix.T.tocsr())

    def to(self, device: Any) -> SparseMatrix:
        """Itself, moved to a device."""
        moved = object.__new__(SparseMatrix)
        moved.shape = self.shape
        moved.rows = self.rows.to(device)
        moved.columns = moved.rows if self.columns is self.rows else self.columns.to(device)
        return moved

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        """Torch asks the first argument with this method what its functions do with it."""
        if func is torch.sparse.mm and isinstance(args[0], cls):
            return _Product.apply(*args)
        return NotImplemented


class _Product(torch.autograd.Function):
    """Sparse times dense; the gradient is the transpose times the gradient."""

    @staticmethod
    def forward(ctx: Any, matrix: SparseMatrix, dense: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return matrix.rows @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:  # type: ignore[override]
        return None, ctx.matrix.columns @ gradient.contiguous()


class FastGraph:
    """RecBole graph models' normalised adjacency, from arrays. Mixed in before the RecBole class.

    RecBole fills a dictionary with every edge first, ten million at the competition's size.
    """

    interaction_matrix: Any
    device: torch.device

    def get_norm_adj_mat(self) -> SparseMatrix:
        """``D ** -1/2 A D ** -1/2`` of users and movies, as `SparseMatrix`; called by RecBole's constructors."""
        return SparseMatrix(normalized_adjacency(self.interaction_matrix), symmetric=True)


def normalized_adjacency(interactions: Any) -> csr_matrix:
    """``D ** -1/2 A D ** -1/2`` of the graph of users and movies.

    Args:
        interactions: scipy matrix [n_users, n_items] of 0 and 1.

    Returns:
        Float32 csr [n_users + n_items, n_users + n_items], symmetric.
    """
    adjacency = _bipartite(interactions)
    scale = diags((_degrees(adjacency) + _EPSILON) ** -0.5)
    return (scale @ adjacency @ scale).astype(np.float32).tocsr()


def random_walk_laplacian(interactions: Any) -> csr_matrix:
    """``I - D ** -1 A`` of the graph of users and movies.

    Args:
        interactions: scipy matrix [n_users, n_items] of 0 and 1.

    Returns:
        Float32 csr [n_users + n_items, n_users + n_items].
    """
    adjacency = _bipartite(interactions)
    walk = diags((_degrees(adjacency) + _EPSILON) ** -1) @ adjacency
    return (diags(np.ones(adjacency.shape[0])) - walk).astype(np.float32).tocsr()


def _bipartite(interactions: Any) -> csr_matrix:
    return bmat([[None, interactions], [interactions.T, None]], format="csr", dtype=np.float64)


def _degrees(adjacency: csr_matrix) -> np.ndarray:
    return np.asarray(adjacency.sum(axis=1)).ravel()


def _compressed(matrix: csr_matrix) -> torch.Tensor:
    """A torch tensor in compressed rows, float32."""
    matrix = matrix.sorted_indices()
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int32)),
        torch.from_numpy(matrix.indices.astype(np.int32)),
        torch.from_numpy(matrix.data.astype(np.float32)),
        size=matrix.shape,
    )
