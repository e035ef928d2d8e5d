"""``ensemble``: stored rankings to one."""

from __future__ import annotations

from typing import Union

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, say_next
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.mixing.files import FileMix
from movierec_bench.mixing.mix import Mix


def _show(mix: Union[Mix, FileMix]) -> None:
    say(mix.describe())
    if isinstance(mix, FileMix):
        say_next("score", submission=mix.submission)
    else:
        say_next("leaderboard", mix.folder.path.parents[1])


command = command_from(ensemble, _show, arguments=("run",))
