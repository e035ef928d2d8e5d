"""How much two models have in common, and which two add to each other; all of it on the validation rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.reports.report.evidence import Evidence
from movierec_bench.schema import K

FIRST, SECOND, OVERLAP, CORRELATION, EITHER, ADDS = (
    "first",
    "second",
    "overlap",
    "correlation",
    "found_by_either",
    "adds",
)
_MOST_USERS = 5_000  # whose lists are compared; the standard error of an overlap is then below half a percent


def compare_pairs(evidence: Evidence, models: list[str]) -> pd.DataFrame:
    """Each two of ``models``.

    Args:
        evidence: rankings of the models.
        models: names among ``evidence.models``, the better first.

    Returns:
        DataFrame [first, second, overlap, correlation, found_by_either, adds], a row a pair: the mean share of the
        ten movies that both recommend; Pearson's correlation over users of their Recall@10 (NaN where one of them
        is the same for all users); the Recall@10 of a reader who takes what either finds, at most ten movies
        counted; and how much that is above the better of the two alone.
    """
    numbers = [evidence.models.index(name) for name in models]
    overlaps = _overlaps(evidence.top[numbers])
    recall = evidence.recall()[numbers]
    correlations = np.full((len(models), len(models)), np.nan)
    if recall.shape[1] > 1:
        with np.errstate(invalid="ignore", divide="ignore"):  # a model that finds nothing varies with nothing
            correlations = np.atleast_2d(np.corrcoef(recall))
    found = evidence.found[numbers]
    means = recall.mean(axis=1)
    rows = []
    for one in range(len(models)):
        for other in range(one + 1, len(models)):
            either = _recall_of_either(evidence, found[one] | found[other])
            adds = either - max(means[one], means[other])
            pair = (models[one], models[other], overlaps[one, other], correlations[one, other], either, adds)
            rows.append(pair)
    return pd.DataFrame(rows, columns=[FIRST, SECOND, OVERLAP, CORRELATION, EITHER, ADDS])


def _recall_of_either(evidence: Evidence, found: np.ndarray) -> float:
    hits = np.bincount(evidence.user_of, found.astype(float), len(evidence.users))
    most = np.minimum(evidence.held_out, K)
    return float((np.minimum(hits, most) / most).mean())


def _overlaps(top: np.ndarray) -> np.ndarray:
    """float64 [M, M]: the mean over users of the shared movies / K; users that one of the two gives nothing count 0."""
    models, users, k = top.shape
    if models == 0 or users == 0:
        return np.zeros((models, models))
    chosen = np.unique(np.linspace(0, users - 1, min(users, _MOST_USERS)).astype(np.int64))
    lists = top[:, chosen].astype(np.int64)
    keys = np.where(lists > 0, np.arange(len(chosen))[None, :, None] * (int(lists.max()) + 1) + lists, -1)
    shown = keys.reshape(models, -1)
    distinct, column = np.unique(shown, return_inverse=True)
    row = np.repeat(np.arange(models), shown.shape[1])
    there = csr_matrix((np.ones(shown.size), (row, column.ravel())), shape=(models, len(distinct)))
    there.data[:] = 1  # a movie that stands twice in a list is one movie
    there = there[:, distinct >= 0]
    return np.asarray((there @ there.T).todense()) / (len(chosen) * k)
