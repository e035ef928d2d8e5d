"""Users: how long their histories are, how many months they span, and who came for a day only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.bins import equal_steps, growing_steps, histogram
from movierec_bench.reports.eda.numbers.columns import (
    DEFINITION,
    MAX,
    MEAN,
    MEDIAN,
    MIN,
    ROWS,
    SHARE,
    SHARE_OF_ROWS,
    USERS,
    VARIANCE,
)
from movierec_bench.reports.eda.numbers.histories import DAY, MONTH, Histories

SAME_DAY, WITHIN_24_HOURS, LONGER = "same day (UTC)", "within 24 hours", "more than 24 hours"


def history_lengths(histories: Histories) -> pd.DataFrame:
    """Users by number of rows, in intervals that grow: DataFrame [from, below, users, share, share_so_far]."""
    lengths = histories.lengths
    return histogram(lengths, growing_steps(lengths.min(), lengths.max()), USERS)


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean, sample variance (n - 1; NaN for one value), median, minimum and maximum of at least one value."""
    variance = float(values.var(ddof=1)) if len(values) > 1 else float("nan")
    return {
        MEAN: float(values.mean()),
        VARIANCE: variance,
        MEDIAN: float(np.median(values)),
        MIN: float(values.min()),
        MAX: float(values.max()),
    }


def first_and_last(histories: Histories) -> tuple[np.ndarray, np.ndarray]:
    """Times of each user's first and last row: int64 [users] each, unix seconds."""
    times, starts = histories.times, histories.starts
    return times[starts], times[starts + histories.lengths - 1]


def spans(histories: Histories) -> np.ndarray:
    """Seconds from each user's first row to the last: int64 [users]."""
    first, last = first_and_last(histories)
    return last - first


def span_months(histories: Histories) -> pd.DataFrame:
    """Users by months from their first row to their last: DataFrame [from, below, users, share, share_so_far].

    A month is 30.44 days.
    """
    months = spans(histories) / MONTH
    return histogram(months, equal_steps(months.max(), 1), USERS)


def one_day_users(histories: Histories) -> dict[str, np.ndarray]:
    """Who came for a day only, by each definition, and who stayed longer: name -> bool [users].

    ``SAME_DAY``: first and last row on one calendar day of UTC. ``WITHIN_24_HOURS``: at most 86,400 seconds apart,
    which a calendar day implies. ``LONGER``: further apart than that.
    """
    first, last = first_and_last(histories)
    within = last - first <= DAY
    return {SAME_DAY: first // DAY == last // DAY, WITHIN_24_HOURS: within, LONGER: ~within}


def one_day_summary(histories: Histories) -> pd.DataFrame:
    """How many users there are by each definition, and how long their histories are.

    Returns:
        DataFrame [definition, users, share, rows, share_of_rows, mean, variance, median, min, max], where ``rows``
        is the sum and the last five are of the rows a user; NaN where there is no such user.
    """
    lengths = histories.lengths
    table = []
    for definition, chosen in one_day_users(histories).items():
        rows = int(lengths[chosen].sum())
        counts = {USERS: int(chosen.sum()), SHARE: chosen.mean(), ROWS: rows, SHARE_OF_ROWS: rows / lengths.sum()}
        nothing = dict.fromkeys((MEAN, VARIANCE, MEDIAN, MIN, MAX), np.nan)
        table.append({DEFINITION: definition, **counts, **(summary(lengths[chosen]) if chosen.any() else nothing)})
    return pd.DataFrame(table)


def one_day_lengths(histories: Histories) -> pd.DataFrame:
    """Rows a user of one-day users, by each definition, beside the others', each as a share of its group.

    Returns:
        DataFrame [definition, from, below, users, share, share_so_far]. A group without users has no rows.
    """
    lengths, groups = histories.lengths, one_day_users(histories)
    edges = growing_steps(lengths.min(), lengths.max(), 5)
    tables = [
        histogram(lengths[groups[name]], edges, USERS).assign(**{DEFINITION: name})
        for name in (SAME_DAY, WITHIN_24_HOURS, LONGER)
        if groups[name].any()
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[[DEFINITION, *table.columns.drop(DEFINITION)]]
