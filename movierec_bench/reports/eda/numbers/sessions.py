"""Sessions: how a user's rows bunch in time, and how much of a history was entered in bulk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.bins import named_histogram
from movierec_bench.reports.eda.numbers.columns import GAP, INTERVAL, MINUTES, ROWS, SESSIONS, SHARE_OF_ROWS, USERS
from movierec_bench.reports.eda.numbers.histories import DAY, MONTH, Histories

MINUTE, HOUR = 60, 3_600  # seconds
OF_ALL, OF_A_USER = "share_of_all_rows", "mean_share_of_a_user"
GAPS = {
    "same second": 1,
    "1-9 s": 10,
    "10-59 s": MINUTE,
    "1-10 min": 10 * MINUTE,
    "10-60 min": HOUR,
    "1-24 h": DAY,
    "1-7 days": 7 * DAY,
    "7-30 days": round(MONTH),
    "over a month": np.inf,
}  # name -> where it ends, in seconds, not included
FIRST_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 360, 1_440)
SESSION_COUNTS = {
    "1": 2,
    "2": 3,
    "3": 4,
    "4-5": 6,
    "6-10": 11,
    "11-20": 21,
    "21-50": 51,
    "51-100": 101,
    "over 100": np.inf,
}
SESSION_ROWS = {
    "1": 2,
    "2-5": 6,
    "6-10": 11,
    "11-20": 21,
    "21-50": 51,
    "51-100": 101,
    "101-200": 201,
    "201-500": 501,
    "over 500": np.inf,
}


def gaps(histories: Histories) -> np.ndarray:
    """Seconds from each row to the user's row before: int64 [rows - users]; a user's first row has none."""
    times = histories.times
    same = histories.user[1:] == histories.user[:-1]
    return (times[1:] - times[:-1])[same]


def gap_counts(histories: Histories) -> pd.DataFrame:
    """Rows by time since the user's row before: DataFrame [time_since_the_row_before, rows, share, share_so_far]."""
    return named_histogram(gaps(histories), GAPS, ROWS, GAP)


def session_of(histories: Histories, pause: float) -> np.ndarray:
    """The session of each row, numbered from 0 over all users: int64 [rows].

    A user's first row begins a session, and so does each row more than ``pause`` seconds after the row before.
    """
    begins = np.ones(len(histories), dtype=bool)
    same = histories.user[1:] == histories.user[:-1]
    begins[1:] = ~same | (np.diff(histories.times) > pause)
    return np.cumsum(begins) - 1


def sessions_of_users(histories: Histories, pause: float) -> np.ndarray:
    """Sessions of each user: int64 [users]; ``pause`` as in `session_of`."""
    session = session_of(histories, pause)
    starts = histories.starts
    return session[starts + histories.lengths - 1] - session[starts] + 1


def session_rows(histories: Histories, pause: float) -> np.ndarray:
    """Rows of each session: int64 [sessions]; ``pause`` as in `session_of`."""
    return np.bincount(session_of(histories, pause))


def sessions_a_user(histories: Histories, pause: float) -> pd.DataFrame:
    """Users by number of sessions: DataFrame [interval, users, share, share_so_far]."""
    return named_histogram(sessions_of_users(histories, pause), SESSION_COUNTS, USERS, INTERVAL)


def rows_a_session(histories: Histories, pause: float) -> pd.DataFrame:
    """Sessions by number of rows, with the rows in them.

    Returns:
        DataFrame [interval, sessions, share, share_so_far, rows, share_of_rows].
    """
    sizes = session_rows(histories, pause)
    table = named_histogram(sizes, SESSION_ROWS, SESSIONS, INTERVAL)
    place = np.searchsorted([0, *SESSION_ROWS.values()], sizes, side="right") - 1
    table[ROWS] = np.bincount(place, weights=sizes, minlength=len(table)).astype(np.int64)
    table[SHARE_OF_ROWS] = table[ROWS] / len(histories)
    return table


def first_minutes(histories: Histories, minutes: Sequence[int] = FIRST_MINUTES) -> pd.DataFrame:
    """How much of the histories was entered within so many minutes of each user's first row.

    Returns:
        DataFrame [minutes_after_the_first_row, share_of_all_rows, mean_share_of_a_user], shares in 0 to 1.
    """
    since = histories.times - np.repeat(histories.times[histories.starts], histories.lengths)
    table = []
    for minute in minutes:
        early = np.bincount(histories.user, weights=since <= MINUTE * minute, minlength=histories.users)
        table.append(
            {MINUTES: minute, OF_ALL: early.sum() / len(histories), OF_A_USER: (early / histories.lengths).mean()}
        )
    return pd.DataFrame(table)
