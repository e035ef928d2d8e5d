"""``convert``: files in, RecBole atomic files out."""

from __future__ import annotations

import json
from pathlib import Path

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say
from movierec_bench.data.convert import convert
from movierec_bench.schema import NO_TIMES

_HEADLINE = ("interactions", "users", "movies")


def _show(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    counts = manifest["counts"]
    say(f"{folder}: " + ", ".join(f"{counts[what]:,} {what}" for what in _HEADLINE))
    for what, count in counts.items():
        if what not in _HEADLINE and count:
            say(f"  {what.replace('_', ' ')}: {count:,}")
    protocol = "given" if manifest.get("parts") else "random" if manifest.get("times") == NO_TIMES else ""
    say(f"next: python -m movierec_bench run --models fast{protocol and f' --protocol {protocol}'}")


command = command_from(convert, _show)
