"""How files are written: whole or not at all.

A file appears under its name only once it is complete, so a killed process leaves either the old file or the new
one, never half of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` and renames it onto ``path`` when the block ends well.

    Args:
        path: the file to write; its folder is made where it is missing.

    Yields:
        A path to write to. After an error in the block it is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8 with the line ends it has."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Writes ``value`` as YAML with sorted keys."""
    write_text(path, yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes ``table`` without its index; floats unrounded, missing values empty, lines ended by LF."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Writes ``table`` without its index, dictionary-encoded and compressed with zstd."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd", use_dictionary=True)
