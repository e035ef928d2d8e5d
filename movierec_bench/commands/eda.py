"""``eda``: what is in the data, in pictures."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.reports.eda.command import eda

command = command_from(eda, lambda pictures: say(pictures.describe()))
