"""The pictures of the users that every model does badly, or well, on."""

from __future__ import annotations

from collections.abc import Callable

from movierec_bench.reports.eda.numbers import judged
from movierec_bench.reports.eda.numbers.columns import GROUP, INTERVAL, MEAN_SHARE_A_USER, SHARE, USERS
from movierec_bench.reports.eda.numbers.histories import MONTH
from movierec_bench.reports.eda.numbers.judged import Judgement
from movierec_bench.reports.eda.pictures.charts import group_histograms, grouped_bars, lying_bars
from movierec_bench.reports.eda.pictures.wording import decimal, duration, listed, share, some
from movierec_bench.reports.pages import Figure, Note, Part, Section
from movierec_bench.schema import GENRE

TITLE = "Users every model does badly on"


def section(judgement: Judgement) -> Section:
    """How many users each group has, and how their training rows differ."""
    intro = (
        f"The judges are {listed(list(judgement.judges))}. A user is bad where the validation Recall@10 of every judge "
        f"is below {judgement.bad_below:g}, and good where every judge's is {judgement.good_from:g} or more. Only "
        "validation rows are judged; what is said of the users is about their training rows. Test rows are never read."
    )
    parts: list[Part] = [_counts(judgement)]
    if len(judged.members(judgement)) == 0:
        parts.append(Note("None of the judged users has training rows to tell more from."))
        return Section("judged", TITLE, intro, tuple(parts))
    parts.append(_lengths(judgement))
    if judgement.histories.has_times:
        parts.append(_spans(judgement))
    else:
        parts.append(Note("How long the histories lasted cannot be told: these data have no times."))
    if judgement.histories.has_feature(GENRE):
        parts.append(_genres(judgement))
    else:
        parts.append(Note("No movie of these data has a genre, so the groups' genres cannot be compared."))
    return Section("judged", TITLE, intro, tuple(parts))


def without_run(reason: str) -> Section:
    """The section where there is no run to judge with."""
    return Section("judged", TITLE, "", (Note(reason),))


def _counts(judgement: Judgement) -> Figure:
    table = judged.group_summary(judgement)
    bad, _, good = (row for _, row in table.iterrows())
    notice = (
        f"Every judge does badly on {some(bad[USERS], 'user', 'users')} ({share(bad[SHARE])}) and well on "
        f"{some(good[USERS], 'user', 'users')} ({share(good[SHARE])}) of {some(table[USERS].sum(), 'user', 'users')} "
        "with validation rows."
    )
    chart = lying_bars(table, GROUP, USERS, "group", "users")
    return Figure("judged-users", "How many users every model does badly or well on", notice, chart, table)


def _lengths(judgement: Judgement) -> Figure:
    told = _told(judgement, judged.MEDIAN_ROWS, decimal)
    notice = f"The median number of training rows is {told}."
    table = judged.group_lengths(judgement)
    x_title, y_title = "training rows of a user (logarithmic)", "share of the group's users (%)"
    chart = group_histograms(table, GROUP, x_title, y_title, SHARE)
    return Figure("judged-lengths", "How long the histories of bad and good users are", notice, chart, table)


def _spans(judgement: Judgement) -> Figure:
    told = _told(judgement, judged.MEDIAN_MONTHS, lambda months: duration(months * MONTH))
    notice = f"The median time from first to last training row is {told}."
    table = judged.group_spans(judgement)
    wide = table.pivot(index=INTERVAL, columns=GROUP, values=SHARE).loc[list(judged.SPANS)].reset_index()
    series = {group: group for group in judged.GROUPS if group in wide}
    x_title, y_title = "from first to last training row", "share of the group's users (%)"
    chart = grouped_bars(wide, INTERVAL, series, x_title, y_title, across=True)
    return Figure("judged-spans", "How long bad and good users stayed", notice, chart, table)


def _told(judgement: Judgement, column: str, worded: Callable[[float], str]) -> str:
    """What the groups' values of a column are, for those that have one."""
    table = judged.group_summary(judgement).dropna(subset=[column])
    return listed([f"{worded(row[column])} for users {row[GROUP]}" for _, row in table.iterrows()])


def _genres(judgement: Judgement) -> Figure:
    table = judged.group_genres(judgement)
    wide = table.pivot(index=GENRE, columns=GROUP, values=MEAN_SHARE_A_USER)
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    if {judged.BAD, judged.GOOD} <= set(wide.columns):
        difference = wide[judged.BAD] - wide[judged.GOOD]
        more, less = difference.idxmax(), difference.idxmin()
        notice = (
            f"Bad users watch relatively more {more} ({share(wide.loc[more, judged.BAD])} of a history, good users "
            f"{share(wide.loc[more, judged.GOOD])}) and less {less} ({share(wide.loc[less, judged.BAD])} against "
            f"{share(wide.loc[less, judged.GOOD])})."
        )
    else:
        notice = f"Only users {listed(wide.columns.tolist())} are there, so there is nothing to compare."
    series = {group: group for group in judged.GROUPS if group in wide}
    chart = grouped_bars(wide.reset_index(), GENRE, series, "genre", "mean share of a history (%)", across=True)
    return Figure("judged-genres", "What bad and good users watch", notice, chart, table)
