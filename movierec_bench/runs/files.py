"""How files are written: whole or not at all.

A file appears under its name only once it is complete, so a killed process leaves either the old file or the new
one, never half of one. What a killed process had begun is swept by the next command that holds the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from movierec_bench.data.replacing import is_running, sync_file, sync_folder
from movierec_bench.runs.records import StoredFile

_TEMPORARY = re.compile(r"\..+\.(?P<process>\d+)(-[0-9a-f]{12})?\.tmp(-journal)?")  # older versions wrote no stamp
_HASHED_AT_ONCE = 1 << 22  # bytes


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and rename it onto ``path`` when the block ends well.

    Args:
        path: the file to write; its folder is made where it is missing.
        durable: have it on disk before it takes its name, so that a power cut, too, leaves the old or the new.

    Yields:
        A path to write to. After an error in the block it is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        if durable:
            sync_file(temporary)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether the name is one that `replacing` gives a file before it is complete."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove the temporary files that ended processes have left in ``folder``, which may be missing."""
    for path in folder.iterdir() if folder.is_dir() else ():
        found = _TEMPORARY.fullmatch(path.name)
        if found and not is_running(found["process"]):
            path.unlink(missing_ok=True)


def stored_file(path: Path) -> StoredFile:
    """Size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASHED_AT_ONCE):
            digest.update(block)
        return StoredFile(file.tell(), digest.hexdigest())


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write ``text`` as UTF-8 with the line ends it has; ``durable`` as in `replacing`."""
    with replacing(path, durable) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as YAML with sorted keys, every value written out where it stands."""
    write_text(path, yaml.dump(dict(value), Dumper=_Dumper, sort_keys=True, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    """SafeDumper without references (``*name``), which `settings.yaml_files.read_yaml` refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always: one list that two parameters share is written twice."""
        return True


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write ``table`` without its index; floats unrounded, missing values empty, lines ended by LF."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write ``table`` without its index, dictionary-encoded and compressed with zstd."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd", use_dictionary=True)
