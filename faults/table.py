"""What was tried, by scene and action, as a table of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from faults.trying import Tried


def table(tried: Iterable[Tried]) -> str:
    """Cases by scene (rows) and action (columns); ``n (k)`` where k of n violated an invariant."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    idle = 0
    for one in tried:
        for row, column in ((one.scene, one.action), (one.scene, "all"), ("all", one.action), ("all", "all")):
            counts[row, column] += 1
            wrong[row, column] += bool(one.wrong)
        idle += not one.happened
    rows = [*sorted({row for row, _ in counts} - {"all"}), "all"]
    columns = [*sorted({column for _, column in counts} - {"all"}), "all"]
    lines = [["action", *rows]]
    lines += [[column, *(_cell(counts[row, column], wrong[row, column]) for row in rows)] for column in columns]
    note = f"In {idle} of them the command was over before anything could happen to it."
    return markdown(lines) + f"\n\n{note}\n"


def inputs_table(tried: Sequence[Tried]) -> str:
    """Changed files by kind, with how many were neither read nor refused as they should be."""
    counts = Counter(one.action for one in tried)
    wrong = Counter(one.action for one in tried if one.wrong)
    lines = [["file", "changed", "violations"]]
    lines += [[kind, str(counts[kind]), str(wrong[kind])] for kind in sorted(counts)]
    return markdown([*lines, ["all", str(len(tried)), str(sum(wrong.values()))]])


def _cell(count: int, wrong: int) -> str:
    if not count:
        return ""
    return f"{count} ({wrong})" if wrong else str(count)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table whose first line is its heading."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    shown = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])
