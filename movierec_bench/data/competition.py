"""Reads and checks the competition's files, and RecBole's packaged ml-100k in the same shape."""

from __future__ import annotations

import json
import logging
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from movierec_bench.data.delimited import DelimitedText, NumberColumn, find_file, problem, read_bytes
from movierec_bench.data.json_text import parse_json
from movierec_bench.data.log import Log
from movierec_bench.data.source_data import SourceData
from movierec_bench.schema import (
    DIRECTOR,
    GENRE,
    ITEM,
    ITEM_FEATURES,
    ITEM_FIELD,
    TIME,
    TIME_FIELD,
    TITLE,
    USER,
    USER_FIELD,
    WRITER,
    YEAR,
)
from movierec_bench.settings.recbole_package import recbole_folder

logger = logging.getLogger(__name__)

RATINGS_FILE = "train_ratings.csv"
SIDE_FILES = {
    TITLE: "titles.tsv",
    YEAR: "years.tsv",
    GENRE: "genres.tsv",
    DIRECTOR: "directors.tsv",
    WRITER: "writers.tsv",
}
GENRE_NUMBERS_FILE = "Ml_item2attributes.json"

ML100K = "ml-100k"
ML100K_FIELDS = {TITLE: "movie_title:token_seq", YEAR: "release_year:token", GENRE: "class:token_seq"}
_ML100K_NO_GENRE = frozenset({"", "unknown"})

USER_COLUMN = NumberColumn(USER, USER, "a user id", 318)
ITEM_COLUMN = NumberColumn(ITEM, ITEM, "a movie id", 2571)
TIME_COLUMN = NumberColumn(
    TIME,
    TIME,
    "a unix time in seconds",
    1230782529,
    high=4102444800,  # the start of 2100
    above="write seconds: divide milliseconds by 1000, microseconds by 1000000",
)
YEAR_COLUMN = NumberColumn(YEAR, YEAR, "a release year", 1994, low=1870, high=2100)
_YEAR_IN_TITLE = re.compile(r"\(([0-9]{4})(?:[-\u2013](?:[0-9]{4})?)?\)\W*$")  # (1994), (1975-1979), (2007-)


def read_competition(folder: Path) -> SourceData:
    """Read a folder of competition files, each plain or gzipped (``name.gz``).

    Repaired and counted: a repeated (user, item) pair keeps its first row; a repeated row of side
    information is read once; rows about movies that are neither rated nor in ``titles.tsv`` are left
    out; a rated movie without a title gets an empty one; a missing year is taken from the title.

    Args:
        folder: holds ``train_ratings.csv``, ``titles.tsv``, ``years.tsv``, ``genres.tsv``, ``directors.tsv``,
            ``writers.tsv``, and perhaps ``Ml_item2attributes.json``, which repeats the genres as numbers
            and is checked only.

    Raises:
        DataError: anything else that is not as expected, with file, line, and what to do.
    """
    folder = Path(folder)
    paths = _find_files(folder)
    ratings, counts = _read_ratings(paths[RATINGS_FILE])
    side = {feature: _read_side(paths[name], feature) for feature, name in SIDE_FILES.items()}
    movies, movie_counts = _build_movies(ratings, side)
    counts.update(movie_counts)
    if GENRE_NUMBERS_FILE in paths:
        unknown = _read_genre_numbers(paths[GENRE_NUMBERS_FILE]) - set(movies[ITEM].tolist())
        counts[_unknown_key(GENRE_NUMBERS_FILE)] = len(unknown)
    _warn_about(counts)
    return SourceData(ratings, movies, counts, folder.resolve().name)


def read_ml100k() -> SourceData:
    """Read the ml-100k that RecBole's wheel carries. Every rating, whatever its value, is an interaction.

    Raises:
        ConfigError: RecBole is not installed.
        DataError: it carries no ml-100k.
    """
    folder = ml100k_folder()
    ratings, counts = _read_ratings(folder / f"{ML100K}.inter", "\t", recbole_columns())
    movies, movie_counts = _build_movies(ratings, _read_ml100k_side(folder / f"{ML100K}.item"))
    counts.update(movie_counts)
    return SourceData(ratings, movies, counts, ML100K)


