"""The page of pictures, put together: every section that the data allow, and a word about those they do not."""

from __future__ import annotations

from typing import Union

import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.numbers.judged import Judgement
from movierec_bench.reports.eda.pictures import creators, dates, genres, judged, movies, sessions, users
from movierec_bench.reports.eda.pictures.wording import count, decimal, share
from movierec_bench.reports.pages import Page, Section


def build_page(data: AtomicData, judgement: Union[Judgement, str], pause_minutes: float) -> Page:
    """Everything about a data set that can be drawn.

    Args:
        data: the data set.
        judgement: what models of a run say of the users, or why none does.
        pause_minutes: a session ends with a pause of more than so many minutes.
    """
    histories = Histories.of(data)
    judged_users = judged.without_run(judgement) if isinstance(judgement, str) else judged.section(judgement)
    sections = (
        Section("overview", "Overview", "", (dates.rows_a_month(histories), movies.missing(histories))),
        users.section(histories),
        sessions.section(histories, pause_minutes),
        movies.popularity(histories),
        movies.years(histories),
        genres.section(histories),
        creators.section(histories),
        judged_users,
    )
    lead = (
        "What is in the data: each picture with what to notice, said from the numbers, and the numbers themselves. "
        f"A row is one user having watched one movie; times are UTC. Data hash: {data.data_hash}."
    )
    return Page(f"The data set {data.name}", lead, sections, facts=_facts(data, histories))


def _facts(data: AtomicData, histories: Histories) -> tuple[tuple[str, str], ...]:
    watched = int((histories.movie_rows > 0).sum())
    facts = [
        ("users", count(histories.users)),
        ("movies", count(len(histories.movies))),
        ("of them watched", count(watched)),
        ("rows", count(len(histories))),
        ("rows of a user, mean", decimal(len(histories) / histories.users)),
        ("user-movie pairs that are rows", share(len(histories) / (histories.users * watched))),
    ]
    if histories.has_times:
        first, last = (pd.Timestamp(int(time), unit="s") for time in (histories.times.min(), histories.times.max()))
        facts += [("first row", f"{first:%Y-%m-%d}"), ("last row", f"{last:%Y-%m-%d}")]
    return tuple(facts)
