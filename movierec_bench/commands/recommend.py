"""``recommend``: what a kept model gives users, or a person it never saw."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say_next, show_table
from movierec_bench.kept.recommending import Recommendations, recommend


def _show(ranked: Recommendations) -> None:
    show_table(ranked.to_rich())
    if ranked.run is not None:
        say_next("recommend", ranked.run, model=ranked.model, users="all", out=f"{ranked.model}.csv")


command = command_from(recommend, _show, arguments=("run",))
