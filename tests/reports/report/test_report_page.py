"""The report in a real browser: drawn, readable, sorted, filtered, and one user opened; and as a user makes it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from support.browser import (
    ATTACK,
    DESKTOP,
    PHONE,
    check_alone_and_readable,
    complaints,
    open_page,
    wait_until,
)
from support.mix_runs import ORACLES, Oracle, write_run
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.report.material import read_material
from movierec_bench.reports.report.standing import contenders
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import FAILED, SKIPPED, Seconds, Status
from movierec_bench.schema import ITEM, USER, K

FIGURES = {
    "intervals",
    "recall-at-k",
    "time",
    "learning",
    "near",
    "shared",
    "segment-length",
    "segment-span",
    "segment-age",
    "segment-focus",
    "segment-good",
    "popularity",
    "genre",
    "decade",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has all a run can have, and whose titles, genres and errors are named to do harm."""
    folder = tmp_path_factory.mktemp("made")
    source = planted_competition(150, 60)
    movies = source.movies.assign(
        title=[f"{number} {ATTACK}" for number in range(60)],
        genre=[(*names, ATTACK) for names in source.movies["genre"]],
    )
    many = {f"Copy{number}": Oracle(0.2, family="context") for number in range(12)}
    run = write_run(folder, {**ORACLES, **many}, source=dataclasses.replace(source, movies=movies))
    for seconds, name in enumerate(("Noise", "Weak", "Odd", "Even")):
        status = run.model(name).read_status()
        run.model(name).write_status(dataclasses.replace(status, seconds=Seconds(fit=10.0**seconds, rank=0.5)))
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0], "valid_recall@10": [0.1, 0.3, 0.2]})
    write_csv(run.model("Odd").epochs, epochs.assign(seconds=1.0))
    run.model("Broken").write_status(Status("Broken", FAILED, "general", "ours", f"{ATTACK}\nsecond line"))
    run.model("Absent").write_status(Status("Absent", SKIPPED, "tree", "ours", "needs: a GPU"))
    mb.ensemble(run.path, method="rrf", models="Even,Odd", no_track=True)
    mb.ensemble(run.path, method="route", models="Even,Odd", by="length", no_track=True)
    return folder


@pytest.fixture(scope="module")
def run(made: Path) -> RunFolder:
    return RunFolder(made / "runs" / "planted")


@pytest.fixture(scope="module")
def page(run: RunFolder) -> Path:
    return mb.report(run.path)


def shown(chrome: webdriver.Chrome) -> list[str]:
    """The models that the board shows, from the top."""
    script = "return [...document.querySelectorAll('#board-table tbody tr')].filter(row => !row.hidden)"
    return [name.strip() for name in chrome.execute_script(f"{script}.map(row => row.cells[1].firstChild.textContent)")]


def choose(chrome: webdriver.Chrome, identity: str, value: str) -> None:
    """Give a field of the page a value, as a hand would."""
    script = "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
    chrome.execute_script(f"{script} field.dispatchEvent(new Event('input', {{bubbles: true}}))", identity, value)


def open_user(chrome: webdriver.Chrome, user: str) -> None:
    field = chrome.find_element(By.ID, "user-id")
    field.clear()
    field.send_keys(user, Keys.ENTER)


pytestmark = pytest.mark.xdist_group("page")


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_it_is_drawn_alone_and_readable(
    chrome: webdriver.Chrome, page: Path, size: tuple[int, int], dark: bool
) -> None:
    open_page(chrome, page, size, dark)
    assert {figure.get_attribute("id") for figure in chrome.find_elements(By.TAG_NAME, "figure")} == FIGURES
    assert len(chrome.find_elements(By.CSS_SELECTOR, "figure .chart svg")) == len(FIGURES)
    marks = "return [...document.querySelectorAll('figure')].filter(each => !each.querySelector('svg .role-mark path'))"
    assert chrome.execute_script(f"{marks}.map(each => each.id)") == [], "charts without a mark"
    wait_until(chrome, "document.querySelectorAll('.ten').length")
    chrome.execute_script(
        "document.querySelectorAll('#intervals details, #setup details').forEach(each => each.open = true)"
    )
    check_alone_and_readable(chrome)


