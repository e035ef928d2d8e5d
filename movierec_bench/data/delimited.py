"""Delimited text files: their columns, fast, or a message that says exactly which line is wrong.

Whole tables of numbers go through pyarrow and vectorised checks. Only when something is off are the
lines walked one by one, to name the first that offends.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.csv

from movierec_bench.errors import DataError

INT64_MAX = 2**63 - 1

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_ALWAYS_UNPACKED = 64 * 2**20  # bytes
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_BINARY_PROBE = 4096  # bytes; text never holds a NUL
_LINE_END = re.compile(rb"\r\n|\n|\r")
_INK = re.compile(rb"\S")
_INTEGER = re.compile(r"-?[0-9]{1,100}")
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
_PARSED_BYTES_A_BLOCK = 1 << 22  # bytes pyarrow turns into one chunk
_SEARCHED_BYTES_A_BLOCK = 1 << 20  # bytes read at once while looking for the first bad line
_SHOWN = 60  # characters of a bad value that a message quotes


def problem(where: str, found: str, expected: str, next_step: str) -> DataError:
    """The error every check of the input raises: where, what was found, what was expected, what to do."""
    return DataError(f"{where}: {found}; expected {expected}; {next_step}")


class Column(Protocol):
    """A column of a file, what its values are, and what is allowed.

    Attributes:
        heading: the column's name as the file's first line writes it.
        label: the column's name in the result and in messages.
    """

    @property
    def heading(self) -> str:
        """As the file's first line writes it."""

    @property
    def label(self) -> str:
        """As the result and messages have it."""

    @property
    def arrow_type(self) -> pa.DataType:
        """What pyarrow reads the values as."""

    def parse(self, text: str, where: str) -> object:
        """The value in ``text``. Raises DataError, beginning with ``where``, if it is not an allowed one."""

    def allows(self, values: pa.ChunkedArray) -> bool:
        """Whether every value is an allowed one."""


@dataclass(frozen=True)
class NumberColumn:
    """A column of whole numbers and what it may hold.

    Attributes:
        heading: the column's name as the file's first line writes it.
        label: the column's name in the result and in messages.
        meaning: what a value is, e.g. "a unix time in seconds".
        example: a good value, quoted in messages.
        low: smallest value allowed.
        high: largest value allowed.
        above: what to do about a value over ``high``.
        fractional: values may be written as floats, as RecBole's ``timestamp:float`` may; the fraction is cut off.
    """

    heading: str
    label: str
    meaning: str
    example: int
    low: int = 0
    high: int = INT64_MAX
    above: str = "correct or remove this line"
    fractional: bool = False

    @property
    def arrow_type(self) -> pa.DataType:
        """Integers, or floats where those are accepted."""
        return pa.float64() if self.fractional else pa.int64()

    def parse(self, text: str, where: str) -> int:
        """The whole number in ``text``. Raises DataError, beginning with ``where``, if it is not an allowed one."""
        text = text.strip()
        if not text:
            raise self._refused(where, f"{self.label} is missing", "fill it in or remove this line")
        value = self._whole(text)
        if value is None:
            advice = "write whole numbers" if is_finite(text) else "correct or remove this line"
            raise self._refused(where, f"{self.label} {shown(text)} is not {self.meaning}", advice)
        if value < self.low:
            bound = "is negative" if value < 0 else f"is below {self.low}"
            raise self._refused(where, f"{self.label} {value} {bound}", "correct or remove this line")
        if value > self.high:
            raise self._refused(where, f"{self.label} {value} is above {self.high}", self.above)
        return value

    def allows(self, values: pa.ChunkedArray) -> bool:
        """Whether every value is within the bounds; NaN is not."""
        chunks = [chunk.to_numpy() for chunk in values.chunks if len(chunk)]
        return all(chunk.min() >= self.low and chunk.max() <= self.high for chunk in chunks)

    def _whole(self, text: str) -> Optional[int]:
        if _INTEGER.fullmatch(text):
            return int(text)
        return int(float(text)) if self.fractional and is_finite(text) else None

    def _refused(self, where: str, found: str, next_step: str) -> DataError:
        return problem(where, found, f"an integer such as {self.example}", next_step)


def is_finite(text: str) -> bool:
    """Whether ``text`` is a number, neither infinite nor NaN."""
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def shown(text: str) -> str:
    """``text`` as a message quotes it, cut where it is long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def find_file(folder: Path, name: str) -> Optional[Path]:
    """``folder/name``, or else ``folder/name.gz``, or None. A plain file wins over its packed copy."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.exists()), None)


