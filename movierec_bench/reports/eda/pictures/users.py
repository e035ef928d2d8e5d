"""The pictures of the users' histories: how long, over how many months, and whose is a day's."""

from __future__ import annotations

import numpy as np

from movierec_bench.reports.eda.numbers import users
from movierec_bench.reports.eda.numbers.columns import (
    DEFINITION,
    MAX,
    MEAN,
    MEDIAN,
    MIN,
    SHARE,
    SHARE_OF_ROWS,
    USERS,
    VARIANCE,
)
from movierec_bench.reports.eda.numbers.histories import MONTH, Histories
from movierec_bench.reports.eda.pictures.charts import group_histograms, grouped_bars, histogram
from movierec_bench.reports.eda.pictures.wording import count, decimal, duration, listed, share, some
from movierec_bench.reports.pages import Figure, Note, Part, Section


def section(histories: Histories) -> Section:
    """History lengths and, where there are times, what months they span and who came for a day only."""
    parts: tuple[Part, ...] = (_lengths(histories),)
    if histories.has_times:
        parts += (_months(histories), _one_day(histories), _one_day_lengths(histories))
    else:
        parts += (Note("These data have no times, so there are no months between rows and no one-day users to show."),)
    return Section("users", "Users", "A user's history is all the rows of that user.", parts)


def _lengths(histories: Histories) -> Figure:
    lengths = users.summary(histories.lengths)
    longest = np.sort(histories.lengths)[::-1]
    tenth = longest[: max(1, len(longest) // 10)]
    notice = (
        f"Half the users have {decimal(lengths[MEDIAN])} rows or fewer, from {count(lengths[MIN])} to "
        f"{count(lengths[MAX])}; the mean is {decimal(lengths[MEAN])}, the variance {decimal(lengths[VARIANCE])}. "
        f"The longest {share(len(tenth) / len(longest))} of the histories hold {share(tenth.sum() / longest.sum())} "
        "of all rows."
    )
    table = users.history_lengths(histories)
    chart = histogram(table, USERS, "rows of a user (logarithmic)", "users", log=True)
    return Figure("history-lengths", "How many rows users have", notice, chart, table)


def _months(histories: Histories) -> Figure:
    table = users.span_months(histories)
    seconds = users.spans(histories)
    months = seconds / MONTH
    notice = (
        f"{share((months < 1).mean())} of the users made all their rows within a month (30.44 days) and "
        f"{share((months < 12).mean())} within a year; the median time is {duration(float(np.median(seconds)))}, the "
        f"longest {duration(float(seconds.max()))}."
    )
    chart = histogram(table, USERS, "months between a user's first and last row", "users")
    return Figure("span-months", "Months between a user's first and last row", notice, chart, table)


def _one_day(histories: Histories) -> Figure:
    table = users.one_day_summary(histories)
    rows = table.set_index(DEFINITION)
    same, within, longer = (rows.loc[name] for name in (users.SAME_DAY, users.WITHIN_24_HOURS, users.LONGER))
    notice = (
        f"{some(same[USERS], 'user', 'users')} ({share(same[SHARE])}) made all rows on one calendar day and "
        f"{count(within[USERS])} ({share(within[SHARE])}) within 24 hours. The latter's median history has "
        f"{decimal(within[MEDIAN])} rows, everybody else's {decimal(longer[MEDIAN])}; they hold "
        f"{share(within[SHARE_OF_ROWS])} of all rows."
    )
    series = {SHARE: "share of users", SHARE_OF_ROWS: "share of rows"}
    chart = grouped_bars(table, DEFINITION, series, "rows lie", "share (%)", across=True)
    return Figure("one-day-users", "Users who came for one day only, by two definitions", notice, chart, table)


def _one_day_lengths(histories: Histories) -> Figure:
    table = users.one_day_lengths(histories)
    lengths = histories.lengths
    chosen = users.one_day_users(histories)
    long = lengths >= 100
    told = [
        f"{share(long[there].mean())} ({name})" if there.any() else f"nobody ({name})" for name, there in chosen.items()
    ]
    notice = f"Users with 100 rows or more, by how close together their rows lie: {listed(told)}."
    chart = group_histograms(table, DEFINITION, "rows of a user (logarithmic)", "share of the group's users (%)", SHARE)
    return Figure(
        "one-day-lengths", "How long the histories of one-day users are, beside the others'", notice, chart, table
    )
