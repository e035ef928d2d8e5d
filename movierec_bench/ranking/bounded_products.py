"""The best of scores that are products of vectors: 8-bit integers say who may be among them, float32 decides.

A processor multiplies 8-bit integers four times as fast as float32. Each vector is rounded to integers times a scale;
what the rounding does to a product is bounded by lengths (Cauchy and Schwarz), so that every movie has a lower and an
upper bound of its score. A movie whose upper bound lies below the K-th highest lower bound cannot be among the best;
the few others get their float32 score. The result is that of all float32 scores, whatever the vectors hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch

from movierec_bench.errors import ModelError
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.heap_kernels import STRETCH, Masks, filled_up_to, keep_best, masked_row

_LEVELS = 127  # of an 8-bit integer on either side of 0
_WIDEST = 2**31 // _LEVELS**2  # a longer sum of products could leave 32 bits
_FOUR = 4  # integers a processor adds up at once; besides, torch 2.13's products of single integers are wrong
_ULP = float(np.finfo(np.float32).eps)  # twice the relative error of a float32 operation
_INFINITE = np.float32(np.inf)
_TINY = float(np.finfo(np.float32).tiny)
_LOWEST = np.float32(np.finfo(np.float32).min)  # the lower bound of a score about which nothing is known


class Rounded(NamedTuple):
    """Vectors as integers, ``integers * scale``, and lengths that bound what is lost. Lengths are rounded up.

    Args:
        integers: int8 [n, f rounded up to a multiple of 4]; zeros where a vector has ended.
        scale: float32 [n].
        length: float32 [n], of the vector.
        lost: float32 [n], the length of what the rounding took away; not finite if the vector is not.
    """

    integers: np.ndarray
    scale: np.ndarray
    length: np.ndarray
    lost: np.ndarray


class ProductRanking:
    """Ranks users by :class:`Products`, a block at a time.

    Args:
        products: On the CPU; the movies' vectors are rounded once.
        n_item_ix: Movies and padding.

    Raises:
        ModelError: A tensor of vectors has the wrong shape or type.
    """

    def __init__(self, products: Products, n_item_ix: int) -> None:
        width = products.items.shape[-1]
        _check("the movies' embeddings are", products.items, (n_item_ix, width))
        _check("the movies' biases are", products.bias, (n_item_ix,))
        self._users = products.users
        self._items = np.ascontiguousarray(products.items.detach().numpy())
        self._bias = np.ascontiguousarray(products.bias.detach().numpy())
        self._rounded = rounded(self._items)
        self._columns = torch.from_numpy(self._rounded.integers).T.contiguous()
        self._sums = torch.empty(0, n_item_ix, dtype=torch.int32)

    @staticmethod
    def suits(products: Products) -> bool:
        """Whether the vectors are on a CPU that has 8-bit products, and short enough for them."""
        has_products = hasattr(torch, "_int_mm") and getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
        return has_products and products.items.device.type == "cpu" and products.items.shape[1] <= _WIDEST

    def keep_best(
        self,
        user_ix: np.ndarray,
        masks: Masks,
        best_items: np.ndarray,
        best_scores: np.ndarray,
    ) -> None:
        """Fill ``best_items`` (of zeros) and ``best_scores`` (of NaN), both [B, K].

        Args:
            user_ix: int64 [B].
            masks: What cannot rank.
            best_items: int32.
            best_scores: float32.
        """
        vectors = self._users(user_ix).detach()
        _check("the embeddings of a block of users are", vectors, (len(user_ix), self._items.shape[1]))
        users = np.ascontiguousarray(vectors.numpy())
        reduced = rounded(users)
        if len(users) > len(self._sums):
            self._sums = torch.empty(len(users), self._sums.shape[1], dtype=torch.int32)
        sums = torch._int_mm(torch.from_numpy(reduced.integers), self._columns, out=self._sums[: len(users)])
        factors = users, reduced, self._items, self._rounded, self._bias
        _kept_best(sums.numpy(), *factors, user_ix, masks, best_items, best_scores)


def _check(what: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
        raise ModelError(f"{what} {tensor.dtype} {list(tensor.shape)}; expected float32 {list(shape)}")


def rounded(vectors: np.ndarray) -> Rounded:
    """Vectors float32 [n, f], each in steps of a 127th of its largest entry."""
    n, width = vectors.shape
    padded = -(-width // _FOUR) * _FOUR
    result = Rounded(np.zeros((n, padded), np.int8), *(np.empty(n, np.float32) for _ in range(3)))
    _round(vectors, *result)
    return result


@numba.njit(cache=True, nogil=True, parallel=True)
def _round(
    vectors: np.ndarray, integers: np.ndarray, scales: np.ndarray, lengths: np.ndarray, losses: np.ndarray
) -> None:
    for row in numba.prange(len(vectors)):
        vector = vectors[row]
        largest = np.float32(0)
        for value in vector:
            largest = max(largest, abs(value))
        scale = largest / np.float32(_LEVELS)
        if not (np.isfinite(scale) and scale > _TINY):
            scale = np.float32(0)
        squares, lost = np.float64(0), np.float64(0)
        for place in range(len(vector)):
            step = np.rint(vector[place] / scale) if scale > 0 else np.float32(0)
            integers[row, place] = np.int8(step)
            squares += np.float64(vector[place]) ** 2
            lost += (np.float64(vector[place]) - np.float64(scale) * np.float64(step)) ** 2
        scales[row] = scale
        lengths[row] = np.sqrt(squares) * (1 + _ULP) + _TINY
        losses[row] = np.sqrt(lost) * (1 + _ULP) + _TINY


@numba.njit(cache=True, nogil=True, parallel=True)
def _kept_best(
    sums: np.ndarray,
    users: np.ndarray,
    rounded_users: Rounded,
    items: np.ndarray,
    rounded_items: Rounded,
    bias: np.ndarray,
    user_ix: np.ndarray,
    masks: Masks,
    best_items: np.ndarray,
    best_scores: np.ndarray,
) -> None:
    """As ``heap_kernels.kept_best``, from ``sums`` int32 [B, n] of products of integers."""
    for row in numba.prange(len(user_ix)):
        lower, error = _bounds(sums[row], row, rounded_users, rounded_items, bias)
        chosen, values = best_items[row], best_scores[row]
        inside = masked_row(lower, user_ix[row], masks, True)
        kept = _keep_best_of(inside, error, users[row], items, bias, chosen, values)
        end = filled_up_to(kept, len(chosen), masks)
        if kept < end:
            others = masked_row(lower, user_ix[row], masks, False)
            _keep_best_of(others, error, users[row], items, bias, chosen[kept:end], values[kept:end])


@numba.njit(cache=True, nogil=True)
def _bounds(
    sums: np.ndarray, user: int, users: Rounded, items: Rounded, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(lower bound of each float32 score, how far the upper bound lies above it), both float32 [n].

    With u = u' + r and w = w' + s, where u' and w' are rounded, ``|u.w - u'.w'| <= |r| |w| + |u'| |s|``. A float32
    sum of f products is off by at most f + 1 roundings of ``|u| |w|``, and a few more come from here; what is too small
    for float32 may be lost besides.
    """
    n = len(sums)
    lower, width = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    operations = users.integers.shape[1] + 16
    roundings, underflow = np.float32(operations * _ULP), np.float32(operations * _TINY)
    by_length = users.lost[user] + roundings * users.length[user]
    by_lost = users.length[user] + users.lost[user]
    scale = users.scale[user]
    scales, lengths, lost = items.scale, items.length, items.lost
    for item in range(n):
        score = scale * np.float32(sums[item]) * scales[item] + bias[item]  # two scales first might come to nothing
        error = by_length * lengths[item] + by_lost * lost[item] + np.float32(4 * _ULP) * abs(bias[item])
        error += underflow
        bound = score - error
        known = (bound > _LOWEST) & (bound < _INFINITE)  # not where it is NaN
        lower[item] = bound if known else _LOWEST
        width[item] = np.float32(2.001) * error if known else _INFINITE
    return lower, width


