"""A process that trained nothing: reads kept models and writes what they recommend.

Run as a script it takes lines of JSON on its input, ``{"folder": .., "out": .., "items": [..] or null}``, and answers
each with ``{"ok": true}`` or ``{"error": text}``; without items it recommends ten to every user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import pandas as pd

Reads = Callable[[Path, Optional[Sequence[int]]], pd.DataFrame]


@contextmanager
def kept_reader(scratch: Path) -> Iterator[Reads]:
    """A function from a kept model's folder, and a history or None, to its recommendations, in another process."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdin is not None and process.stdout is not None

    def read(folder: Path, items: Optional[Sequence[int]] = None) -> pd.DataFrame:
        out = scratch / "read.parquet"
        wanted = {"folder": str(folder), "out": str(out), "items": None if items is None else list(map(int, items))}
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return pd.read_parquet(out)

    try:
        yield read
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Answer until the input ends."""
    from movierec_bench.kept.recommending import load_folder

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            asked: dict[str, Any] = {"users": "all"} if wanted["items"] is None else {"items": wanted["items"]}
            load_folder(wanted["folder"]).recommend(**asked).table.to_parquet(wanted["out"])
            answer: dict[str, Any] = {"ok": True}
        except Exception as error:  # noqa: BLE001 - told to the test, which fails
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
