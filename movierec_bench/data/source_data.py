"""What people bring, checked: rows of users and movies, and what is known of the movies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.log import unite_ids
from movierec_bench.schema import DATES, ITEM, ITEM_FEATURES, TITLE, YEAR


@dataclass(frozen=True)
class SourceData:
    """What files hold, checked.

    Attributes:
        ratings: user, item (int64 or str), time (int64; unix seconds, or what ``times`` says), in file order, one row a
            (user, item) pair.
        movies: one row a movie, ascending item: item, title str ("" unknown), year float64 (NaN unknown),
            genre, director and writer tuples of str, sorted. Every rated movie is there, and the never-rated ones.
        counts: what was read, repaired and left out.
        source: where the data come from, without a path.
        times: what the times are: ``schema.DATES``, ``POSITIONS`` or ``NO_TIMES``.
        found: what the manifest says of the format, the columns and the thresholds; empty for a competition's files.
        parts: int8 [n], 0 for a training row, 1 for a validation row, 2 for a test row, where the data came split.
        candidates: user, item (as in ``ratings``), ascending, each pair once: what alone is ranked for the test of each
            user, the test rows included; None for every movie.
    """

    ratings: pd.DataFrame
    movies: pd.DataFrame
    counts: dict[str, int]
    source: str
    times: str = DATES
    found: Mapping[str, Any] = field(default_factory=dict)
    parts: Optional[np.ndarray] = None
    candidates: Optional[pd.DataFrame] = None


def movies_table(items: np.ndarray, known: Mapping[str, Mapping[Any, Any]]) -> pd.DataFrame:
    """The movies as in `SourceData`.

    Args:
        items: the movies' ids, ascending.
        known: by feature, what is known of a movie: a title, a year, or a sequence of names; by its id.
    """
    movies = pd.DataFrame({ITEM: items})
    ids: Sequence[Any] = items.tolist()
    titles, years = known.get(TITLE, {}), known.get(YEAR, {})
    movies[TITLE] = [titles.get(item, "") for item in ids]
    movies[YEAR] = np.array([years.get(item, np.nan) for item in ids], dtype=np.float64)
    for feature in ITEM_FEATURES:
        names = known.get(feature, {})
        movies[feature] = [tuple(sorted(set(names.get(item, ())))) for item in ids]
    return movies


def unite_movies(
    rated: np.ndarray, listed: np.ndarray, known: Mapping[str, Mapping[Any, Any]]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The movies of a log and of a list as one table, and the ids of the log's as they stand in it.

    Args:
        rated: the log's ids, int64 or str objects.
        listed: the list's ids, int64 or str objects.
        known: by feature and id what the list says.
    """
    items, (places, _) = unite_ids([rated, listed])
    if items.dtype == object and listed.dtype != object:
        known = {feature: {str(item): value for item, value in values.items()} for feature, values in known.items()}
    return movies_table(items, known), items[places]
