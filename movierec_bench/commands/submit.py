"""``submit``: a model's submission again."""

from __future__ import annotations

from pathlib import Path

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, say_next
from movierec_bench.reports.submission import submit


def _show(path: Path) -> None:
    say(f"wrote {path}")
    say_next("score", submission=path)


command = command_from(submit, _show, arguments=("run",))
