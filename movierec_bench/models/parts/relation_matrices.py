"""Vectors times the matrix of their triple's relation, a relation at a time."""

from __future__ import annotations

import torch


def times_matrix_of(relation: torch.Tensor, vectors: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Each vector times the matrix of its own relation.

    RecBole looks up one matrix a row, [n, D, K], to multiply it with one vector. There are only a handful
    of relations, so here each takes its rows through one matrix product.

    Args:
        relation: int64 [n].
        vectors: float32 [n, D].
        matrices: float32 [n_relations, D, K].

    Returns:
        Float32 [n, K], row i being ``vectors[i] @ matrices[relation[i]]``.
    """
    order = relation.argsort(stable=True)
    counts = torch.bincount(relation, minlength=len(matrices)).tolist()
    groups = vectors[order].split(counts)
    products = torch.cat([group @ matrix for group, matrix in zip(groups, matrices)])
    return products[order.argsort()]