def ml100k_folder() -> Path:
    """The folder of RecBole's packaged ml-100k.

    Raises:
        ConfigError: RecBole is not installed.
        DataError: it carries no ml-100k.
    """
    folder = recbole_folder() / "dataset_example" / ML100K
    for suffix in ("inter", "item"):
        if not (folder / f"{ML100K}.{suffix}").is_file():
            found = f"{ML100K}.{suffix} is not there"
            raise problem(str(folder), found, "RecBole 1.2.1's packaged data", "reinstall recbole==1.2.1")
    return folder


def recbole_columns(fractional: bool = False) -> tuple[NumberColumn, NumberColumn, NumberColumn]:
    """User, item and time as a RecBole ``.inter`` file heads them; ``fractional`` accepts times written as floats."""
    return (
        replace(USER_COLUMN, heading=f"{USER_FIELD}:token"),
        replace(ITEM_COLUMN, heading=f"{ITEM_FIELD}:token"),
        replace(TIME_COLUMN, heading=f"{TIME_FIELD}:float", fractional=fractional),
    )


def is_competition(folder: Path) -> bool:
    """Whether a folder holds any of the competition's files."""
    return folder.is_dir() and any(find_file(folder, name) for name in (RATINGS_FILE, *SIDE_FILES.values()))


def _find_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise problem(str(folder), found, f"a folder with {RATINGS_FILE}", "give the competition's folder as --data")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise problem(str(folder), "may not be read", "permission to read it", "change its permissions")
    required = [RATINGS_FILE, *SIDE_FILES.values()]
    paths = {name: find_file(folder, name) for name in [*required, GENRE_NUMBERS_FILE]}
    missing = [name for name in required if paths[name] is None]
    if missing:
        expected = f"{', '.join(required)} (each may be .gz)"
        raise problem(str(folder), f"{missing[0]} is missing", expected, "copy it from the competition's data")
    return {name: path for name, path in paths.items() if path is not None}


def _read_ratings(
    path: Path, separator: str = ",", columns: Sequence[NumberColumn] = (USER_COLUMN, ITEM_COLUMN, TIME_COLUMN)
) -> tuple[pd.DataFrame, dict[str, int]]:
    text = DelimitedText.open(path, separator, [column.heading for column in columns])
    rows = text.numbers(columns)
    first = Log.from_frame(rows).first_of_each_pair()
    ratings = rows if first.all() else rows[first].reset_index(drop=True)
    counts = {
        "rating_rows": len(rows),
        "rating_rows_repeated": len(rows) - len(ratings),
        "interactions": len(ratings),
        "users": ratings[USER].nunique(),
    }
    return ratings, counts


def _read_side(path: Path, feature: str) -> pd.DataFrame:
    """Every row of a file of side information: item int64, and the feature (float64 for a year, else str)."""
    may_be_empty = feature != TITLE  # a set without, say, writers is fine
    text = DelimitedText.open(path, "\t", [ITEM, feature], may_be_empty)
    items: list[int] = []
    values: list[Any] = []
    for where, (item, value) in text.rows([ITEM, feature]):
        items.append(ITEM_COLUMN.parse(item, where))
        values.append(YEAR_COLUMN.parse(value, where) if feature == YEAR else _present(value, feature, where))
    return _side_table(feature, items, values)


def _side_table(feature: str, items: Sequence[int], values: Sequence[Any]) -> pd.DataFrame:
    kind = np.float64 if feature == YEAR else object
    return pd.DataFrame({ITEM: np.array(items, dtype=np.int64), feature: np.array(values, dtype=kind)})


def _present(value: str, feature: str, where: str) -> str:
    value = value.strip()
    if not value:
        found, expected = f"{feature} is missing", f"a {feature} beside the movie id"
        raise problem(where, found, expected, "fill it in or remove this line")
    return value


def _read_ml100k_side(path: Path) -> dict[str, pd.DataFrame]:
    columns = [f"{ITEM_FIELD}:token", *(ML100K_FIELDS[feature] for feature in (TITLE, YEAR, GENRE))]
    pairs: dict[str, list[tuple[int, Any]]] = {feature: [] for feature in SIDE_FILES}
    for where, (item_text, title, year, genres) in DelimitedText.open(path, "\t", columns).rows(columns):
        item = ITEM_COLUMN.parse(item_text, where)
        pairs[TITLE].append((item, title))
        if year.isdigit():  # it is "unkonwn" for movie 267, and "V" for 1412, whose title ends in the year
            pairs[YEAR].append((item, YEAR_COLUMN.parse(year, where)))
        pairs[GENRE] += [(item, genre) for genre in genres.split(" ") if genre not in _ML100K_NO_GENRE]
    return {
        feature: _side_table(feature, [item for item, _ in rows], [value for _, value in rows])
        for feature, rows in pairs.items()
    }


