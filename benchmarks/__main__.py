"""Runs the comparisons: ``python -m benchmarks [NAME ...]``; all of them without names."""

from __future__ import annotations

import argparse
import sys

from benchmarks import growth, whole_run
from benchmarks.big_log import NAME as BIG_LOG
from benchmarks.big_log import measure_big_log
from benchmarks.compare import compare
from benchmarks.floors import measure_floors
from benchmarks.plan import COMPARISONS
from benchmarks.table import write_table


def main() -> None:
    """Run what was asked for, record each result as JSON, and write the table of all that are recorded."""
    named = {comparison.name: comparison for comparison in COMPARISONS}
    steps = {"floors": measure_floors, **{name: lambda made=made: compare(made) for name, made in named.items()}}
    steps |= {"fast-run": whole_run.run_fast, "evening": whole_run.run_evening, "growth": growth.measure_growth}
    steps[BIG_LOG] = measure_big_log
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(steps))
    chosen = parser.parse_args().names or list(steps)
    unknown = sorted(set(chosen) - set(steps))
    if unknown:
        sys.exit(f"no comparison is called {', '.join(unknown)}; expected {', '.join(steps)}")
    for name in chosen:
        print(f"-- {name}", flush=True)
        steps[name]()
        write_table()


if __name__ == "__main__":
    main()
