"""Further columns of a board, from stored rankings: other depths, novelty, concentration, recall by popularity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
import pandas as pd

from movierec_bench.data.split import read_known, read_part
from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.schema import ITEM, MAIN_METRIC, MODEL, NDCG, STORED_K, USER, K

NOVELTY, GINI = f"novelty@{K}", f"gini@{K}"
RECALL_HEAD, RECALL_TAIL = f"recall_head@{K}", f"recall_tail@{K}"
BEYOND = (NOVELTY, GINI, RECALL_HEAD, RECALL_TAIL)
HEAD_SHARE = 0.5  # share of the training rows that the popular movies, the head, make up


def depths_of(given: Union[int, str, Sequence[int]]) -> list[int]:
    """The depths of a comma-separated text or a sequence. Raises ConfigError for one that is not stored."""
    parts = [given] if isinstance(given, int) else given.split(",") if isinstance(given, str) else list(given)
    try:
        depths = [int(part) for part in parts]
    except ValueError as error:
        raise ConfigError(f"k is {given!r}; expected whole numbers such as 5,20,50") from error
    if not depths or not all(1 <= depth <= STORED_K for depth in depths):
        raise ConfigError(f"k is {given!r}; expected whole numbers from 1 to {STORED_K}, the ranks that a run stores")
    return list(dict.fromkeys(depths))


def depth_columns(depths: Sequence[int]) -> list[str]:
    """The names of the columns of these depths, recall and NDCG of each."""
    return [_at(metric, depth) for depth in depths for metric in (MAIN_METRIC, NDCG)]


def more_columns(run: RunFolder, models: Sequence[str], depths: Sequence[int], beyond: bool) -> pd.DataFrame:
    """Further columns of scored models.

    Args:
        run: the run.
        models: names of models and mixes with stored test rankings.
        depths: for each, Recall and NDCG at that depth; Recall divides by min(depth, held-out rows).
        beyond: also ``BEYOND``. Novelty is the mean of -log2 of the share of users who watched a recommended movie in
            the training rows, a movie nobody watched counted as watched once. Gini is that of how often each movie
            of the training rows is recommended: 0 all equally often, 1 one movie only. Recall of head and tail is over
            held-out rows among the most popular movies that make up half of the training rows, and among all others.

    Returns:
        DataFrame [model, a column each], in the order of ``models``.
    """
    test = read_part(run.split, "test")
    popularity = _Popularity(read_known(run.split)) if beyond else None
    rows = []
    for name in models:
        folder = run.find(name)
        row: dict[str, Union[str, float]] = {MODEL: name}
        if depths:
            topk = folder.read_topk("test", max(depths))
            for depth in depths:
                scored = per_user(topk, test, depth)
                row |= {_at(metric, depth): float(scored[_at(metric, depth)].mean()) for metric in (MAIN_METRIC, NDCG)}
        if popularity is not None:
            row |= popularity.measure(folder, test)
        rows.append(row)
    return pd.DataFrame(rows, columns=[MODEL, *depth_columns(depths), *(BEYOND if beyond else ())])


class _Popularity:
    """How popular the movies are in the training rows."""

    def __init__(self, known: pd.DataFrame) -> None:
        self.users = known[USER].nunique()
        self.counts = known[ITEM].value_counts()
        cumulated = self.counts.cumsum() / max(1, len(known))
        self.head = set(self.counts.index[(cumulated - self.counts / max(1, len(known))) < HEAD_SHARE])

    def measure(self, folder: ModelFolder, test: pd.DataFrame) -> dict[str, float]:
        topk = folder.read_topk("test", K)
        seen_by = topk[ITEM].map(self.counts).fillna(1).to_numpy(dtype=float)
        inside = test[ITEM].isin(self.head)
        head, tail = (_recall(topk, rows) for rows in (test[inside], test[~inside]))
        return {
            NOVELTY: float(-np.log2(seen_by / self.users).mean()) if len(topk) else float("nan"),
            GINI: _gini(topk[ITEM].value_counts().to_numpy(), len(self.counts)),
            RECALL_HEAD: head,
            RECALL_TAIL: tail,
        }


def _recall(topk: pd.DataFrame, held_out: pd.DataFrame) -> float:
    return float(per_user(topk, held_out)[MAIN_METRIC].mean()) if len(held_out) else float("nan")


def _gini(counts: np.ndarray, n_items: int) -> float:
    """The Gini coefficient of ``counts`` and as many zeros as make ``n_items``."""
    if not counts.sum():
        return float("nan")
    ascending = np.concatenate([np.zeros(max(0, n_items - len(counts))), np.sort(counts)])
    place = np.arange(1, len(ascending) + 1)
    return float(((2 * place - len(ascending) - 1) * ascending).sum() / (len(ascending) * ascending.sum()))


def _at(metric: str, depth: int) -> str:
    return metric.replace(f"@{K}", f"@{depth}")
