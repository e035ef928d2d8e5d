"""The recorded tables are what the recorded results say."""

from __future__ import annotations

from benchmarks.table import TABLES, tables


def test_results_md_is_written_from_the_recorded_results() -> None:
    assert TABLES.read_text(encoding="utf-8") == tables(), "run `python -m benchmarks.table`"
