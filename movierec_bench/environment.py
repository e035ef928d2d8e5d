"""Environment variables that a block of code changes, put back when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored_environment(*names: str) -> Iterator[None]:
    """Whatever the block does to these environment variables, afterwards each is what it was, or is not there."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
