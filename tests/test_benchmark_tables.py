"""The recorded tables are what the recorded results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.published.repeat import PAGE, Row, page, read_tables, repeat, verdict
from benchmarks.table import TABLES, tables


def test_results_md_is_written_from_the_recorded_results() -> None:
    assert TABLES.read_text(encoding="utf-8") == tables(), "run `python -m benchmarks.table`"


def test_the_page_of_published_tables_is_written_from_what_is_recorded() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make published`"


@pytest.mark.parametrize(
    ("ours", "status", "said"),
    [
        ([0.17652, 0.14669], "done", "equal to four digits"),
        ([0.1740, 0.1467], "done", "within 2.0%"),
        ([0.1700, 0.1467], "done", "off by 3.7%"),
        ([0.1740, 0.1467], "budget", "within 2.0%, stopped after 60 s of training"),
    ],
)
def test_a_verdict_is_by_the_figure_that_is_farthest_off(ours: list[float], status: str, said: str) -> None:
    row = Row("EASE", published=(0.176493, 0.146657), source="BARS", within=0.02, budget=60)
    assert verdict(row, {"ours": ours, "status": status}) == said


def test_a_table_whose_data_are_missing_says_which_files(tmp_path: Path) -> None:
    gowalla = read_tables()["gowalla"]
    told = repeat(gowalla, gowalla.rows[0], tmp_path)
    assert told.startswith("data missing: ") and "gowalla/train.tsv.gz" in told and "gowalla/test.tsv.gz" in told
