"""YearPop: what was popular in the years a user was active."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from movierec_bench.models.base import HistoryModel
from movierec_bench.models.linear import sparse_scores
from movierec_bench.models.parameters import choice

YEARS, ROWS = "years", "rows"


class YearPop(HistoryModel):
    """A movie's score for a user is how often it was watched, by anybody, in the years the user was active.

    With n(y, i) the training rows of movie i in calendar year y (UTC), and c(u, y) the rows of user u's
    history in that year: score(u, i) = sum over y of a(u, y) n(y, i), where a is 1 if c > 0 and else 0
    (``activity: years``), or c itself (``activity: rows``). A user none of whose years has a training row
    counts as active in all of them, which makes it Pop.
    """

    other_parameter_name = ["first_year", "watches"]
    first_year: int
    watches: csr_matrix  # float32 [n_years, n_items]: n(y, i)

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.activity = choice(config, "activity", (YEARS, ROWS))

    def fit_closed_form(self) -> None:
        """Count the training rows by the year they were watched in."""
        year = calendar_years(self.interactions.time)
        self.first_year = int(year.min(initial=year.max(initial=1970)))
        offset = year - self.first_year
        shape = (int(offset.max(initial=0)) + 1, self.n_items)
        ones = np.ones(len(offset), dtype=np.float32)
        self.watches = csr_matrix((ones, (offset, self.interactions.item_ix)), shape=shape)

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items] scores of a batch of users."""
        users = self.user_rows(interaction)
        active = self._activity_of(users)
        return torch.from_numpy(sparse_scores(csr_matrix(active), np.arange(len(users)), self.watches))

    def _activity_of(self, users: np.ndarray) -> np.ndarray:
        """Float32 [B, n_years]: a(u, y)."""
        rows = np.flatnonzero(np.isin(self.interactions.user_ix, users))
        offset = calendar_years(self.interactions.time[rows]) - self.first_year
        known = (offset >= 0) & (offset < self.watches.shape[0])
        counts = np.zeros((self.n_users, self.watches.shape[0]), dtype=np.float32)
        np.add.at(counts, (self.interactions.user_ix[rows[known]], offset[known]), 1)
        active = counts[users]
        if self.activity == YEARS:
            active = np.minimum(active, 1)
        active[active.sum(axis=1) == 0] = 1
        return active


def calendar_years(time: np.ndarray) -> np.ndarray:
    """Int64 calendar years (UTC) of int64 unix seconds, any shape."""
    return time.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
