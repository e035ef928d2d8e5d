"""``ensemble``: stored rankings to one."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.mixing.ensemble import ensemble

command = command_from(ensemble, lambda mix: say(mix.describe()), arguments=("run",))
