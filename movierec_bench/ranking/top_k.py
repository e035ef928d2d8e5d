"""Scores to masked top-K: the only place that masks what a user has seen and that breaks ties.

Every family ranks through :func:`top_k`. Score descending, then ``item_ix`` ascending; NaN and -inf never
rank; a seen movie never ranks. Scores in main memory go through a compiled kernel; scores on
another device are sorted there, stably, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Union

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix

from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ModelError
from movierec_bench.ranking.bounded_products import ProductRanking
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.heap_kernels import Masks, kept_best
from movierec_bench.schema import ITEM, RANK, SCORE, USER, K

# Bytes, the most one block of scores may take. The C library hands a freed block of 32 MiB or more back to the system,
# and fresh pages cost more than the ranking; besides, a smaller block is still in the cache when it is ranked.
BYTES_A_BLOCK = 28 * 2**20

Scores = Union[torch.Tensor, np.ndarray]
ScoreBlock = Callable[[np.ndarray], Scores]
RankBlock = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class TopK:
    """Each user's best movies, best first.

    Args:
        user_ix: int64 [U].
        item_ix: int32 [U, K]; 0 where there is no further movie.
        scores: float32 [U, K], the model's own scores; NaN where ``item_ix`` is 0. They descend, except
            that movies which :class:`Candidates` let in only to fill up come below all others.
    """

    user_ix: np.ndarray
    item_ix: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """Which movies may be recommended to whom: movie i to user u iff ``item_key[i] <= user_key[u]``.

    With release years as item keys and a user's last year plus an offset as user keys this drops future
    movies; a movie of unknown year has the key -inf, a movie dropped for everybody +inf. A user left with
    fewer than ``at_least`` movies is filled up to that many with the best of the others, below the allowed.
    With ``listed`` no movie that it does not list for a user ranks for that user, not even to fill up.

    Args:
        item_key: float32 [n_item_ix], no NaN.
        user_key: float32 [n_user_ix], finite (+inf would let in the movies dropped for everybody).
        at_least: Movies a user is left with, if the model scores that many.
        listed: [n_user_ix, n_item_ix]; every stored entry is a movie that may rank for the user. None: every movie may.

    Raises:
        ModelError: A key has the wrong type, shape or value.
    """

    item_key: np.ndarray
    user_key: np.ndarray
    at_least: int = K
    listed: Optional[csr_matrix] = None

    @classmethod
    def every_movie(cls, n_user_ix: int, n_item_ix: int) -> Candidates:
        """Candidates that leave nothing out."""
        keys = (np.zeros(n_item_ix, dtype=np.float32), np.zeros(n_user_ix, dtype=np.float32))
        return cls(item_key=keys[0], user_key=keys[1])

    def __post_init__(self) -> None:
        for name, key in (("item_key", self.item_key), ("user_key", self.user_key)):
            if not isinstance(key, np.ndarray) or key.dtype != np.float32 or key.ndim != 1:
                raise ModelError(f"candidate filter: {name} is {_kind(key)}; expected a float32 array, 1-d")
        if np.isnan(self.item_key).any():
            raise ModelError("candidate filter: item_key holds NaN; give a movie of unknown year the key -inf")
        if not np.isfinite(self.user_key).all():
            raise ModelError("candidate filter: user_key holds NaN or infinity; expected finite keys")
        if self.at_least < 0:
            raise ModelError(f"candidate filter: at_least is {self.at_least}; expected 0 or more movies")
        shape = (len(self.user_key), len(self.item_key))
        if self.listed is not None and self.listed.shape != shape:
            raise ModelError(
                f"candidate filter: listed is {list(self.listed.shape)}; expected {list(shape)}, as the keys"
            )


def top_k(
    score_block: ScoreBlock,
    user_ix: np.ndarray,
    seen: csr_matrix,
    k: int,
    *,
    block_bytes: int = BYTES_A_BLOCK,
    allowed: Optional[Candidates] = None,
) -> TopK:
    """The ``k`` best unseen movies of each user, exactly, in memory bounded whatever the number of users.

    Args:
        score_block: Called with int64 [B], the ``user_ix`` of a block; returns float32 [B, n_item_ix], a
            tensor on any device or an array, column 0 padding. It is not modified. Of
            :class:`factored_scores.Products` only the scores that matter are worked out.
        user_ix: Integers [U], each from 1 to n_user_ix - 1.
        seen: [n_user_ix, n_item_ix]; every stored entry is a movie the user has seen.
        k: Movies a user gets, at least 1; fewer where fewer can rank.
        block_bytes: Bytes a block of scores may take; a block has at least one user. Sorting on another
            device takes up to ten times as much there.
        allowed: Filters the candidates; None allows every movie.

    Returns:
        The ranking of each of ``user_ix``, in their order.

    Raises:
        ModelError: An argument or a block of scores has the wrong shape, type or range.

    Source:
        ours; the kernel keeps a bounded heap of the best (Knuth, TAOCP vol. 3, 5.2.3).
    """
    user_ix = _checked_users(user_ix, seen)
    if k < 1:
        raise ModelError(f"top_k was asked for {k} movies a user; expected at least 1")
    n_user_ix, n_item_ix = seen.shape
    if allowed is None:
        allowed = Candidates.every_movie(n_user_ix, n_item_ix)
    _check_keys(allowed, seen)
    if allowed.listed is not None:
        score_block = _listed_alone(score_block, allowed.listed)
    best_items = np.zeros((len(user_ix), k), dtype=np.int32)
    best_scores = np.full((len(user_ix), k), np.nan, dtype=np.float32)
    rank_block = _block_ranking(score_block, seen, allowed)
    rows = max(1, block_bytes // (4 * n_item_ix))
    for start in range(0, len(user_ix), rows):
        block = slice(start, start + rows)
        rank_block(user_ix[block], best_items[block], best_scores[block])
    return TopK(user_ix=user_ix, item_ix=best_items, scores=best_scores)


def topk_frame(topk: TopK, vocabulary: Vocabulary) -> pd.DataFrame:
    """The ranking as a long table in the competition's ids.

    Args:
        topk: What :func:`top_k` returned.
        vocabulary: The ids behind the integers.

    Returns:
        DataFrame [user int64, item int64, rank int32 from 1, score float32], a row for each recommended
        movie, users in the order of ``topk``, then by rank.
    """
    row, column = np.nonzero(topk.item_ix)
    return pd.DataFrame(
        {
            USER: vocabulary.user_ids(topk.user_ix)[row],
            ITEM: vocabulary.item_ids(topk.item_ix[row, column]),
            RANK: (column + 1).astype(np.int32),
            SCORE: topk.scores[row, column],
        }
    )


def _block_ranking(score_block: ScoreBlock, seen: csr_matrix, allowed: Candidates) -> RankBlock:
    """A function that fills a block's rows of the result; its scores are freed when it returns."""
    masks = Masks(
        seen.indptr.astype(np.int64, copy=False),  # scipy has two index types; one kernel is compiled
        seen.indices.astype(np.int32, copy=False),
        allowed.item_key,
        allowed.user_key,
        allowed.at_least,
    )
    if isinstance(score_block, Products) and ProductRanking.suits(score_block):
        ranking = ProductRanking(score_block, seen.shape[1])
        return lambda user_ix, items, scores: ranking.keep_best(user_ix, masks, items, scores)

    def rank_block(user_ix: np.ndarray, best_items: np.ndarray, best_scores: np.ndarray) -> None:
        scores = score_block(user_ix)
        _check_scores(scores, (len(user_ix), seen.shape[1]))
        if isinstance(scores, torch.Tensor):
            scores = scores.detach()
            if scores.device.type != "cpu":
                best_items[:], best_scores[:] = _sorted_best(scores, user_ix, seen, allowed, best_items.shape[1])
                return
            scores = scores.numpy()
        kept_best(np.ascontiguousarray(scores), user_ix, masks, best_items, best_scores)

    return rank_block


