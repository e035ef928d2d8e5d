"""Read the boards that `docs/boards.md` records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from movierec_bench.schema import MAIN_METRIC


@dataclass(frozen=True)
class Place:
    """Where a model stands on one recorded board: the board's heading, its rank, and the table's cells by column."""

    board: str
    rank: int
    of: int
    cells: dict[str, str]


def recorded_places(page: Path) -> dict[str, list[Place]]:
    """Return every model's places: each table of the page with a model and a Recall@10 column is a board."""
    places: dict[str, list[Place]] = {}
    for heading, head, rows in _tables(page):
        if "model" not in head or MAIN_METRIC not in head:
            continue
        for rank, row in enumerate(rows, start=1):
            cells = dict(zip(head, row))
            places.setdefault(cells["model"], []).append(Place(heading, rank, len(rows), cells))
    return places


def _tables(page: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield (heading above, column names, rows) of every table."""
    heading, table = "", list[list[str]]()
    for line in [*page.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if table:
            yield heading, table[0], table[2:]
            table = []
        if line.startswith("#"):
            heading = line.lstrip("# ")
