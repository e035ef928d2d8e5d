"""The documentation site: it builds without a warning, from the code as it stands, and needs no network to be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_check import ROOT

import movierec_bench as mb
from movierec_bench.cli import COMMANDS
from site_builder.boards import recorded_places

pytestmark = pytest.mark.xdist_group("docs")

_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=\"(?P<source>[^\"]+)\"|<link[^>]*\shref=\"(?P<link>[^\"]+)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_model_has_a_page_with_its_parameters(site: Path) -> None:
    for name, entry in mb.load_catalog().items():
        page = (site / "models" / f"{name}.html").read_text(encoding="utf-8")
        assert all(f"<code>{key}</code>" in page or f"<code>{key}: " in page for key in entry.parameters), name


def test_every_command_and_python_name_is_in_the_reference(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    python = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in commands for name in COMMANDS)
    assert all(f".{name}" in python for name in mb.__all__)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for match in _FETCHED.finditer(page.read_text(encoding="utf-8")):
            source = match["source"] or match["link"]
            assert not source.startswith(("http:", "https:", "//")), f"{page.name} fetches {source}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_formulas_are_mathml(site: Path) -> None:
    page = (site / "protocol.html").read_text(encoding="utf-8")
    assert page.count("<math") >= 10
    assert "arithmatex" not in page
    assert "$" not in re.sub(r"<script[\s\S]*?</script>", "", page)


def test_places_on_recorded_boards_are_on_the_models_pages(site: Path) -> None:
    places = recorded_places(ROOT / "docs" / "boards.md")
    assert {place.board for place in places["EASE"]} == {"ml-100k", "ml-latest-small"}
    first = next(place for place in places["EASE"] if place.board == "ml-100k")
    page = (site / "models" / "EASE.html").read_text(encoding="utf-8")
    assert f"{first.rank} of {first.of}" in page
    assert first.cells["recall@10"] in page


@pytest.mark.parametrize("readme", sorted(ROOT.glob("README*.md")), ids=lambda path: path.name)
def test_the_readme_shows_the_first_rows_of_the_recorded_board(readme: Path) -> None:
    board = (ROOT / "docs" / "boards.md").read_text(encoding="utf-8").split("## ml-100k")[1]
    rows = [line for line in board.splitlines() if re.match(r"\| \d+ \|", line)][:5]
    assert len(rows) == 5
    for row in rows:
        assert row in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/running.md"])
def test_tables_of_commands_have_every_command(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    table = re.split(r"^\| (?:command|명령) \|.*\n", text, flags=re.MULTILINE)[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(?:python -m movierec_bench |\.\.\. )?([a-z]+)", table, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_the_readme_names_every_folder() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("| folder of `movierec_bench/` | holds |")[1]
    named = re.findall(r"`([a-z_]+)/`", table.split("\n\n")[0])
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "movierec_bench").glob("*/__init__.py"))


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/index.md"])
def test_the_picture_of_a_report_is_there_and_small(page: str) -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [Path(picture).name for picture in pictures] == ["report.png"]
    picture = (ROOT / page).parent / pictures[0]
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size < 300_000


def test_links_between_the_repositorys_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        text = re.sub(r"^ *```[\s\S]*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if target.startswith("http") or (page.parent / target).exists():
                continue
            generated = (ROOT / "docs" / target).resolve() if page.parent == ROOT else (page.parent / target).resolve()
            inside = generated.relative_to(ROOT / "docs").parts[0]
            assert inside in ("models", "reference"), f"{page.name}: there is no {target}"