def _build_movies(ratings: pd.DataFrame, side: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The movies table of `SourceData`, and counts of what was left out or filled in."""
    titled = side[TITLE][ITEM].unique()
    rated = ratings[ITEM].unique()
    items = np.union1d(titled, rated)
    counts = {
        "movies": len(items),
        "movies_rated": len(rated),
        "movies_without_title": len(items) - len(titled),
    }
    known: dict[str, pd.Series] = {}
    for feature, table in side.items():
        known_rows = table[table[ITEM].isin(items)]
        repeats_by = [ITEM, feature] if feature in ITEM_FEATURES else [ITEM]
        rows = known_rows.drop_duplicates(repeats_by)
        if feature != TITLE:
            counts[_unknown_key(SIDE_FILES[feature])] = len(table) - len(known_rows)
        counts[_repeated_key(SIDE_FILES[feature])] = len(known_rows) - len(rows)
        known[feature] = rows.set_index(ITEM)[feature]

    title = known[TITLE].reindex(items).fillna("")
    listed = known[YEAR].reindex(items)
    year = listed.fillna(title.map(year_of_title))
    movies = pd.DataFrame({ITEM: items, TITLE: title.to_numpy(), YEAR: year.to_numpy(dtype=np.float64)})
    for feature in ITEM_FEATURES:
        movies[feature] = _tuples(known[feature], items)
        counts[f"movies_without_{feature}"] = int((movies[feature].map(len) == 0).sum())
    counts["movies_without_year"] = int(year.isna().sum())
    counts["years_from_title"] = int(listed.isna().sum() - year.isna().sum())
    return movies, counts


def year_of_title(title: str) -> float:
    """The year in brackets that ends a title, the first one of a span; NaN if there is none."""
    match = _YEAR_IN_TITLE.search(title)
    year = float(match.group(1)) if match else np.nan
    return year if YEAR_COLUMN.low <= year <= YEAR_COLUMN.high else np.nan


def _tuples(values: pd.Series, items: np.ndarray) -> list[tuple[str, ...]]:
    """For every item the sorted values that ``values`` (indexed by item) has for it."""
    gathered: dict[int, list[str]] = {}
    for item, value in zip(values.index.tolist(), values.tolist()):
        gathered.setdefault(item, []).append(value)
    return [tuple(sorted(gathered.get(item, ()))) for item in items.tolist()]


def _read_genre_numbers(path: Path) -> set[int]:
    """The movies whose genre numbers are there. Raises DataError unless each has a list of integers."""
    expected = 'an object such as {"318": [5, 6]}'
    next_step = "copy the file again or remove it"
    try:
        numbers = parse_json(read_bytes(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise problem(path.name, f"is not UTF-8 ({error})", "UTF-8 text", next_step) from error
    except json.JSONDecodeError as error:
        where = f"{path.name} line {error.lineno}"
        raise problem(where, f"is not JSON ({error.msg})", expected, next_step) from error
    except ValueError as error:
        raise problem(path.name, f"cannot be read ({error})", expected, next_step) from error
    if not isinstance(numbers, dict):
        raise problem(path.name, f"holds a {type(numbers).__name__}", expected, next_step)
    for item, genres in numbers.items():
        if not isinstance(genres, list) or not all(type(genre) is int for genre in genres):
            raise problem(
                path.name, f"movie {item} has {reprlib.repr(genres)}", "a list of integers such as [5, 6]", next_step
            )
    return {ITEM_COLUMN.parse(item, path.name) for item in numbers}


def _unknown_key(name: str) -> str:
    return f"{name.partition('.')[0]}_rows_of_unknown_movies"


def _repeated_key(name: str) -> str:
    return f"{name.partition('.')[0]}_rows_repeated"


def _warn_about(counts: Mapping[str, int]) -> None:
    repaired = {_unknown_key(name) for name in [*SIDE_FILES.values(), GENRE_NUMBERS_FILE]}
    repaired |= {_repeated_key(name) for name in SIDE_FILES.values()}
    repaired |= {"rating_rows_repeated", "movies_without_title"}
    for key in sorted(repaired):
        if counts.get(key, 0):
            logger.warning("%s: %d", key.replace("_", " "), counts[key])
