"""``score``: any submission against any answers."""

from __future__ import annotations

from typing import Union

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, say_next
from movierec_bench.reports.public_private import Boards
from movierec_bench.reports.score import score
from movierec_bench.reports.submission_files import ScoreResult


def _show(result: Union[ScoreResult, Boards]) -> None:
    say(result.describe())
    if isinstance(result, Boards):
        if result.against is not None:
            say_next("ensemble", files=[result.submission, result.against])
    elif result.answers is not None:
        say_next("score", submission=result.submission, answers=result.answers, boards=True)


command = command_from(score, _show)
