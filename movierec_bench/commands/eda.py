"""``eda``: what is in the data, in pictures."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import flags_of_data, say, say_next
from movierec_bench.reports.eda.command import Eda, eda


def _show(pictures: Eda) -> None:
    say(pictures.describe())
    if pictures.run is None:
        say_next("run", models="fast", **flags_of_data(pictures.data))
    else:
        say_next("report", pictures.run)


command = command_from(eda, _show)
