"""``score``: any submission against any answers."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.reports.score import score

command = command_from(score, lambda result: say(result.describe()))