def read_bytes(path: Path) -> bytes:
    """The file's bytes, unpacked if gzipped, without a byte order mark. Raises DataError if they are no UTF-8 text."""
    if path.is_dir():
        raise problem(str(path), "is a folder", "a file", "put the file of that name in its place")
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise problem(str(path), "is no regular file", "a file", "copy what it gives into a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise problem(str(path), f"cannot be read ({error.strerror})", "a readable file", "check it") from error
    return text_of(content, path.name)


def most_unpacked() -> int:
    """Bytes that a packed file may grow to: a quarter of the free memory, as reading takes several times the file."""
    return max(_ALWAYS_UNPACKED, psutil.virtual_memory().available // 4)


def check_unpacked(name: str, size: int) -> None:
    """Raise DataError where a packed file is larger than `most_unpacked`."""
    most = most_unpacked()
    if size > most:
        found, expected = f"unpacks to more than {most // 2**20} MiB", "what fits into this machine's memory"
        raise problem(name, found, expected, "unpack it and keep the rows you need")


def text_of(content: bytes, name: str) -> bytes:
    """As `read_bytes`, for the bytes of a file ``name`` that has been read."""
    try:
        if content.startswith(_GZIP_MAGIC):
            with gzip.open(io.BytesIO(content)) as unpacking:
                content = unpacking.read(most_unpacked() + 1)
            check_unpacked(name, len(content))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise problem(name, f"is a damaged gzip file ({error})", "a complete one", "copy it again") from error
    if content.startswith(_ZIP_MAGIC):
        raise problem(name, "is a zip archive or a spreadsheet", "plain text", "unpack it or export it as text")
    if content.startswith(_UTF16_BOMS) or b"\0" in content[:_BINARY_PROBE]:
        raise problem(name, "is UTF-16 or binary", "UTF-8 text", "save the file again as UTF-8")
    return content[len(_UTF8_BOM) :] if content.startswith(_UTF8_BOM) else content


@dataclass(frozen=True)
class DelimitedText:
    """A text file of one row a line, whose first line may name the columns. Empty lines are skipped.

    Attributes:
        path: the file.
        separator: one character.
        headings: the column names, unquoted.
        content: the whole file.
        start: where the first row's line begins in ``content``.
        first_line: that line's number: 2 where the first line names the columns, else 1.
    """

    path: Path
    separator: str
    headings: list[str]
    content: bytes
    start: int
    first_line: int = 2

    @classmethod
    def open(cls, path: Path, separator: str, required: Sequence[str], may_be_empty: bool = False) -> DelimitedText:
        """Read a file and check its first line.

        Args:
            path: the file, plain or gzipped.
            separator: one character.
            required: column names that must be there.
            may_be_empty: accept a file with column names and no rows.

        Raises:
            DataError: unreadable, not UTF-8 text, empty, wrong separator, missing or repeated column.
        """
        return cls.of(path, read_bytes(path), separator, required, may_be_empty)

    @classmethod
    def of(
        cls, path: Path, content: bytes, separator: str, required: Sequence[str], may_be_empty: bool = False
    ) -> DelimitedText:
        """As `open`, for the bytes of a file that has been read; ``path`` names it in messages."""
        if _INK.search(content) is None:
            expected = f"a first line {separator.join(required)!r}, then rows"
            raise problem(path.name, "is empty", expected, "copy the file again")
        where = f"{path.name} line 1"
        first_line, start = first_line_of(content, where)
        headings = [heading.strip() for heading in split_line(first_line, separator)]
        _check_headings(where, first_line, headings, separator, required)
        if not may_be_empty and _INK.search(content, start) is None:
            raise problem(path.name, "has column names but no rows", "rows from line 2 on", "copy the file again")
        return cls(path, separator, headings, content, start)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield ("name line n", the texts of ``columns``) for every row.

        Raises:
            DataError: a line is not UTF-8, or has more or fewer fields than line 1.
        """
        yield from self._walk(columns, self.start, len(self.content), self.first_line)

    def numbers(self, columns: Sequence[NumberColumn]) -> pd.DataFrame:
        """Read columns of whole numbers.

        Args:
            columns: which columns, and what they may hold.

        Returns:
            Table of int64 columns named by their labels, in file order.

        Raises:
            DataError: naming the first line that is not allowed.
        """
        table = self.table(columns)
        values = np.empty((len(columns), table.num_rows), dtype=np.int64)
        for row, column in zip(values, table.columns):
            np.concatenate([chunk.to_numpy() for chunk in column.chunks], out=row, casting="unsafe")
        return pd.DataFrame(values.T, columns=[column.label for column in columns], copy=False)

    def table(self, columns: Sequence[Column]) -> pa.Table:
        """Read columns, in file order; each is of its column's ``arrow_type``.

        Args:
            columns: which columns, and what they may hold.

        Raises:
            DataError: naming the first line that is not allowed.
        """
        try:
            table = self._parse(columns, self.start, len(self.content))
        except pa.ArrowInvalid as error:
            self._raise_first_offence(columns)
            # Only pyarrow knows what is wrong: every line passed the checks above.
            raise problem(self.path.name, str(error), "plain delimited text", "save the file again") from error
        if not self._is_plain(table, columns, self.start, len(self.content)):
            self._raise_first_offence(columns)
        return table

    def _parse(self, columns: Sequence[Column], start: int, stop: int) -> pa.Table:
        # Columns go by position: names that nobody asked for may repeat.
        names = [str(self.headings.index(column.heading)) for column in columns]
        kinds = [column.arrow_type for column in columns]
        return pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(memoryview(self.content)[start:stop])),
            read_options=pyarrow.csv.ReadOptions(
                column_names=[str(i) for i in range(len(self.headings))], block_size=_PARSED_BYTES_A_BLOCK
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=self.separator),
            # No text stands for a missing value here: an empty field must be refused, not become null.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict(zip(names, kinds)), include_columns=names, null_values=[]
            ),
        )

    def _is_plain(self, table: pa.Table, columns: Sequence[Column], start: int, stop: int) -> bool:
        # pyarrow reads 0x1F as the integer 31, which no id file means. One byte is found ten times as fast as two.
        hexadecimal = pa.int64() in [column.arrow_type for column in columns] and any(
            self.content.find(letter, start, stop) >= 0 and self.content.find(b"0" + letter, start, stop) >= 0
            for letter in (b"x", b"X")
        )
        return not hexadecimal and all(column.allows(values) for column, values in zip(columns, table.columns))

    def _raise_first_offence(self, columns: Sequence[Column]) -> None:
        """Walk the lines of the blocks that are not plain, up to the first line that is not allowed."""
        headings = [column.heading for column in columns]
        start, line = self.start, self.first_line
        while start < len(self.content):
            stop = self.content.find(b"\n", start + _SEARCHED_BYTES_A_BLOCK) + 1 or len(self.content)
            try:
                plain = self._is_plain(self._parse(columns, start, stop), columns, start, stop)
            except pa.ArrowInvalid:
                plain = False
            if not plain:
                for where, texts in self._walk(headings, start, stop, line):
                    for column, text in zip(columns, texts):
                        column.parse(text, where)
            line += len(self.content[start:stop].splitlines())
            start = stop

    def _walk(self, columns: Sequence[str], start: int, stop: int, first_line: int) -> Iterator[tuple[str, list[str]]]:
        positions = [self.headings.index(column) for column in columns]
        for number, line in enumerate(self.content[start:stop].splitlines(), start=first_line):
            if line:
                where = f"{self.path.name} line {number}"
                fields = self._fields(decode_line(line, where), where)
                yield where, [fields[position] for position in positions]

    def _fields(self, line: str, where: str) -> list[str]:
        fields = split_line(line, self.separator)
        if len(fields) != len(self.headings):
            found = f"has {len(fields)} field{'s' * (len(fields) != 1)} ({shown(line)})"
            expected = f"{len(self.headings)} separated by {_SEPARATORS[self.separator]}"
            raise problem(where, found, expected, "correct or remove this line")
        return fields


def decode_line(line: bytes, where: str) -> str:
    """A line as text. Raises DataError, beginning with ``where``, if it is no UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02X} at position {error.start + 1} is not UTF-8"
        raise problem(where, found, "UTF-8 text", "convert the file to UTF-8 and try again") from error


def first_line_of(content: bytes, where: str) -> tuple[str, int]:
    """The first line of a file, and where the second begins. Raises DataError for ``where`` if it is no UTF-8."""
    line_end = _LINE_END.search(content)
    stop, start = line_end.span() if line_end else (len(content), len(content))
    return decode_line(content[:stop], where), start


def split_line(line: str, separator: str) -> list[str]:
    """The fields of a line, without the quotes around them."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:  # the quotes are part of the text, they do not enclose a field
        return line.split(separator)


def _check_headings(where: str, line: str, headings: list[str], separator: str, required: Sequence[str]) -> None:
    expected = f"the columns {', '.join(required)} separated by {_SEPARATORS[separator]}"
    missing = [column for column in required if column not in headings]
    if missing:
        raise problem(where, *_explain_missing(line, headings, missing, required, expected))
    repeated = [column for column in required if Counter(headings)[column] > 1]
    if repeated:
        raise problem(where, f"column {repeated[0]} stands there twice", expected, "rename or remove one of them")


def _explain_missing(
    line: str, headings: list[str], missing: list[str], required: Sequence[str], expected: str
) -> tuple[str, str, str]:
    for separator, name in _SEPARATORS.items():
        others = [heading.strip() for heading in line.split(separator)]
        if len(others) > 1 and set(required) <= set(others):
            return f"the columns are separated by {name}", expected, "save the file again with that separator"
    if any(map(is_finite, headings)):
        return f"found values ({shown(line)}) instead of column names", expected, "add the line of column names"
    found = f"column {missing[0]} is missing; the line is {shown(line)}"
    return found, expected, "rename or add the column"
