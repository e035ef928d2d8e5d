"""Which user has seen which movie, in one bit a pair, for draws of movies that a user has not seen."""

from __future__ import annotations

import numba
import numpy as np

from movierec_bench.data.interactions import Interactions


def seen_pairs(rows: Interactions) -> np.ndarray:
    """Uint8 [n_users, (n_items + 7) // 8]: bit ``i & 7`` of ``[u, i >> 3]`` says whether user u has seen movie i.

    At the competition's size that is 27 MB, where a byte a pair would be 213 MB.
    """
    bits = np.zeros((rows.n_users, (rows.n_items + 7) // 8), dtype=np.uint8)
    _mark(bits, rows.user_ix, rows.item_ix)
    return bits


@numba.njit(cache=True)
def _mark(bits: np.ndarray, user_ix: np.ndarray, item_ix: np.ndarray) -> None:
    for row in range(len(user_ix)):
        bits[user_ix[row], item_ix[row] >> 3] |= 1 << (item_ix[row] & 7)


@numba.njit(cache=True)
def is_seen(bits: np.ndarray, user_ix: int, item_ix: int) -> bool:
    """Whether `seen_pairs` ``bits`` say that the user has seen the movie; for kernels of numba's."""
    return bits[user_ix, item_ix >> 3] >> (item_ix & 7) & 1 != 0


@numba.njit(cache=True)
def which_are_seen(bits: np.ndarray, user_ix: np.ndarray, item_ix: np.ndarray) -> np.ndarray:
    """Bool [n]: whether `seen_pairs` ``bits`` say that user ``user_ix[k]`` has seen movie ``item_ix[k]``."""
    seen = np.empty(len(user_ix), dtype=np.bool_)
    for place in range(len(user_ix)):
        seen[place] = is_seen(bits, user_ix[place], item_ix[place])
    return seen
