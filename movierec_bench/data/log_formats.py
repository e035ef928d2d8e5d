"""One file of rows, whatever its format: columns with or without names, or a user's sequence a line."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.delimited import (
    DelimitedText,
    decode_line,
    first_line_of,
    is_finite,
    problem,
    shown,
    split_line,
)
from movierec_bench.data.log import Log, as_ids
from movierec_bench.data.log_columns import are_usual, find_columns, looks_like_time, read_columns
from movierec_bench.schema import ITEM, NO_TIMES, POSITIONS, RATING, TIME, USER

_SEPARATORS = ("\t", ",", ";", "|")
_WIDE_SEPARATOR = b"::"  # of MovieLens' ratings.dat
_NAMED = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
_ADVICE = "say which column is what: --columns user=1,item=2,time=4 (places from 1)"


@dataclass(frozen=True)
class ReadLog:
    """A log and how it was read.

    Attributes:
        log: the rows.
        kind: the format, in words.
        columns: the file's columns by role; without column names, their places from 1.
        counts: what was left out.
    """

    log: Log
    kind: str
    columns: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def read_log(name: str, content: bytes, given: Mapping[str, str], with_rating: bool) -> ReadLog:
    """The rows of a file.

    Args:
        name: the file's name, for messages.
        content: its bytes, UTF-8.
        given: columns by role, from `log_columns.parse_columns`.
        with_rating: read the ratings, too.

    Raises:
        DataError: what is not as expected, with file, line, and what to do.
    """
    where = f"{name} line 1"
    if not content.strip():
        raise problem(name, "is empty", "rows of users and items", "copy the file again")
    first, _ = first_line_of(content, where)
    if "::" in first and "\t" not in first:
        content = content.replace(_WIDE_SEPARATOR, b"\t")
        first = first.replace("::", "\t")
    fields = {separator: _fields(first, separator) for separator in _SEPARATORS if separator in first}
    fields[" "] = first.split()
    by_place = bool(given) and all(place.isdigit() for place in given.values() if place)
    separator = _separator(fields, given)
    if separator is not None:
        return _with_names(name, content, separator, given, with_rating)
    separator = max(fields, key=lambda separator: (separator != " ", len(fields[separator])))
    by_name = any(given.values()) and not by_place
    if separator != " " and not by_name and (by_place or any(map(is_finite, fields[separator]))):
        return _without_names(name, content, separator, fields[separator], given, with_rating)
    if separator == " " and not any(len(line.split(None, 1)) > 1 for line in content.splitlines()):
        expected = "columns separated by commas or tabs, or a user and its items separated by spaces"
        raise problem(where, f"is one word ({shown(first)})", expected, "write a user and an item a line")
    if separator != " " or by_name:
        find_columns(fields[separator], given, where)  # raises, for no separator gave the columns
    if with_rating:
        found = "lines of a user and its items hold no ratings"
        raise problem(name, found, "ratings for --min-rating", "leave out --min-rating")
    return _read_sequences(name, content, ordered=given.get(TIME) != "")


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip() for field in split_line(line, separator)]


def _separator(fields: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> Optional[str]:
    """The separator by which the first line names columns that are known or given; None if none does."""
    for separator, headings in fields.items():
        there = all(column in headings for column in given.values() if column)
        if there and ({USER, ITEM} <= set(given) or are_usual([*headings, *given])):
            return separator
    return None


def _with_names(name: str, content: bytes, separator: str, given: Mapping[str, str], with_rating: bool) -> ReadLog:
    text = DelimitedText.of(Path(name), content, separator, [])
    columns = find_columns(text.headings, given, f"{name} line 1")
    log = read_columns(text, columns, with_rating)
    return ReadLog(log, f"columns with names, separated by {_NAMED[separator]}", columns)


def _without_names(
    name: str, content: bytes, separator: str, first: Sequence[str], given: Mapping[str, str], with_rating: bool
) -> ReadLog:
    """Columns known by their places, as they usually stand or as ``given``."""
    headings = [str(place) for place in range(1, len(first) + 1)]
    if any(given.values()):
        columns = find_columns(headings, given, f"{name} line 1")
    else:
        columns = {role: place for role, place in _usual_places(name, first).items() if role not in given}
    log = read_columns(DelimitedText(Path(name), separator, headings, content, 0, 1), columns, with_rating)
    return ReadLog(log, f"columns without names, separated by {_NAMED[separator]}", columns)


def _usual_places(name: str, first: Sequence[str]) -> dict[str, str]:
    """Columns by role: user, item; user, item, time; user, item, rating; or user, item, rating, time."""
    places = {USER: "1", ITEM: "2"}
    if len(first) == 2:
        return places
    if len(first) == 3 and is_finite(first[2]):
        return {**places, (TIME if looks_like_time(first[2]) else RATING): "3"}
    if len(first) == 3 and looks_like_time(first[2]):
        return {**places, TIME: "3"}
    if len(first) == 4 and is_finite(first[2]) and looks_like_time(first[3]):
        return {**places, RATING: "3", TIME: "4"}
    found = f"has no column names, and {len(first)} fields that are none of the usual ({shown(','.join(first))})"
    raise problem(f"{name} line 1", found, "user,item,rating,time or the first two or three of them", _ADVICE)


def _read_sequences(name: str, content: bytes, ordered: bool) -> ReadLog:
    """A user and its items a line; or, where every line has two words, a user and an item."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user_of_line, item, lengths = array("i"), array("i"), array("i")
    without_items = 0
    for number, line in enumerate(content.splitlines(), start=1):
        words = decode_line(line, f"{name} line {number}").split()
        if len(words) < 2:
            without_items += len(words)
            continue
        user_of_line.append(users.setdefault(words[0], len(users)))
        lengths.append(len(words) - 1)
        item.extend([items.setdefault(word, len(items)) for word in words[1:]])
    if not item:
        raise problem(name, "has no line with a user and an item", "a user and its items a line", "copy the file again")
    in_pairs = max(lengths) == 1 and len(users) < len(user_of_line)
    user_ids, user_places = np.unique(as_ids(list(users)), return_inverse=True)
    item_ids, item_places = np.unique(as_ids(list(items)), return_inverse=True)
    user = user_places[np.repeat(np.asarray(user_of_line), np.asarray(lengths))].astype(np.int32)
    time = None
    if ordered and not in_pairs:
        time = pd.Series(user).groupby(user).cumcount().to_numpy(dtype=np.int64) + 1
    log = Log(
        user_ids,
        item_ids,
        user,
        item_places[np.asarray(item)].astype(np.int32),
        time,
        None,
        NO_TIMES if time is None else POSITIONS,
    )
    kind = "a user and an item a line" if in_pairs else "a user and its items a line"
    return ReadLog(log, kind, counts={"lines_of_users_without_items": without_items})
