"""``run``: every model through the whole line."""

from __future__ import annotations

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.leaderboard import show_board
from movierec_bench.commands.terminal import say, say_next
from movierec_bench.execution.run import run
from movierec_bench.reports.board import Board


def _show(board: Board) -> int:
    show_board(board)
    say(f"board, submissions and every model's files: {board.folder}")
    if board.tracking is not None:
        say(board.tracking)
    say_next("report", board.folder)
    return 1 if board.failed else 0


command = command_from(run, _show, stopped="stopped; what was finished is kept, and running again goes on from there")
