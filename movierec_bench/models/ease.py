"""EASE: a linear autoencoder with a closed-form solution."""

from __future__ import annotations

import numpy as np

from movierec_bench.models.parts.gram_matrix import item_gram, ridge_inverse
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class FastEASE(LinearModel):
    """Item weights B with zero diagonal that minimise ``|X - X B|^2 + reg_weight |B|^2``.

    With ``P = (X.T X + reg_weight I) ** -1``: ``B[j, i] = -P[j, i] / P[i, i]`` for j != i.

    Source:
        Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8; equal to
        RecBole's EASE.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.reg_weight = config["reg_weight"]

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: B."""
        return ease_weights(item_gram(self.history), self.reg_weight, overwrite=True)


def ease_weights(gram: np.ndarray, reg_weight: float, overwrite: bool = False) -> np.ndarray:
    """The B of `FastEASE` from a Gram matrix.

    Args:
        gram: float32 [n, n], symmetric, positive semi-definite.
        reg_weight: added to the diagonal, > 0.
        overwrite: work in the memory of ``gram``, which holds the result then; else it is left as it is.

    Returns:
        Float32 [n, n] with zero diagonal.

    Raises:
        ModelError: ``reg_weight`` is too small for the matrix to be inverted in float32.
    """
    weights = ridge_inverse(gram, reg_weight, overwrite)
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0)
    return weights
