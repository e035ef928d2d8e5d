"""``convert``: files in, RecBole atomic files out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import flags_of_data, say, say_next
from movierec_bench.data.convert import convert
from movierec_bench.schema import ITEM, ITEM_FEATURES, NO_TIMES, RATING, TIME, TITLE, USER, YEAR

_HEADLINE = ("interactions", "users", "movies")
_WITHOUT = {f"movies_without_{name}": f"{name}s" for name in (TITLE, YEAR, *ITEM_FEATURES)}


def _show(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    counts, found = manifest["counts"], manifest.get("found", {})
    say(f"{folder}: " + ", ".join(f"{counts[what]:,} {what}" for what in _HEADLINE))
    for line in _how_it_was_read(found):
        say(f"  {line}")
    nothing = [what for what in _WITHOUT if counts.get(what) == counts["movies"]]
    for what, count in counts.items():
        if what not in (*_HEADLINE, *nothing) and count:
            say(f"  {what.replace('_', ' ')}: {count:,}")
    if nothing:
        lacking = ", ".join(name for what, name in _WITHOUT.items() if what in nothing)
        say(f"  no movie has any of: {lacking}; models that need them will be skipped")
    protocol = "given" if manifest.get("parts") else "random" if manifest.get("times") == NO_TIMES else None
    say_next("run", models="fast", protocol=protocol, **flags_of_data(folder))


def _how_it_was_read(found: Mapping[str, Any]) -> list[str]:
    """The format and the columns that were found, and that ratings are no part of it unless somebody asks."""
    if "format" not in found:
        return []
    columns = {role: name for role, name in found.get("columns", {}).items() if name}
    told = ", ".join(f"{role} {columns[role]}" for role in (USER, ITEM, TIME, RATING) if role in columns)
    lines = [f"read as: {found['format']}{told and f' ({told})'}"]
    if RATING in columns and "min_rating" not in found.get("thresholds", {}):
        lines.append("every row counts, whatever its rating; --min-rating 4 would drop the lower ones")
    return lines


command = command_from(convert, _show)
