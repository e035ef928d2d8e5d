"""Repeats published tables: ``python -m benchmarks.published DATA [TABLE | TABLE:MODEL ...]``; all without names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.published.repeat import read_tables, repeat, write_page


def main() -> None:
    """Measure the rows that are asked for, whose data are there, and write the page of all that are recorded."""
    tables = read_tables()
    every = [f"{table.name}:{row.model}" for table in tables.values() for row in table.rows]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder that holds the published data, a folder a table")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(tables)}, or one of {', '.join(every)}")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(tables) - set(every))
    if unknown:
        sys.exit(f"nothing is called {', '.join(unknown)}; expected {', '.join([*tables, *every])}")
    for table in tables.values():
        for row in table.rows:
            if not asked.names or {table.name, f"{table.name}:{row.model}"} & set(asked.names):
                print(f"-- {table.name}: {row.model}: {repeat(table, row, asked.data)}", flush=True)
                write_page()


if __name__ == "__main__":
    main()
