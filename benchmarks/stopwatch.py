"""What every measured process does alike: name its phases, time them, and print one JSON line at its end."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Seconds of named phases; a phase entered several times, such as an epoch, keeps a list."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block under ``name``."""
        started = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def report(self, **values: Any) -> None:
        """Print what was measured, as the last line of standard output."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        sys.stdout.flush()
        print(json.dumps({"seconds": self.seconds, "peak_rss_mb": round(peak), **values}))