# The path for scores on any other device.


def _sorted_best(
    scores: torch.Tensor, user_ix: np.ndarray, seen: csr_matrix, allowed: Candidates, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(item_ix int32 [B, K], scores float32 [B, K]) by stable sorting on the device of ``scores``."""
    masked = _masked(scores, seen[user_ix])
    item_key = torch.from_numpy(allowed.item_key).to(scores.device)
    user_key = torch.from_numpy(allowed.user_key[user_ix]).to(scores.device)
    inside = item_key <= user_key[:, None]
    items, values = _first(masked.where(inside, -torch.inf), k)
    kept = (items > 0).sum(dim=1)
    short = torch.nonzero(kept < min(allowed.at_least, k))[:, 0]
    if len(short):
        others = _first(masked[short].where(~inside[short], -torch.inf), k)
        place = torch.arange(k, device=scores.device)
        from_others = place - kept[short, None]
        filled = (from_others >= 0) & (place < allowed.at_least)
        source = from_others.clamp(min=0)
        items[short] = torch.where(filled, others[0].gather(1, source), items[short])
        values[short] = torch.where(filled, others[1].gather(1, source), values[short])
    return items.int().cpu().numpy(), values.cpu().numpy()


def _masked(scores: torch.Tensor, seen: csr_matrix) -> torch.Tensor:
    """A copy of ``scores`` [B, n] with -inf wherever a movie cannot rank."""
    masked = scores + 0.0  # also makes one zero of -0.0 and 0.0, which some devices' sorts tell apart
    row = torch.from_numpy(np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)))
    item = torch.from_numpy(seen.indices.astype(np.int64))
    masked[row.to(scores.device), item.to(scores.device)] = -torch.inf
    masked[:, 0] = -torch.inf
    return masked.masked_fill_(masked.isnan(), -torch.inf)


def _first(masked: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(items int64 [B, K], scores [B, K]) of the ``k`` highest scores; (0, NaN) where only -inf is left."""
    values, items = torch.sort(masked, dim=1, descending=True, stable=True)
    values, items = values[:, :k], items[:, :k]
    nothing = values == -torch.inf
    padding = (0, k - values.shape[1])
    items = torch.nn.functional.pad(items.masked_fill(nothing, 0), padding, value=0)
    return items, torch.nn.functional.pad(values.masked_fill(nothing, torch.nan), padding, value=torch.nan)


def _listed_alone(score_block: ScoreBlock, listed: csr_matrix) -> ScoreBlock:
    """The same scores with -inf, which never ranks, for every movie that is not listed for the user."""

    def listed_scores(user_ix: np.ndarray) -> torch.Tensor:
        scores = score_block(user_ix)
        _check_scores(scores, (len(user_ix), listed.shape[1]))
        scores = torch.as_tensor(scores).detach()
        rows = listed[user_ix]
        row = torch.from_numpy(np.repeat(np.arange(len(user_ix)), np.diff(rows.indptr))).to(scores.device)
        item = torch.from_numpy(rows.indices.astype(np.int64)).to(scores.device)
        alone = torch.full(scores.shape, -torch.inf, device=scores.device)
        alone[row, item] = scores[row, item]
        return alone

    return listed_scores


def _checked_users(user_ix: np.ndarray, seen: csr_matrix) -> np.ndarray:
    user_ix = np.asarray(user_ix)
    if user_ix.ndim != 1 or (len(user_ix) and user_ix.dtype.kind not in "iu"):
        raise ModelError(f"top_k: user_ix is {_kind(user_ix)}; expected integers, 1-d")
    user_ix = user_ix.astype(np.int64)
    last = seen.shape[0] - 1
    wrong = user_ix[(user_ix < 1) | (user_ix > last)]
    if len(wrong):
        raise ModelError(
            f"top_k: user_ix {wrong[0]} is not a user; expected 1 to {last}, the rows of `seen` after padding"
        )
    return user_ix


def _check_keys(allowed: Candidates, seen: csr_matrix) -> None:
    found = (len(allowed.user_key), len(allowed.item_key))
    if found != seen.shape:
        raise ModelError(
            f"candidate filter: keys of {found[0]} users and {found[1]} movies; "
            f"expected {seen.shape[0]} and {seen.shape[1]}, padding included, as in `seen`"
        )


def _check_scores(scores: Scores, shape: tuple[int, int]) -> None:
    if isinstance(scores, (torch.Tensor, np.ndarray)):
        float32 = torch.float32 if isinstance(scores, torch.Tensor) else np.float32
        if scores.dtype == float32 and tuple(scores.shape) == shape:
            return
    raise ModelError(
        f"the scores of a block are {_kind(scores)}; expected float32 {list(shape)}, users by item_ix with "
        "column 0 for padding; correct the model's full_sort_predict"
    )


def _kind(value: object) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
