"""The pictures of sessions and of bulk entry."""

from __future__ import annotations

import numpy as np

from movierec_bench.reports.eda.numbers import sessions
from movierec_bench.reports.eda.numbers.columns import GAP, INTERVAL, MINUTES, ROWS, SHARE, SHARE_OF_ROWS, USERS
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.pictures.charts import bars, grouped_bars, lying_bars
from movierec_bench.reports.eda.pictures.wording import count, decimal, share, some
from movierec_bench.reports.pages import Figure, Note, Section

TITLE = "Sessions and bulk entry"


def section(histories: Histories, pause_minutes: float) -> Section:
    """Sessions, pauses and first minutes; a session ends with a pause of more than ``pause_minutes``."""
    if not histories.has_times:
        return Section("sessions", TITLE, "", (Note("Sessions need times, and these data have none."),))
    intro = (
        f"A session is a user's rows with no pause of more than {decimal(pause_minutes)} minutes between them. "
        "Rows that follow each other within seconds were entered in bulk: their order says little about what was "
        "watched when."
    )
    pause = pause_minutes * sessions.MINUTE
    parts = (_sessions(histories, pause), _session_rows(histories, pause), _gaps(histories), _first_minutes(histories))
    return Section("sessions", TITLE, intro, parts)


def _sessions(histories: Histories, pause: float) -> Figure:
    table = sessions.sessions_a_user(histories, pause)
    counts = sessions.sessions_of_users(histories, pause)
    notice = (
        f"{some(counts.sum(), 'session', 'sessions')} in all; {share((counts == 1).mean())} of the users have one "
        f"session only, the median is {decimal(float(np.median(counts)))}, the most {count(counts.max())}."
    )
    chart = bars(table, INTERVAL, USERS, "sessions of a user", "users")
    return Figure("sessions-a-user", "How many sessions users have", notice, chart, table)


def _session_rows(histories: Histories, pause: float) -> Figure:
    table = sessions.rows_a_session(histories, pause)
    sizes = sessions.session_rows(histories, pause)
    large = sizes > 50
    notice = (
        f"A session has {decimal(float(sizes.mean()))} rows on average (median {decimal(float(np.median(sizes)))}, at "
        f"most {count(sizes.max())}); those of more than 50 are {share(large.mean())} of the sessions and hold "
        f"{share(sizes[large].sum() / sizes.sum())} of the rows."
    )
    series = {SHARE: "share of sessions", SHARE_OF_ROWS: "share of rows"}
    chart = grouped_bars(table, INTERVAL, series, "rows of a session", "share (%)")
    return Figure("rows-a-session", "How many rows sessions have", notice, chart, table)


def _gaps(histories: Histories) -> Figure:
    table = sessions.gap_counts(histories)
    gaps = sessions.gaps(histories)
    if len(gaps):
        notice = (
            f"{share((gaps == 0).mean())} of the rows that follow another of the same user carry the same second, "
            f"{share((gaps < 10).mean())} come within 10 seconds and {share((gaps < 60).mean())} within a minute."
        )
    else:
        notice = "No user has more than one row."
    chart = lying_bars(table, GAP, ROWS, "time since row before", "rows")
    return Figure("gaps", "How soon one row follows another", notice, chart, table)


def _first_minutes(histories: Histories) -> Figure:
    table = sessions.first_minutes(histories)
    early = table.set_index(MINUTES)
    notice = (
        f"Within ten minutes of a user's first row come {share(early.loc[10, sessions.OF_ALL])} of all rows, within "
        f"an hour {share(early.loc[60, sessions.OF_ALL])}; for the average user it is "
        f"{share(early.loc[10, sessions.OF_A_USER])} and {share(early.loc[60, sessions.OF_A_USER])} of the history."
    )
    series = {sessions.OF_ALL: "of all rows", sessions.OF_A_USER: "of a user's rows, mean"}
    chart = grouped_bars(table, MINUTES, series, "minutes since the user's first row", "share made by then (%)")
    return Figure("first-minutes", "How much of a history its first minutes hold", notice, chart, table)
