"""YearPop: what was popular in the years a user was active."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.linear_model import sparse_scores
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset

YEARS, ROWS, SPAN = "years", "rows", "span"


class YearPop(HistoryModel):
    """A movie's score for a user is how often it was watched, by anybody, in the years the user was active.

    With n(y, i) the training rows of movie i in calendar year y (UTC), and c(u, y) the rows of user u's
    history in that year: score(u, i) = sum over y of a(u, y) n(y, i), where a is 1 if c > 0 and else 0
    (``activity: years``), or c itself (``activity: rows``), or 1 in every year from the one before the user's first to
    the user's last, those without a row included (``activity: span``). A user none of whose years has a training row
    counts as active in all of them, which makes it Pop.

    Source:
        ours; ``span`` has the years of t3-07's rule.
    """

    other_parameter_name = ["first_year", "watches"]
    first_year: int
    watches: csr_matrix  # float32 [n_years, n_items]: n(y, i)
    _active: Optional[csr_matrix] = None  # float32 [n_users, n_years]: a(u, y), once it is needed

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.activity = config["activity"]

    def fit_closed_form(self) -> None:
        """Count the training rows by the year they were watched in."""
        years = calendar_years(self.interactions.time)
        self.first_year = int(years.min())
        n_years = int(years.max()) - self.first_year + 1
        self.watches = _count_pairs(years - self.first_year, self.interactions.item_ix, n_years, self.n_items)

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from: the years users were active in change with them."""
        super().set_history(rows)
        self._active = None

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        if self._active is None:
            self._active = self._activity()
        return torch.from_numpy(sparse_scores(self._active, self.user_rows(interaction), self.watches))

    def _activity(self) -> csr_matrix:
        """Float32 csr [n_users, n_years]: a(u, y)."""
        activity = self._rows_by_year().toarray()
        if self.activity == YEARS:
            activity = np.minimum(activity, 1)
        if self.activity == SPAN:
            activity = self._spans()
        activity[activity.sum(axis=1) == 0] = 1
        return csr_matrix(activity)

    def _spans(self) -> np.ndarray:
        """Float32 [n_users, n_years]: 1 from the year before a user's first row to that of the last."""
        rows, n_years = self.interactions, self.watches.shape[0]
        year = calendar_years(rows.time) - self.first_year
        has_rows = np.diff(rows.indptr) > 0
        first = np.full(rows.n_users, n_years)
        last = np.full(rows.n_users, -1)
        first[has_rows] = year[rows.indptr[:-1][has_rows]] - 1  # rows are sorted by time
        last[has_rows] = year[rows.indptr[1:][has_rows] - 1]
        years = np.arange(n_years)
        return ((years >= first[:, None]) & (years <= last[:, None])).astype(np.float32)

    def _rows_by_year(self) -> csr_matrix:
        """Float32 csr [n_users, n_years]: c(u, y), for the years that have training rows."""
        year = calendar_years(self.interactions.time) - self.first_year
        n_years = self.watches.shape[0]
        known = (year >= 0) & (year < n_years)
        return _count_pairs(self.interactions.user_ix[known], year[known], self.interactions.n_users, n_years)


def calendar_years(time: np.ndarray) -> np.ndarray:
    """Int64 calendar years (UTC) of int64 unix seconds, any shape."""
    return time.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970


def _count_pairs(row: np.ndarray, column: np.ndarray, n_rows: int, n_columns: int) -> csr_matrix:
    """Float32 csr [n_rows, n_columns]: how often each pair of integers occurs."""
    return csr_matrix((np.ones(len(row), dtype=np.float32), (row, column)), shape=(n_rows, n_columns))
