"""``submit``: a model's submission again."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.reports.submission import submit

command = command_from(submit, lambda path: say(f"wrote {path}"), arguments=("run",))
