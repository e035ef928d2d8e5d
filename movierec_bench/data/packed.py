"""The files of a folder or of a zip archive, by their names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Optional, Union

from movierec_bench.data.delimited import check_unpacked, problem, read_bytes, text_of
from movierec_bench.errors import DataError

_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data", ".inter")  # of files that hold rows
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # of an archive, and of one that holds no file
_NO_DATA = ("__MACOSX", ".")  # what a Mac packs beside


@dataclass(frozen=True)
class PackedFiles:
    """Files to read; those of an archive that lie deeper than others are named without their folders.

    Attributes:
        path: the folder or the archive.
        members: a path, or a name in the archive, for each file's name.
    """

    path: Path
    members: Mapping[str, Union[Path, str]]

    @classmethod
    def open(cls, path: Path) -> PackedFiles:
        """The files directly in a folder, or all of a zip archive.

        Raises:
            DataError: it cannot be read.
        """
        if path.is_dir():
            try:
                return cls(path, {file.name: file for file in sorted(path.iterdir())})
            except OSError as error:
                raise problem(
                    str(path), "may not be read", "permission to read it", "change its permissions"
                ) from error
        try:
            with zipfile.ZipFile(path) as archive:
                names = [PurePosixPath(entry.filename) for entry in archive.infolist() if not entry.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise _damaged(path, error) from error
        # Of two files of one name the one that lies less deep counts.
        data = [name for name in names if not any(part.startswith(_NO_DATA) for part in name.parts)]
        return cls(
            path, {name.name: str(name) for name in sorted(data, key=lambda name: (-len(name.parts), str(name)))}
        )

    def find(self, name: str) -> Optional[str]:
        """The file ``name``, or else ``name.gz``, if it is there."""
        return next((there for there in (name, f"{name}.gz") if there in self.members), None)

    def the_only_data(self) -> str:
        """The name of the one file that holds rows. Raises DataError unless there is exactly one."""
        names = list(self.members)
        data = [name for name in names if name.removesuffix(".gz").endswith(_SUFFIXES)]
        chosen = data if len(names) > 1 else names
        if len(chosen) != 1:
            found = f"holds {', '.join(sorted(chosen or names)[:5]) or 'no file'}"
            expected = "one file of rows, a MovieLens release, or a RecBole folder"
            raise problem(str(self.path), found, expected, "unpack it and give one of its files as --data")
        return chosen[0]

    def read(self, name: str) -> bytes:
        """The file's text as UTF-8 bytes. Raises DataError if it cannot be read or is no text."""
        member = self.members[name]
        if isinstance(member, Path):
            return read_bytes(member)
        try:
            with zipfile.ZipFile(self.path) as archive:
                check_unpacked(name, archive.getinfo(member).file_size)
                content = archive.read(member)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise _damaged(self.path, error) from error
        return text_of(content, name)


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP_MAGICS[0])) in _ZIP_MAGICS
    except OSError as error:
        raise problem(str(path), f"cannot be read ({error.strerror})", "a readable file", "check it") from error


def _damaged(path: Path, error: Exception) -> DataError:
    return problem(
        path.name, f"cannot be unpacked ({error})", "a complete zip archive without a password", "copy it again"
    )
