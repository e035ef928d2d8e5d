"""The columns of a log: found by their usual names, by those a user gives, or by their places, and read."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from movierec_bench.data.delimited import Column, DelimitedText, NumberColumn, is_finite, problem, shown
from movierec_bench.data.log import Log, as_ids
from movierec_bench.errors import ConfigError
from movierec_bench.schema import DATES, ITEM, NO_TIMES, POSITIONS, RATING, TIME, USER

ROLES = (USER, ITEM, TIME, RATING)

# Names in lower case without the marks between words and RecBole's types.
_USUAL_NAMES = {
    USER: "user userid uid users reviewerid customer customerid visitorid memberid accountid profileid",
    ITEM: """
        item itemid iid items movie movieid film filmid product productid asin parentasin book bookid isbn song songid
        track trackid artist artistid game gameid anime animeid article articleid business businessid video videoid
    """,
    TIME: "time timestamp ts date datetime unixtime unixreviewtime reviewtime createdat watchedat ratedat",
    RATING: "rating ratings score stars overall",
}
_TYPE = re.compile(r":(token|token_seq|float|float_seq)$")
_MARKS = re.compile(r"[\s_.-]+")

_LATEST = 4102444800  # the start of 2100, in seconds
_MILLISECONDS = (
    100_000_000_000  # from here on a time is taken for milliseconds: the third of March 1973, or the year 5138
)
_EARLIEST = 100_000_000  # a log whose times are all below counts places in an order: the same day in seconds
_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?)?\s?(Z|[+-]\d{2}(?::?\d{2})?)?", re.ASCII
)
_DATE_EXAMPLE = "2009-01-01 04:02:09"


@dataclass(frozen=True)
class IdColumn:
    """A column of ids, whatever they are. Blanks around an id do not belong to it.

    Attributes:
        heading: the column's name in the file.
        label: the column's name in messages.
    """

    heading: str
    label: str

    @property
    def arrow_type(self) -> pa.DataType:
        """Text by dictionary: each id once, and its number in every row."""
        return pa.dictionary(pa.int32(), pa.string())

    def parse(self, text: str, where: str) -> str:
        """The id in ``text``. Raises DataError, beginning with ``where``, if there is none."""
        if not text.strip():
            raise problem(
                where, f"{self.label} is missing", f"the id of a {self.label}", "fill it in or remove this line"
            )
        return text.strip()

    def allows(self, values: pa.ChunkedArray) -> bool:
        """Whether no id is empty."""
        return not any(
            pc.any(pc.equal(pc.utf8_trim_whitespace(chunk.dictionary), "")).as_py() for chunk in values.chunks
        )


@dataclass(frozen=True)
class RatingColumn:
    """A column of ratings, any finite numbers.

    Attributes:
        heading: the column's name in the file.
        label: the column's name in messages.
    """

    heading: str
    label: str = RATING

    @property
    def arrow_type(self) -> pa.DataType:
        """Floats."""
        return pa.float64()

    def parse(self, text: str, where: str) -> float:
        """The rating in ``text``. Raises DataError, beginning with ``where``, if it is no number."""
        if not is_finite(text):
            found = f"{self.label} {shown(text)} is not a number"
            raise problem(where, found, "a number such as 4 or 3.5", "correct or remove this line")
        return float(text)

    def allows(self, values: pa.ChunkedArray) -> bool:
        """Whether every rating is finite."""
        return all(np.isfinite(chunk.to_numpy()).all() for chunk in values.chunks)


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, with or without a time of day, as ISO 8601 writes them.

    Attributes:
        heading: the column's name in the file.
        zoned: whether the dates name their offset from UTC; dates that do not are taken for UTC.
        label: the column's name in messages.
    """

    heading: str
    zoned: bool
    label: str = TIME

    @property
    def arrow_type(self) -> pa.DataType:
        """Points in time."""
        return pa.timestamp("ns", "UTC" if self.zoned else None)

    def parse(self, text: str, where: str) -> int:
        """The date in ``text`` as unix seconds. Raises DataError, beginning with ``where``, if it is none."""
        match = _DATE.fullmatch(text)
        expected = f"a date such as {_DATE_EXAMPLE}" + (" with Z or its distance from UTC" if self.zoned else "")
        if match is None or bool(match[3]) != self.zoned:
            raise problem(
                where, f"{self.label} {shown(text)} is not such a date", expected, "correct or remove this line"
            )
        clock = match[2] or "00:00"
        try:
            moment = datetime.datetime.fromisoformat(f"{match[1]}T{clock}{_distance(match[3])}")
        except ValueError as error:
            raise problem(
                where, f"{self.label} {shown(text)}: {error}", expected, "correct or remove this line"
            ) from error
        if not 1970 <= moment.year < 2100:
            found = f"{self.label} {shown(text)} is in the year {moment.year}"
            raise problem(where, found, "a date from 1970 to 2099", "correct or remove this line")
        return int(moment.timestamp())

    def allows(self, values: pa.ChunkedArray) -> bool:
        """Whether every date is of the years 1970 to 2099."""
        seconds = [chunk.cast(pa.int64()).to_numpy() // 10**9 for chunk in values.chunks if len(chunk)]
        return all(chunk.min() >= 0 and chunk.max() < _LATEST for chunk in seconds)


def _distance(text: Optional[str]) -> str:
    """An offset from UTC, written so that ``fromisoformat`` of every Python reads it."""
    if text in (None, "Z"):
        return "+00:00"
    digits = str(text)[1:].replace(":", "").ljust(4, "0")
    return f"{str(text)[0]}{digits[:2]}:{digits[2:]}"


def parse_columns(columns: Union[str, Mapping[str, str], None]) -> dict[str, str]:
    """The names that ``--columns user=u,item=i,time=t,rating=r`` gives to columns, by role.

    Args:
        columns: the text, or the same as a mapping; None for no names. A name may be a column's place from 1, in a
            file without column names. An empty name says that there is no such column.

    Raises:
        ConfigError: something else.
    """
    if columns is None:
        return {}
    pairs = columns.items() if isinstance(columns, Mapping) else _pairs(columns)
    names: dict[str, str] = {}
    for role, name in pairs:
        if role not in ROLES or role in names:
            twice = " twice" if role in names else ""
            raise ConfigError(
                f"--columns names {role!r}{twice}; expected {', '.join(ROLES)}, each at most once, such as "
                "--columns user=reviewer,item=asin,time=when"
            )
        names[role] = str(name)
    for role in (USER, ITEM):
        if names.get(role) == "":
            raise ConfigError(f"--columns {role}= leaves out the {role}s; expected the name of their column")
    return names


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for part in text.split(","):
        role, equals, name = part.partition("=")
        if not equals:
            raise ConfigError(
                f"--columns {text!r} holds {part!r}; expected role=name, such as --columns user=reviewer,item=asin"
            )
        yield role.strip(), name.strip()


def find_columns(headings: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    """The headings of a log's columns, by role: those given, and the others by their usual names.

    Args:
        headings: what the first line names.
        given: from `parse_columns`.
        where: begins the messages.

    Raises:
        DataError: no column, or more than one, can be the users' or the items'; or a given name is not there.
    """
    advice = "name them: --columns user=NAME,item=NAME,time=NAME"
    found: dict[str, str] = {}
    for role in ROLES:
        if role in given:
            if given[role] and given[role] not in headings:
                there = f"no column is called {given[role]!r}; the line names {', '.join(headings)}"
                wanted = f"the columns {', '.join(filter(None, given.values()))}"
                raise problem(where, there, wanted, "correct --columns")
            found[role] = given[role]
            continue
        usual = [heading for heading in headings if _plain(heading) in _USUAL_NAMES[role].split()]
        if len(usual) > 1:
            raise problem(where, f"{' and '.join(usual)} may both be the {role}", f"one column of the {role}", advice)
        if usual:
            found[role] = usual[0]
        elif role in (USER, ITEM):
            there = f"no column has a usual name of the {role}; the line names {shown(', '.join(headings))}"
            raise problem(where, there, "columns such as user, item, time", advice)
    used = {role: heading for role, heading in found.items() if heading}
    for heading in used.values():
        if headings.count(heading) > 1:
            raise problem(where, f"column {heading} stands there twice", "it once", "rename or remove one of them")
    return used


def are_usual(headings: Sequence[str]) -> bool:
    """Whether both a user's and an item's column have a usual name."""
    plain = [_plain(heading) for heading in headings]
    return all(any(name in _USUAL_NAMES[role].split() for name in plain) for role in (USER, ITEM))


def looks_like_time(text: str) -> bool:
    """Whether a text may be a unix time or a date, and not a rating or a place in an order."""
    return _DATE.fullmatch(text) is not None or (is_finite(text) and float(text) >= _EARLIEST)


def _plain(heading: str) -> str:
    return _MARKS.sub("", _TYPE.sub("", heading.strip())).lower()


def read_columns(
    text: DelimitedText, columns: Mapping[str, str], with_rating: bool, decode: Optional[Callable[[str], str]] = None
) -> Log:
    """The log of a file.

    Args:
        text: the file.
        columns: the headings by role, from `find_columns`.
        with_rating: read the ratings, too.
        decode: of ids, where the file holds encoded ones.

    Raises:
        DataError: naming the first line that is not allowed, or for want of ratings.
    """
    if with_rating and RATING not in columns:
        found = f"no column of ratings is known (columns {', '.join(text.headings)})"
        advice = "name it with --columns rating=NAME, or leave out --min-rating"
        raise problem(text.path.name, found, "ratings for --min-rating", advice)
    wanted: list[Column] = [IdColumn(columns[role], role) for role in (USER, ITEM)]
    if TIME in columns:
        wanted.append(_time_column(text, columns[TIME]))
    if with_rating:
        wanted.append(RatingColumn(columns[RATING]))
    table = text.table(wanted)
    users, user = _ids(table.column(0), decode)
    items, item = _ids(table.column(1), decode)
    time = _seconds(table.column(2)) if TIME in columns else None
    rating = table.column(len(wanted) - 1).to_numpy() if with_rating else None
    times = NO_TIMES if time is None else DATES if int(time.max()) >= _EARLIEST else POSITIONS
    return Log(users, items, user, item, time, rating, times)


def _time_column(text: DelimitedText, heading: str) -> Column:
    """The column of the times, of the kind that the first row's time is of: seconds, milliseconds or dates."""
    where, (first,) = next(text.rows([heading]))
    if is_finite(first) and float(first) >= _MILLISECONDS:
        low, high, example = _MILLISECONDS, 1000 * _LATEST, 1230782529000
        meaning, advice = "a unix time in milliseconds", "write milliseconds, as the first row does"
        return NumberColumn(heading, TIME, meaning, example, low, high, advice, fractional=True)
    if is_finite(first):
        meaning, advice = "a unix time in seconds", "write seconds, as the first row does"
        return NumberColumn(heading, TIME, meaning, 1230782529, 0, _LATEST, advice, fractional=True)
    match = _DATE.fullmatch(first)
    if match is None and first.strip():
        found = f"{TIME} {shown(first)} is neither a unix time nor a date"
        expected = f"an integer such as 1230782529 or a date such as {_DATE_EXAMPLE}"
        raise problem(where, found, expected, "correct it, or name another column with --columns time=NAME")
    return DateColumn(heading, zoned=match is not None and match[3] is not None)


def _seconds(values: pa.ChunkedArray) -> np.ndarray:
    """Int64 unix seconds of a column that `_time_column` chose."""
    if pa.types.is_timestamp(values.type):
        return np.concatenate([chunk.cast(pa.int64()).to_numpy() // 10**9 for chunk in values.chunks])
    time = np.concatenate([chunk.to_numpy().astype(np.int64) for chunk in values.chunks])
    return time // 1000 if len(time) and time.min() >= _MILLISECONDS else time


def _ids(values: pa.ChunkedArray, decode: Optional[Callable[[str], str]]) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a column, ascending, each once, and the position of each row's in them, int32 [n]."""
    values = values.unify_dictionaries()
    texts = [text.strip() for text in values.chunk(0).dictionary.to_pylist()]
    ids, position = np.unique(as_ids([decode(text) for text in texts] if decode else texts), return_inverse=True)
    position = position.ravel().astype(np.int32)
    return ids, np.concatenate([position[chunk.indices.to_numpy()] for chunk in values.chunks])
