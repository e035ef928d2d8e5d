"""``report``: one page about a run."""

from __future__ import annotations

from pathlib import Path

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, say_next
from movierec_bench.reports.report.build import report
from movierec_bench.runs.folder import RunFolder


def _show(page: Path) -> None:
    say(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser, it needs no network")
    if RunFolder(page.parent).manifest.is_file():  # and not somewhere else, with --out
        say_next("ensemble", page.parent)


command = command_from(report, _show, arguments=("run",))