def test_the_board_sorts_by_hand_and_by_keyboard(chrome: webdriver.Chrome, page: Path, run: RunFolder) -> None:
    board = mb.leaderboard(run.path).to_frame()
    open_page(chrome, page)
    assert shown(chrome) == board["model"].tolist()
    heads = {head.text: head for head in chrome.find_elements(By.CSS_SELECTOR, "#board-table thead th")}
    heads["model"].find_element(By.TAG_NAME, "button").click()
    assert shown(chrome) == sorted(board["model"], key=str.lower)
    heads["coverage@10"].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heads["coverage@10"].get_attribute("aria-sort") == "descending"
    scored = board.dropna(subset="coverage@10").sort_values("coverage@10", ascending=False)
    values = scored.set_index("model")["coverage@10"]
    assert values[shown(chrome)[: len(scored)]].tolist() == values.tolist()
    assert set(shown(chrome)[len(scored) :]) == {"Broken", "Absent"}, "what was not scored stays last"


def test_the_board_is_searched_and_filtered(chrome: webdriver.Chrome, page: Path, run: RunFolder) -> None:
    open_page(chrome, page)
    choose(chrome, "board-search", "copy1")
    assert sorted(shown(chrome)) == ["Copy1", "Copy10", "Copy11"]
    assert chrome.find_element(By.ID, "board-count").text == "3 of 20 models"
    choose(chrome, "board-search", "")
    choose(chrome, "board-family", "ensemble")
    assert sorted(shown(chrome)) == ["route", "rrf"]
    choose(chrome, "board-family", "")
    choose(chrome, "board-status", "failed")
    assert shown(chrome) == ["Broken"]
    choose(chrome, "board-status", "")
    chrome.find_element(By.ID, "board-best").click()
    expected = set(contenders(read_material(run.path)))
    assert set(shown(chrome)) == expected and 1 <= len(expected) < 20


def test_a_user_is_opened_with_titles_and_hits(chrome: webdriver.Chrome, page: Path, run: RunFolder) -> None:
    open_page(chrome, page)
    test, titles = pd.read_parquet(run.split / "test.parquet"), mb_titles(run)
    ranking = run.model("Even").read_topk("test", K)
    hits = ranking.merge(test[[USER, ITEM]], on=[USER, ITEM])
    user = int(hits[USER].iloc[-1])
    open_user(chrome, str(user))
    wait_until(chrome, f"document.getElementById('user-name').textContent === 'User {user}'")
    assert chrome.switch_to.active_element.get_attribute("id") == "user-name", "a screen reader goes on there"
    held_out = [titles[item] for item in test.loc[test[USER] == user, ITEM]]
    lines = [line.text for line in chrome.find_elements(By.CSS_SELECTOR, "#user-held-out li")]
    assert [line.split(" – found by ")[0] for line in lines] == held_out
    cards = {card.find_element(By.TAG_NAME, "h5").text: card for card in chrome.find_elements(By.CLASS_NAME, "ten")}
    ten = [titles[item] for item in ranking[ranking[USER] == user].sort_values("rank")[ITEM]]
    items = cards["Even"].find_elements(By.TAG_NAME, "li")
    found = [item.get_attribute("textContent").replace("✓ ", "").replace(" (hit)", "") for item in items]
    assert found == ten
    marked = [
        mark.text.replace("\n(hit)", "").replace(" (hit)", "")
        for mark in cards["Even"].find_elements(By.TAG_NAME, "mark")
    ]
    assert sorted(marked) == sorted(set(ten) & set(held_out)) and marked
    assert f"{len(marked)} of {len(held_out)} found" in cards["Even"].text
    assert complaints(chrome) == []


def test_tens_are_searched_ordered_and_all_shown(chrome: webdriver.Chrome, page: Path) -> None:
    open_page(chrome, page)
    wait_until(chrome, "document.querySelectorAll('.ten').length === 12")
    more = chrome.find_element(By.ID, "tens-more")
    assert more.text == "Show all 18 models"
    more.click()
    assert len(chrome.find_elements(By.CLASS_NAME, "ten")) == 18 and not more.is_displayed()
    choose(chrome, "tens-order", "hits")
    found = [int(each.text.split(" ")[0]) for each in chrome.find_elements(By.CSS_SELECTOR, ".ten p")]
    assert found == sorted(found, reverse=True)
    choose(chrome, "tens-search", "odd")
    assert [head.text for head in chrome.find_elements(By.CSS_SELECTOR, ".ten h5")] == ["Odd"]


