"""``tune``: better parameters by the validation rows."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, show_table
from movierec_bench.tuning.tune import tune
from movierec_bench.tuning.tuned import Tuned


def _show(tuned: Tuned) -> int:
    show_table(tuned.to_rich())
    if tuned.tracking is not None:
        say(tuned.tracking)
    if len(tuned.failed) < len(tuned.models):
        say(f"next: {tuned.command}")
    return 1 if tuned.failed else 0


command = command_from(
    tune, _show, stopped="stopped; trials that were over are kept, and running again goes on from there"
)
