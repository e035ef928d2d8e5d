"""The page of pictures: what is drawn of which data, what it says, and how it shows in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from selenium import webdriver
from support.browser import (
    ATTACK,
    DESKTOP,
    PHONE,
    check_alone_and_readable,
    open_page,
    wait_until,
)
from support.planted import planted_competition

from movierec_bench.data.atomic import AtomicData
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.numbers.judged import Judgement, group_users
from movierec_bench.reports.eda.page import build_page
from movierec_bench.reports.eda.pictures import wording
from movierec_bench.reports.pages import Note, Page, write_page
from movierec_bench.schema import DIRECTOR, GENRE, TIME, TITLE, WRITER, YEAR

NO_RUN = "There is no run."
ALWAYS = {
    "missing-information",
    "history-lengths",
    "long-tail",
    "rows-of-the-popular",
    "tail-below-200",
    "dropped-movies",
}
OF_TIMES = {
    "rows-a-month",
    "span-months",
    "one-day-users",
    "one-day-lengths",
    "sessions-a-user",
    "rows-a-session",
    "gaps",
    "first-minutes",
}
OF_YEARS = {"movies-a-year", "rows-by-release-year"}
OF_YEARS_AND_TIMES = {"release-against-watch", "age-at-watching"}
OF_GENRES = {"genre-counts", "genre-pairs", "genre-correlation", "genres-a-user", "genre-shares"}
OF_PERSONS = {"top-directors", "top-writers"}
OF_JUDGES = {"judged-users", "judged-lengths", "judged-spans", "judged-genres"}


def judged(data: AtomicData) -> Judgement:
    """Two judges who agree that every third user is good, and every third bad."""
    histories = Histories.of(data)
    recall = np.resize([0.0, 0.15, 0.6], histories.users)
    table = pd.DataFrame({"A": recall, "B": recall + 0.01}, index=histories.user_ids)
    return Judgement(("A", "B"), 0.1, 0.2, table, group_users(table, 0.1, 0.2), histories)


def names(page: Page) -> set[str]:
    return {figure.name for figure in page.figures()}


def notes(page: Page) -> str:
    return " ".join(part.text for section in page.sections for part in section.parts if isinstance(part, Note))


def without(data: AtomicData, *features: str) -> AtomicData:
    """The data as if nobody had known these features of movies."""
    nothing = {TITLE: "", YEAR: np.nan}
    movies = data.movies.copy()
    for feature in features:
        movies[feature] = [nothing.get(feature, ())] * len(movies)
    return replace(data, movies=movies)


def test_everything_is_drawn_where_everything_is_known(planted: AtomicData) -> None:
    page = build_page(planted, judged(planted), 60)
    assert names(page) == {
        *ALWAYS,
        *OF_TIMES,
        *OF_YEARS,
        *OF_YEARS_AND_TIMES,
        *OF_GENRES,
        *OF_PERSONS,
        *OF_JUDGES,
        "genres-by-release-year",
        "genres-by-watch-year",
        "cramers-v",
        "directors-by-genre",
    }
    assert notes(page) == ""


def test_without_times(planted: AtomicData) -> None:
    page = build_page(replace(planted, interactions=planted.interactions.assign(**{TIME: 0})), NO_RUN, 60)
    expected = ALWAYS | OF_YEARS | OF_GENRES | OF_PERSONS
    assert names(page) == expected | {"genres-by-release-year", "cramers-v", "directors-by-genre"}
    assert "no one-day users" in notes(page) and "Sessions need times" in notes(page) and NO_RUN in notes(page)


def test_without_years(planted: AtomicData) -> None:
    page = build_page(without(planted, YEAR), NO_RUN, 60)
    assert names(page) & (OF_YEARS | OF_YEARS_AND_TIMES | {"genres-by-release-year"}) == set()
    assert names(page) >= OF_TIMES | {"genres-by-watch-year"}
    assert "No movie of these data has a release year" in notes(page)


def test_without_genres(planted: AtomicData) -> None:
    data = without(planted, GENRE)
    page = build_page(data, judged(data), 60)
    assert names(page) & (OF_GENRES | {"genres-by-watch-year", "cramers-v", "judged-genres"}) == set()
    assert names(page) >= OF_PERSONS | {"judged-users", "judged-lengths", "judged-spans"}
    assert "No movie of these data has a genre" in notes(page) and "Without genres" in notes(page)


def test_without_any_side_information(planted: AtomicData) -> None:
    page = build_page(without(planted, TITLE, YEAR, GENRE, DIRECTOR, WRITER), NO_RUN, 60)
    assert names(page) == ALWAYS | OF_TIMES
    assert "No movie of these data has a director" in notes(page) and "a writer" in notes(page)


@pytest.mark.parametrize("users", [1, 2])
def test_the_smallest_data(planted: AtomicData, users: int) -> None:
    few = planted.interactions.groupby("user").head(2).head(2 * users)
    page = build_page(replace(planted, interactions=few), NO_RUN, 60)
    assert names(page) >= ALWAYS | OF_TIMES
    assert "nan" not in " ".join(figure.notice for figure in page.figures())


def test_one_genre_alone_has_no_pairs(planted: AtomicData) -> None:
    movies = planted.movies.assign(**{GENRE: [("Drama",)] * len(planted.movies)})
    page = build_page(replace(planted, movies=movies), NO_RUN, 60)
    assert "there are no pairs of genres" in notes(page)
    assert names(page) >= {"genre-counts", "genre-shares"}


def test_sentences_say_the_numbers_of_the_data(planted: AtomicData) -> None:
    told = {figure.name: figure.notice for figure in build_page(planted, judged(planted), 60).figures()}
    lengths = planted.interactions.groupby("user").size()
    assert f"Half the users have {lengths.median():.3g} rows or fewer" in told["history-lengths"]
    assert "1 movie lacks a year (2.5%" in told["missing-information"]
    assert "Every judge does badly on 20 users (33.3%) and well on 20 users (33.3%) of 60" in told["judged-users"]
    first = planted.interactions.groupby("item").size().max()
    assert f"has {first} rows, the median movie" in told["long-tail"]


def test_every_picture_has_a_title_units_a_sentence_and_numbers(planted: AtomicData) -> None:
    for figure in build_page(planted, judged(planted), 60).figures():
        assert figure.title and figure.notice.endswith("."), figure.name
        assert len(figure.to_frame()), figure.name
        layers = figure.spec.get("layer", [figure.spec])
        for side in ("x", "y"):
            assert any(layer["encoding"].get(side, {}).get("title") for layer in layers), (figure.name, side)


def test_ids_and_names_may_be_any_text(planted: AtomicData) -> None:
    rows, movies = planted.interactions, planted.movies
    odd = replace(
        planted,
        interactions=rows.assign(user="u" + rows["user"].astype(str), item="m" + rows["item"].astype(str)),
        movies=movies.assign(item="m" + movies["item"].astype(str), title=ATTACK, genre=[(ATTACK, "b")] * len(movies)),
    )
    figures = {figure.name: figure for figure in build_page(odd, NO_RUN, 60).figures()}
    assert ATTACK in figures["genre-counts"].notice and ATTACK in figures["long-tail"].notice


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(45, "45 seconds"), (90, "90 seconds"), (7_200, "2 hours"), (3 * 86_400, "3 days"), (1e8, "38 months")],
)
def test_times_are_told_in_a_unit_that_suits_them(seconds: float, expected: str) -> None:
    assert wording.duration(seconds) == expected


def test_shares_never_claim_nothing_or_all_wrongly() -> None:
    assert [wording.share(part) for part in (0, 0.0004, 0.5, 0.9996, 1)] == [
        "0%",
        "under 0.1%",
        "50.0%",
        "over 99.9%",
        "100%",
    ]
    assert [wording.some(number, "user", "users") for number in (0, 1, 1_200)] == ["no users", "1 user", "1,200 users"]
    assert [wording.listed(some) for some in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


# -- in a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of data whose titles, genres and persons are named to do harm."""
    data = planted_competition()
    movies = data.movies.assign(
        title=ATTACK, genre=[(*names, ATTACK) for names in data.movies[GENRE]], director=[(ATTACK,)] * len(data.movies)
    )
    there = pd.unique(data.ratings["item"])
    movies = movies[movies["item"].isin(there)].reset_index(drop=True)
    atomic = AtomicData(f"odd {ATTACK}", Path("odd"), data.ratings, movies, pd.DataFrame(), None, "0" * 16)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("eda") / "index.html"
    write_page(path, build_page(atomic, judged(atomic), 60))
    return path


@pytest.mark.xdist_group("page")
@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_every_picture_is_drawn_and_the_page_is_readable(
    chrome: webdriver.Chrome, path: Path, size: tuple[int, int], dark: bool
) -> None:
    open_page(chrome, path, size, dark)
    figures = chrome.find_elements("css selector", "figure")
    assert len(figures) == len(chrome.find_elements("css selector", "figure .chart svg")) > 30
    marks = (
        "return [...document.querySelectorAll('figure')].filter(each => !each.querySelector('svg .mark-rect path, svg "
    )
    marks += ".mark-line path, svg .mark-area path')).map(each => each.id)"
    assert chrome.execute_script(marks) == []
    check_alone_and_readable(chrome)


@pytest.mark.xdist_group("page")
def test_the_numbers_open_below_their_picture(chrome: webdriver.Chrome, path: Path) -> None:
    open_page(chrome, path)
    chrome.execute_script("document.querySelector('#dropped-movies summary').click()")
    wait_until(chrome, "document.querySelector('#dropped-movies .numbers tbody tr')")
    heads = [head.text for head in chrome.find_elements("css selector", "#dropped-movies .numbers th")]
    assert heads[:3] == ["fewest_rows", "movies_dropped", "share_of_movies_dropped"]
