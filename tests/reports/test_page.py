"""The skeleton of a page: whole in one file, its text never markup, its charts drawn in light and dark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import altair as alt
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
    show_as,
    violations,
    wait_until,
    wait_until_drawn,
)

from movierec_bench.reports.pages import QUIET, Figure, Note, Page, Section, Table, render_page, write_page, write_png
from movierec_bench.reports.pages.figure import plain
from movierec_bench.reports.pages.page import number_text, prose, script_json

pytestmark = pytest.mark.xdist_group("page")  # one process, so that the page is built and shown once


def _bars(frame: pd.DataFrame) -> alt.LayerChart:
    x, y = alt.X("movies:Q", title="movies (number)"), alt.Y("genre:N", title="genre")
    bars = alt.Chart(frame).mark_bar().encode(x=x, y=y)
    return bars + alt.Chart(frame).mark_rule(style=QUIET).encode(x="mean(movies):Q")


def make_page() -> Page:
    movies = pd.DataFrame({"genre": ["Drama", ATTACK, "Comedy"], "movies": [30, 20, np.nan]})
    bars = Figure("genres", f"Movies a genre {ATTACK}", "Drama leads.", _bars(movies))
    line = alt.Chart(movies).mark_line().encode(x=alt.X("genre:N", title="genre"), y=alt.Y("movies:Q", title="movies"))
    told = pd.DataFrame({"what": ["first", "second"], "share": [0.5, 0.25]})
    lines = Figure("lines", "The same as a line", "It falls.", line, table=told, label="A line that falls")
    table = Table("numbers", "As a table", "Ten is more than nine.", pd.DataFrame({"name": ["a", "b"], "n": [9, 10]}))
    first = Section("first", "First", "An introduction.", (bars, Note(f"Nothing on years {ATTACK}"), table))
    return Page(f"Page {ATTACK}", "The lead.", (first, Section("second", "Second", "", (lines,))), (("users", "9"),))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, make_page())
    return path


def test_text_is_never_markup() -> None:
    text = render_page(make_page())
    assert "<script>window.attacked" not in text
    assert text.count("<script>") == 2  # the chart library, and the page's own
    assert json.loads(script_json(ATTACK)) == ATTACK and "<" not in script_json(ATTACK)


def test_the_library_is_there_once_and_only_with_charts() -> None:
    assert render_page(make_page()).count("vegaEmbed=") == 1
    assert "vegaEmbed=" not in render_page(Page("Empty", "No charts.", (Section("a", "A", "Words."),)))


def test_a_figures_numbers_are_its_charts_or_those_given() -> None:
    genres, lines = make_page().figures()
    assert genres.to_frame()["movies"].tolist()[:2] == [30, 20]
    assert lines.to_frame()["share"].tolist() == [0.5, 0.25]
    two = alt.Chart(pd.DataFrame({"a": [1]})).mark_point() + alt.Chart(pd.DataFrame({"a": [2]})).mark_point()
    with pytest.raises(ValueError, match="2 data frames; expected one, or a table"):
        Figure("two", "Two", "Two frames.", two).to_frame()


def test_the_same_rows_stand_in_the_page_once() -> None:
    chart = alt.Chart(pd.DataFrame({"a": [1, 2]})).mark_point()
    same = Figure("same", "Same", "", chart, table=pd.DataFrame({"a": [1, 2]})).for_page()
    assert same["table"] in same["spec"]["datasets"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1 / 3, 0.333333), (float("nan"), None), (float("inf"), None), (np.int64(7), 7), (pd.NA, None), ("x", "x")],
)
def test_numbers_in_a_page_are_short(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_cells_are_read_by_people() -> None:
    assert [number_text(value) for value in (31360, 0.16123456, np.nan, "x", 12.0)] == [
        "31,360",
        "0.1612",
        "",
        "x",
        "12",
    ]


def test_code_in_a_sentence_is_code_and_nothing_else_is_markup() -> None:
    assert prose("try `run --models A`, <b>`<i>`") == (
        "try <code>run --models A</code>, &lt;b&gt;<code>&lt;i&gt;</code>"
    )
    assert prose("one ` alone") == "one ` alone"


def test_a_figure_is_also_a_png_file(tmp_path: Path) -> None:
    figure = make_page().figures()[0]
    write_png(tmp_path / "a.png", figure)
    write_png(tmp_path / "b.png", figure, "dark")
    light, dark = (tmp_path / "a.png").read_bytes(), (tmp_path / "b.png").read_bytes()
    assert light.startswith(b"\x89PNG") and int.from_bytes(light[16:20], "big") >= 1440
    assert light != dark


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_alone_and_readable(
    chrome: webdriver.Chrome, path: Path, size: tuple[int, int], dark: bool
) -> None:
    open_page(chrome, path, size, dark)
    assert len(chrome.find_elements("css selector", ".chart svg")) == 2
    check_alone_and_readable(chrome)
    chrome.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert violations(chrome) == []


def test_charts_follow_the_theme_the_system_and_the_button(chrome: webdriver.Chrome, path: Path) -> None:
    open_page(chrome, path)
    ink = "return document.querySelector('.chart svg .role-axis-title text').getAttribute('fill')"
    assert chrome.execute_script(ink) == "#0b0b0b"
    chrome.find_element("id", "theme").click()
    wait_until_drawn(chrome)
    wait_until(chrome, "document.querySelector('.chart svg .role-axis-title text')?.getAttribute('fill') === '#ffffff'")
    assert chrome.find_element("id", "theme").get_attribute("aria-pressed") == "true"
    chrome.execute_script("localStorage.clear(); delete document.documentElement.dataset.theme")
    show_as(chrome, DESKTOP, dark=False)


def test_numbers_open_as_a_table_and_as_csv(chrome: webdriver.Chrome, path: Path) -> None:
    open_page(chrome, path)
    chrome.find_element("css selector", "#genres summary").click()
    wait_until(chrome, "document.querySelector('#genres .numbers tbody tr')")
    cells = [cell.text for cell in chrome.find_elements("css selector", "#genres .numbers tbody td")]
    assert cells == ["Drama", "30", ATTACK, "20", "Comedy", ""]
    text = chrome.execute_script("return page.csv(page.numbersOf('genres'))")
    assert text == 'genre,movies\nDrama,30\n"' + ATTACK.replace('"', '""') + '",20\nComedy,\n'


def test_a_table_is_sorted_by_number_and_says_so(chrome: webdriver.Chrome, path: Path) -> None:
    open_page(chrome, path)
    heading = chrome.find_elements("css selector", "#numbers th button")[1]
    heading.click()
    heading.click()
    assert heading.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    assert [row.text for row in chrome.find_elements("css selector", "#numbers tbody tr")] == ["b 10", "a 9"]
    assert re.fullmatch("Sorted by n, descending", chrome.find_element("id", "said").get_attribute("textContent"))
