"""Numbers as the page's sentences say them."""

from __future__ import annotations

import math

from movierec_bench.reports.eda.numbers.histories import DAY, MONTH


def count(number: float) -> str:
    """A whole number with its thousands apart: 5,154,471."""
    return f"{number:,.0f}"


def share(part: float) -> str:
    """A share of 0 to 1 as a percentage; what is not nothing is not called 0%, nor what is not all 100%."""
    if 0 < part < 0.001:
        return "under 0.1%"
    if 0.999 < part < 1:
        return "over 99.9%"
    return f"{100 * part:.1f}%" if 0 < part < 1 else f"{100 * part:.0f}%"


def decimal(number: float) -> str:
    """A number to three significant digits or, from 100, without decimals; "unknown" for one that is not there."""
    if math.isnan(number):
        return "unknown"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it: 12 minutes, 3.5 days, 14 months."""
    for unit, length in (("months", MONTH), ("days", DAY), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{decimal(seconds / length)} {unit}"
    return f"{decimal(seconds)} seconds"


def some(number: float, one: str, more: str) -> str:
    """``number`` with the noun that goes with it: 1 user, 2 users, no users."""
    return f"{'no' if number == 0 else count(number)} {one if number == 1 else more}"


def listed(names: list[str]) -> str:
    """The names joined as a sentence does: A, B and C."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
