"""Top-K and held-out rows to metrics: per user, their means with intervals, and paired tests.

A user with held-out rows always counts: one without recommendations scores 0. A user without held-out
rows is in no mean. A movie recommended twice counts once, at its first place. Nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.errors import DataError
from movierec_bench.evaluation.statistics import _require_users, bootstrap_interval
from movierec_bench.schema import COVERAGE, ITEM, MAIN_METRIC, METRICS, RANK, USER, K


def hits(item_ix: np.ndarray, user_ix: np.ndarray, held_out: csr_matrix) -> np.ndarray:
    """Which recommendations are held out, each movie at its first place only.

    Args:
        item_ix: Integers [U, K], best first; 0 where there is no movie.
        user_ix: Integers [U], rows of ``held_out``.
        held_out: [n_user_ix, n_item_ix]; every stored entry is a held-out row, column 0 is empty.

    Returns:
        bool [U, K].
    """
    n_items = held_out.shape[1]
    owner = np.repeat(np.arange(held_out.shape[0], dtype=np.int64), np.diff(held_out.indptr))
    wanted = np.sort(owner * n_items + held_out.indices)
    if len(wanted) == 0:
        return np.zeros(item_ix.shape, dtype=bool)
    recommended = np.asarray(user_ix, dtype=np.int64)[:, None] * n_items + item_ix
    place = np.minimum(np.searchsorted(wanted, recommended), len(wanted) - 1)
    return (wanted[place] == recommended) & ~_repeated(item_ix)


def recall_at_k(item_ix: np.ndarray, user_ix: np.ndarray, held_out: csr_matrix, k: int = K) -> float:
    """The mean over users with held-out rows of hits in the top ``k`` / min(k, held-out rows).

    The quick way to the mean of :func:`per_user`'s recall, for early stopping.

    Args:
        item_ix: Integers [U, at least k], best first; 0 where there is no movie.
        user_ix: Integers [U], each user once.
        held_out: [n_user_ix, n_item_ix]; every stored entry is a held-out row. All its users count.
        k: Recommendations read of each user.

    Raises:
        DataError: Nothing is held out.
    """
    n_held_out = np.diff(held_out.indptr)
    users = int((n_held_out > 0).sum())
    _require_users(users)
    n_hits = hits(item_ix[:, :k], user_ix, held_out).sum(axis=1)
    return float((n_hits / np.clip(n_held_out[user_ix], 1, k)).sum() / users)


def per_user(topk: pd.DataFrame, held_out: pd.DataFrame, k: int = K) -> pd.DataFrame:
    """Every metric of every user with held-out rows.

    With h hits among the first k places and n held-out rows: recall = h / min(k, n); recall_plain = h / n;
    precision = h / k; hit = 1 if h > 0; mrr = 1 / place of the first hit; map = the sum over hits of the
    precision down to that place / min(k, n); ndcg = the sum over hits of 1 / log2(place + 1), divided by the
    same sum over the first min(k, n) places.

    Args:
        topk: DataFrame [user, item, rank, ...], int, ranks from 1 and each once a user; any row order.
            Users without held-out rows and ranks beyond ``k`` are not read.
        held_out: DataFrame [user, item, ...]; a repeated row counts once.
        k: Places read of each user.

    Returns:
        DataFrame [user, then ``schema.METRICS`` as float64], users ascending; the columns are named
        after ``k`` where it is not 10.

    Raises:
        DataError: A rank is below 1, or a user has two movies at one rank.

    Source:
        recall: the competition's formula; the others: RecBole's definitions.
    """
    held_out = held_out[[USER, ITEM]].drop_duplicates()
    users, row, n_held_out = np.unique(held_out[USER].to_numpy(), return_inverse=True, return_counts=True)
    items, column = np.unique(held_out[ITEM].to_numpy(), return_inverse=True)
    wanted = csr_matrix((np.ones(len(held_out), dtype=bool), (row, column + 1)), shape=(len(users), len(items) + 1))
    recommended = _matrix(topk, users, items, k)
    hit = hits(recommended, np.arange(len(users)), wanted)
    values = _metrics(hit, n_held_out)
    names = [name.replace(f"@{K}", f"@{k}") for name in METRICS]
    return pd.DataFrame({USER: users, **{name: values[metric] for name, metric in zip(names, METRICS)}})


@dataclass(frozen=True)
class Summary:
    """A model's numbers on the leaderboard.

    Attributes:
        metrics: ``schema.METRICS``, means over the users; ``coverage@10``, the share of all movies that anybody was
            recommended; ``ci_low`` and ``ci_high``, the 95 % interval of recall@10.
        users: users who have held-out rows.
        missing_users: those of them who have no recommendation, and scored 0.
    """

    metrics: dict[str, float]
    users: int
    missing_users: int


def summarize(per_user: pd.DataFrame, topk: pd.DataFrame, n_items: int, seed: int) -> Summary:
    """A model's numbers on the leaderboard.

    Args:
        per_user: What :func:`per_user` returned for ``topk``.
        topk: DataFrame [user, item, rank, ...], int.
        n_items: Movies of the item file.
        seed: Of the bootstrap.

    Raises:
        DataError: Nothing is held out.
    """
    _require_users(len(per_user))
    shown = topk[topk[RANK] <= K]
    low, high = bootstrap_interval(per_user[MAIN_METRIC].to_numpy(), seed)
    metrics = {
        **{name: float(per_user[name].mean()) for name in METRICS},
        COVERAGE: shown[ITEM].nunique() / n_items,
        "ci_low": low,
        "ci_high": high,
    }
    return Summary(metrics, len(per_user), int((~per_user[USER].isin(shown[USER].unique())).sum()))


def _metrics(hit: np.ndarray, n_held_out: np.ndarray) -> dict[str, np.ndarray]:
    """``schema.METRICS`` of each user, float64 [U], from hits, bool [U, k], and held-out rows, int [U] >= 1."""
    k = hit.shape[1]
    place = np.arange(1, k + 1)
    n_hits = hit.sum(axis=1)
    reachable = np.minimum(n_held_out, k)
    discount = 1.0 / np.log2(place + 1)
    values = (  # in the order of schema.METRICS
        n_hits / reachable,
        n_hits / n_held_out,
        (hit * discount).sum(axis=1) / np.cumsum(discount)[reachable - 1],
        (hit / place).max(axis=1),
        (hit * np.cumsum(hit, axis=1) / place).sum(axis=1) / reachable,
        n_hits / k,
        (n_hits > 0).astype(np.float64),
    )
    return dict(zip(METRICS, values))


def _matrix(topk: pd.DataFrame, users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """int64 [U, k]: by place, 1 + the position in ``items`` of the movie ``users`` got; 0 for any other movie."""
    rank = topk[RANK].to_numpy()
    if len(rank) and rank.min() < 1:
        raise DataError(f"a recommendation has rank {rank.min()}; expected ranks from 1")
    shown = topk[(rank <= k) & topk[USER].isin(users)]
    row = np.searchsorted(users, shown[USER].to_numpy())
    place = shown[RANK].to_numpy() - 1
    cell = row * k + place
    filled = np.bincount(cell, minlength=len(users) * k)
    if (filled > 1).any():
        row, place = divmod(int(filled.argmax()), k)
        raise DataError(f"user {users[row]} has {filled.max()} movies at rank {place + 1}; expected one a rank")
    matrix = np.zeros(len(users) * k, dtype=np.int64)
    known = shown[ITEM].isin(items).to_numpy()
    matrix[cell[known]] = np.searchsorted(items, shown[ITEM].to_numpy()[known]) + 1
    return matrix.reshape(len(users), k)


def _repeated(item_ix: np.ndarray) -> np.ndarray:
    """Bool [U, K]: whether the movie stands further up in the same user's list."""
    order = np.argsort(item_ix, axis=1, kind="stable")
    ascending = np.take_along_axis(item_ix, order, axis=1)
    repeated = np.zeros(item_ix.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], axis=1)
    return repeated