@numba.njit(cache=True, nogil=True)
def _keep_best_of(
    lower: np.ndarray,
    width: np.ndarray,
    user: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray,
    chosen: np.ndarray,
    values: np.ndarray,
) -> int:
    """Fill ``chosen`` and ``values`` with the best movies whose lower bound is not -inf; return how many there are."""
    lowest_items, lowest = np.empty_like(chosen), np.empty_like(values)
    full = keep_best(lower, lowest_items, lowest) == len(chosen)
    threshold = lowest[-1] if full else _LOWEST
    candidates = np.empty(len(lower), dtype=np.int32)
    scores = np.empty(len(lower), dtype=np.float32)
    n_candidates = 0
    for start in range(0, len(lower), STRETCH):
        stretch = slice(start, start + STRETCH)
        if not _any_candidate(lower[stretch], width[stretch], threshold):
            continue
        for item in range(start, min(start + STRETCH, len(lower))):
            if _is_candidate(lower[item], width[item], threshold):
                score = _product(user, items[item]) + bias[item]
                candidates[n_candidates] = item
                scores[n_candidates] = -np.inf if np.isnan(score) else score
                n_candidates += 1
    kept = keep_best(scores[:n_candidates], chosen, values)
    for place in range(kept):
        chosen[place] = candidates[chosen[place]]
    return kept


@numba.njit(cache=True, nogil=True)
def _any_candidate(lower: np.ndarray, width: np.ndarray, threshold: np.float32) -> np.bool_:
    found = np.bool_(False)
    for place in range(len(lower)):
        found = found | _is_candidate(lower[place], width[place], threshold)
    return found


@numba.njit(cache=True, nogil=True)
def _is_candidate(lower: np.float32, width: np.float32, threshold: np.float32) -> np.bool_:
    """May rank, and not surely below the threshold; a width that is NaN or infinite excludes nothing."""
    return (lower > -_INFINITE) & (not lower + width < threshold)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _product(left: np.ndarray, right: np.ndarray) -> np.float32:
    total = np.float32(0)
    for place in range(len(left)):
        total += left[place] * right[place]
    return total