def test_a_user_who_is_not_there_is_told_of(chrome: webdriver.Chrome, page: Path) -> None:
    open_page(chrome, page)
    open_user(chrome, "7777")
    wait_until(chrome, "document.getElementById('user-message').textContent")
    said = chrome.find_element(By.ID, "user-message").text
    assert (
        said
        == "User 7777 is not in this page, which has 150 of them. Make it again with --users 7777, or choose another."
    )


def test_a_link_opens_its_user(chrome: webdriver.Chrome, page: Path) -> None:
    chrome.get("about:blank")
    chrome.get(f"{page.resolve().as_uri()}#user-131")
    wait_until(chrome, "document.getElementById('user-name')?.textContent === 'User 131'")


def test_a_name_on_the_board_is_not_torn_on_a_phone(chrome: webdriver.Chrome, page: Path) -> None:
    open_page(chrome, page, PHONE)
    names = (
        "return [...document.querySelectorAll('#board-table tbody th')].map(cell => [cell.innerText, cell.clientWidth])"
    )
    widths = dict(chrome.execute_script(names))
    assert min(widths.values()) >= 120, "room for a word such as UserKNN, and for the tag on one line"
    tag = "return document.querySelector('.tag').getClientRects().length"
    assert chrome.execute_script(tag) == 1


def test_mixes_failures_and_settings_are_told(chrome: webdriver.Chrome, page: Path) -> None:
    open_page(chrome, page)
    mixes = chrome.find_element(By.ID, "mixes-table").text
    assert "Even 1, Odd 1" in mixes and "short: " in mixes
    failures = chrome.find_element(By.ID, "failures").text
    assert "1 failed and 1 skipped." in failures and ATTACK in failures and "needs: a GPU" in failures
    setup = chrome.find_element(By.ID, "setup")
    chrome.execute_script("document.querySelectorAll('#setup details').forEach(each => each.open = true)")
    assert "made up" in setup.text and "strength: 4.0" in setup.text
    front = chrome.find_element(By.CSS_SELECTOR, "#time .notice").text
    assert "Noise" in front and "Even" in front and "On the Pareto front" in front


# -- as a user makes it -------------------------------------------------------------------------


def mb_titles(run: RunFolder) -> dict[int, str]:
    """What the page calls each movie."""
    material = read_material(run.path)
    return dict(zip(material.items.ids, material.titles))


def test_the_command_writes_the_page_and_nothing_else(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy")
    folder = tmp_path / "copy" / "runs" / "planted"
    (folder / "report.html").unlink(missing_ok=True)
    before = set(folder.rglob("*"))
    command = [sys.executable, "-m", "movierec_bench", "report", str(folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout and "MB)" in done.stdout
    assert set(folder.rglob("*")) - before == {folder / "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == {"copy"}


def test_users_are_asked_for_by_flag_and_by_file(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("120\n\n121\n", encoding="utf-8")
    path = mb.report(run.path, out=tmp_path / "a.html", users="119", users_file=tmp_path / "users.txt")
    assert path == tmp_path / "a.html"
    with pytest.raises(ConfigError, match="users 7777 have no rows"):
        mb.report(run.path, out=tmp_path / "b.html", users=[7777])
    with pytest.raises(ConfigError, match="expected a text file with one user id a line"):
        mb.report(run.path, out=tmp_path / "b.html", users_file=tmp_path / "none.txt")
    assert not (tmp_path / "b.html").exists()


def test_without_the_data_movies_are_shown_by_id(run: RunFolder, tmp_path: Path) -> None:
    text = mb.report(run.path, out=tmp_path / "a.html", atomic=tmp_path / "nowhere").read_text(encoding="utf-8")
    assert "Titles are missing, so movies are shown by id." in text
    assert 'id="genre"' not in text and 'id="popularity"' in text


def test_a_run_without_a_result_is_told_of(tmp_path: Path) -> None:
    run = write_run(tmp_path, {}, users=60)
    run.model("Broken").write_status(Status("Broken", FAILED, "general", "ours", "out of memory"))
    text = mb.report(run.path).read_text(encoding="utf-8")
    assert "no model was scored yet" in text and "out of memory" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give a run's folder, such as runs/ml-100k"):
        mb.report(tmp_path)
