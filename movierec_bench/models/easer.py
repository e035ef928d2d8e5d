"""EASER: EASE with pairs of movies as further inputs."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack

from movierec_bench.models.parts.gram_matrix import item_gram, ridge_inverse
from movierec_bench.models.parts.linear_model import LinearModel, TiledWeights, sparse_scores
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset

logger = logging.getLogger(__name__)

_USERS_A_BLOCK = 2048


class EASER(LinearModel):
    """Item weights B and pair weights C that minimise ``|X - X B - Z C|^2 + reg_weight |B|^2 + pair_reg_weight |C|^2``.

    Z says which user watched both movies of which pair; the pairs are those that many users watched. No movie
    is predicted from itself: B has a zero diagonal, and C a zero where a pair holds the movie. Without pairs it
    is EASE.

    Source:
        Steck and Liang, "Negative interactions for improved collaborative filtering: don't go deeper, go higher",
        RecSys 2021, with their alternating directions (ADMM).
    """

    other_parameter_name = ["weights", "pairs", "pair_weights"]
    weights: TiledWeights
    pairs: np.ndarray  # int64 [m, 2], item indices
    pair_weights: TiledWeights  # [m, n_items]: C

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.pair_share = config["pair_share"]
        self.most_pairs = config["most_pairs"]
        self.reg_weight = config["reg_weight"]
        self.pair_reg_weight = config["pair_reg_weight"]
        self.rho = config["rho"]
        self.iterations = config["iterations"]

    def fit_closed_form(self) -> None:
        """Choose the pairs and learn both kinds of weights from the training rows."""
        gram = item_gram(self.history)
        self.pairs = frequent_pairs(gram, self.pair_share * (self.n_users - 1), self.most_pairs)
        both = watched_pairs(self.history, self.pairs)
        inverse = ridge_inverse(gram, self.reg_weight, overwrite=True)
        cross = sparse_scores(both.T.tocsr(), np.arange(len(self.pairs)), self.history)  # Z.T X
        bridge = inverse @ cross.T
        pair_weights = self._pair_weights(np.diag(inverse), item_gram(both), cross @ bridge, bridge)
        # The best B for this C; with C = 0 it is EASE's.
        scale = _diagonal_scale(np.diag(inverse), bridge, pair_weights.T)
        weights = -inverse * scale - bridge @ pair_weights
        np.fill_diagonal(weights, 0)
        self.weights, self.pair_weights = TiledWeights.of(weights), TiledWeights.of(pair_weights)

    def _pair_weights(
        self, diagonal: np.ndarray, pair_gram: np.ndarray, explained: np.ndarray, bridge: np.ndarray
    ) -> np.ndarray:
        """C, by the paper's iteration rewritten so that it costs one product of [n_items, m] by [m, m].

        The paper alternates B (exactly, given C), C (exactly, given B, D and the dual U), D (C with the
        forbidden entries at 0) and U. With P the inverse of the regularised Gram matrix,
        ``Q = (Z.T Z + (pair_reg_weight + rho) I) ** -1`` and W = P X.T Z, putting B into the step for C gives

            C = Q (Z.T X W C + W.T diag(scale) + rho (D - U)),    scale_i = (1 - sum_p W_ip C_pi) / P_ii.

        U is 0 but at the 2 m forbidden entries, where D is: so D - U is C less a sparse matrix.

        Args:
            diagonal: float32 [n_items], of P.
            pair_gram: float32 [m, m], Z.T Z.
            explained: float32 [m, m], Z.T X W.
            bridge: float32 [n_items, m], W.

        Returns:
            Float32 [m, n_items].
        """
        n_items, n_pairs = bridge.shape
        pair_inverse = ridge_inverse(pair_gram, self.pair_reg_weight + self.rho)
        step = (explained + self.rho * np.eye(n_pairs, dtype=np.float32)) @ pair_inverse
        pull = bridge @ pair_inverse
        forbidden = self.pairs.T.ravel(), np.tile(np.arange(n_pairs), 2)
        weights = np.zeros_like(bridge)  # C.T
        dual = np.zeros(2 * n_pairs, dtype=np.float32)
        for _ in range(self.iterations):
            held_back = csr_matrix((self.rho * (weights[forbidden] + dual), forbidden), shape=(n_items, n_pairs))
            scale = _diagonal_scale(diagonal, bridge, weights)
            weights = weights @ step + pull * scale[:, None] - held_back.astype(np.float32) @ pair_inverse
            dual += weights[forbidden]
        weights[forbidden] = 0
        return np.ascontiguousarray(weights.T)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        users = self.user_rows(interaction)
        scores = self.weights.sums(self.weighted_history, users)
        both = watched_pairs(self.history[users], self.pairs)
        return torch.from_numpy(scores + self.pair_weights.sums(both, np.arange(len(users))))


def frequent_pairs(gram: np.ndarray, threshold: float, most: int) -> np.ndarray:
    """The pairs of movies that more than ``threshold`` users watched.

    Args:
        gram: float32 [n_items, n_items], users in common; left as it is.
        threshold: users.
        most: pairs kept, those with the most users; a warning says when there are more.

    Returns:
        Int64 [m, 2] item indices, the smaller first, the most watched pairs first, equal ones by index.
    """
    first, second = np.nonzero(np.triu(gram > threshold, 1))
    order = np.argsort(-gram[first, second], kind="stable")
    if len(order) > most:
        logger.warning(
            "EASER: %d pairs have more than %.0f users, the first %d are used; raise pair_share or most_pairs",
            len(order),
            threshold,
            most,
        )
    return np.stack([first[order[:most]], second[order[:most]]], axis=1)


def watched_pairs(history: csr_matrix, pairs: np.ndarray) -> csr_matrix:
    """Which users watched both movies of which pairs.

    Args:
        history: csr [B, n_items] of 0 and 1.
        pairs: int64 [m, 2], item indices.

    Returns:
        Float32 csr [B, m] of 0 and 1.
    """
    numbers = np.repeat(np.arange(len(pairs)), 2)
    ones = np.ones(len(numbers), dtype=np.float32)
    members = csr_matrix((ones, (pairs.ravel(), numbers)), shape=(history.shape[1], len(pairs)))
    blocks = [
        _both_of(history[first : first + _USERS_A_BLOCK] @ members)
        for first in range(0, history.shape[0], _USERS_A_BLOCK)
    ]
    return vstack(blocks, format="csr")


def _both_of(watched_of_pair: csr_matrix) -> csr_matrix:
    """1 where both movies of a pair were watched, and nothing where one was."""
    watched_of_pair.data = (watched_of_pair.data == 2).astype(np.float32)
    watched_of_pair.eliminate_zeros()
    return watched_of_pair


def _diagonal_scale(diagonal: np.ndarray, bridge: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Float32 [n_items], what P's columns are multiplied by so that B's diagonal is 0; ``weights`` is C.T."""
    scale: np.ndarray = (1 - np.einsum("ip,ip->i", bridge, weights)) / diagonal
    return scale
