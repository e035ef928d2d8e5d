"""MovieLens' releases: which files they are, and what they say of the movies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from movierec_bench.data.competition import year_of_title
from movierec_bench.data.delimited import DelimitedText, problem
from movierec_bench.data.log import as_ids
from movierec_bench.data.packed import PackedFiles
from movierec_bench.schema import GENRE, TITLE, YEAR

RELEASES = {"ratings.csv": "movies.csv", "ratings.dat": "movies.dat", "u.data": "u.item"}  # ratings -> movies

_NO_GENRE = frozenset({"", "unknown", "(no genres listed)"})
# ml-100k's genres, in the order of u.item's last columns; its u.genre says the same.
_GENRES = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|Musical|Mystery|"
    "Romance|Sci-Fi|Thriller|War|Western"
)


def ratings_file(files: PackedFiles) -> Optional[str]:
    """The name of a release's ratings, or None where this is no release."""
    return next((there for name in RELEASES if (there := files.find(name)) is not None), None)


def read_movies(files: PackedFiles, ratings: str) -> tuple[np.ndarray, Mapping[str, Mapping[Any, Any]]]:
    """What a release says of its movies.

    Args:
        files: the release.
        ratings: from `ratings_file`.

    Returns:
        The movies' ids in the file's order, int64 or str objects, and by feature (title, year, genre) and id what is
        known of a movie. Nothing where the release has no file of movies.

    Raises:
        DataError: a line is not as expected.
    """
    name = files.find(RELEASES[ratings.removesuffix(".gz")])
    if name is None:
        return np.zeros(0, dtype=np.int64), {}
    places: dict[str, int] = {}
    titles: dict[int, str] = {}
    genres: dict[int, tuple[str, ...]] = {}
    for where, item, title, names in _lines(name, _in_utf8(files.read(name))):
        if not item.strip():
            raise problem(
                where, "the movie's id is missing", "an id, a title and genres", "fill it in or remove this line"
            )
        place = places.setdefault(item.strip(), len(places))
        titles.setdefault(place, title.strip())
        genres.setdefault(place, tuple(genre for genre in names if genre not in _NO_GENRE))
    years = {place: year_of_title(title) for place, title in titles.items()}
    known: Mapping[str, Mapping[int, Any]] = {TITLE: titles, YEAR: years, GENRE: genres}
    ids = as_ids(list(places))
    return ids, {
        feature: {item: values[place] for place, item in enumerate(ids.tolist())} for feature, values in known.items()
    }


def _lines(name: str, content: bytes) -> Iterable[tuple[str, str, str, list[str]]]:
    """Where, id, title and genres of every movie."""
    path = Path(name)
    if name.startswith("movies.csv"):
        text = DelimitedText.of(path, content, ",", ["movieId", "title", "genres"], may_be_empty=True)
        for where, (item, title, names) in text.rows(["movieId", "title", "genres"]):
            yield where, item, title, names.split("|")
    elif name.startswith("movies.dat"):
        text = DelimitedText(path, "\t", ["item", "title", "genres"], content.replace(b"::", b"\t"), 0, 1)
        for where, (item, title, names) in text.rows(text.headings):
            yield where, item, title, names.split("|")
    else:
        genres = _GENRES.split("|")
        text = DelimitedText(path, "|", ["item", "title", "date", "video", "address", *genres], content, 0, 1)
        for where, (item, title, *flags) in text.rows(["item", "title", *genres]):
            yield where, item, title, [genre for genre, flag in zip(genres, flags) if flag == "1"]


def _in_utf8(content: bytes) -> bytes:
    """``content``, which the older releases write in Latin-1, as UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1").encode("utf-8")
    return content
