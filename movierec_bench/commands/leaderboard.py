"""``leaderboard``: a run's table again."""

from __future__ import annotations

from typing import Union

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say, say_next, show_table
from movierec_bench.reports.board import Board
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.reports.segment_board import SegmentBoard


def show_board(board: Board) -> None:
    """Print a board and, where there are several, what its models come to over seeds and splits."""
    show_table(board.to_rich())
    seeds = board.seeds_to_rich()
    if seeds is not None:
        show_table(seeds)


def _show(board: Union[Board, SegmentBoard]) -> None:
    if isinstance(board, Board):
        show_board(board)
    else:
        show_table(board.to_rich())
        say(f"every model, with 95 % intervals: {board.path}")
    say_next("ensemble", board.path.parent if isinstance(board, SegmentBoard) else board.folder)


command = command_from(leaderboard, _show, arguments=("run",))
