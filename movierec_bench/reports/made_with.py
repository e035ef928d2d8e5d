"""What the results of one board were made with, where that differs from one to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from movierec_bench.runs.records import Status


def differences(statuses: Sequence[Status]) -> dict[str, str]:
    """For each model that was made with other versions or threads than most: which, such as "torch 2.5.1"; by name."""
    made_with = {status.model: _made_with(status) for status in statuses if status.versions}
    usual = {
        what: Counter(found[what] for found in made_with.values() if what in found).most_common(1)[0][0]
        for what in {what for found in made_with.values() for what in found}
    }
    texts = {name: _text(found, usual) for name, found in made_with.items()}
    return {name: text for name, text in texts.items() if text}


def _made_with(status: Status) -> Mapping[str, str]:
    return {**status.versions, **({} if status.threads is None else {"threads": str(status.threads)})}


def _text(found: Mapping[str, str], usual: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {found[what]}" for what in sorted(found) if found[what] != usual[what])
