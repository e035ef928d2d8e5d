"""``track``: uploads what an MLflow store lacks."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.tracking.tracker import track

command = command_from(track, lambda tracked: say(tracked.describe()), arguments=("run",))
