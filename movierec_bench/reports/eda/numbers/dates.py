"""When the rows were made."""

from __future__ import annotations

import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.columns import MONTH, NEW_USERS, ROWS, USERS
from movierec_bench.reports.eda.numbers.histories import Histories


def rows_a_month(histories: Histories) -> pd.DataFrame:
    """Rows, users and first-time users of every calendar month (UTC) from the first row to the last.

    Returns:
        DataFrame [month str "2005-04", rows, users, new_users]; ``users`` have a row in the month, ``new_users``
        their first.
    """
    month = histories.times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    first = month.min()
    months = int(month.max() - first) + 1
    month = month - first
    pairs = np.unique(histories.user * months + month)
    return pd.DataFrame(
        {
            MONTH: (first + np.arange(months)).astype("datetime64[M]").astype(str),
            ROWS: np.bincount(month, minlength=months),
            USERS: np.bincount(pairs % months, minlength=months),
            NEW_USERS: np.bincount(month[histories.starts], minlength=months),
        }
    )
