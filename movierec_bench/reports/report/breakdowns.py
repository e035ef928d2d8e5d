"""Recall@10 by kind of user, and the share of held-out movies found by kind of movie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from movierec_bench.errors import BenchError
from movierec_bench.reports.report.material import Material
from movierec_bench.reports.user_segments import (
    BY,
    GOOD,
    JUDGES,
    NAMES,
    SEGMENT,
    UNKNOWN,
    run_segments,
    segment_of,
)
from movierec_bench.schema import GENRE, ITEM, MAIN_METRIC, YEAR

MODEL, GROUP, FOUND, ROWS, USERS = "model", "group", "found", "rows", "users"
_FIFTHS = 5
_MOST_GENRES = 15


def by_segment(material: Material, by: str) -> pd.DataFrame:
    """Recall@10 of every model on each segment of the users.

    Args:
        material: of the run.
        by: one of ``user_segments.BY``.

    Returns:
        DataFrame [model, segment, users, recall@10]: models in the board's order, segments in theirs.

    Raises:
        BenchError: the segments cannot be told, as those by genre without a data set.
    """
    judges = material.best_on_validation[:JUDGES] if by == GOOD else None
    segments = run_segments(material.run.path, by, judges, material.atomic)
    own = segment_of(segments, material.test.users)
    recall = material.test.recall()
    rows = [
        (model, name, int((own == name).sum()), float(recall[number, own == name].mean()))
        for number, model in enumerate(material.test.models)
        for name in (*NAMES[by], UNKNOWN)
        if (own == name).any()
    ]
    return pd.DataFrame(rows, columns=[MODEL, SEGMENT, USERS, MAIN_METRIC])


def all_segments(material: Material) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """`by_segment` of each kind that can be told, by kind, and why not of the others."""
    tables, missing = {}, {}
    for by in BY:
        try:
            tables[by] = by_segment(material, by)
        except BenchError as error:
            missing[by] = str(error)
    return tables, missing


def by_popularity(material: Material) -> pd.DataFrame:
    """The share of held-out test rows found, by how often their movie is in the training rows, in fifths.

    Returns:
        DataFrame [model, group, rows, found]: groups from the rarest movies to the most watched, named by the
        training rows of their movies; fewer than five where many movies are equally popular.
    """
    train = np.bincount(material.items.number(material.split.train[ITEM]), minlength=len(material.items.ids) + 1)
    watched = train[material.test.item_of]
    edges = np.unique(np.quantile(watched, np.arange(1, _FIFTHS) / _FIFTHS, method="higher")) if len(watched) else []
    place = np.searchsorted(edges, watched, side="left")
    groups = [
        (_span(watched[place == number]), place == number)
        for number in range(len(edges) + 1)
        if (place == number).any()
    ]
    return _found_by(material, groups)


def by_genre(material: Material) -> pd.DataFrame:
    """The share found by genre, the genres with most held-out rows first; a movie counts in each of its genres.

    Raises:
        DataError: the data set is not at hand.
    """
    genres = material.movies_of(material.test.item_of)[GENRE]
    named = genres.map(lambda names: names if isinstance(names, tuple) else ())
    counts = named.explode().dropna().value_counts()
    chosen = sorted(counts.index, key=lambda name: (-counts[name], name))[:_MOST_GENRES]
    groups = [(str(name), named.map(lambda names, name=name: name in names).to_numpy(bool)) for name in chosen]
    return _found_by(material, groups)


def by_decade(material: Material) -> pd.DataFrame:
    """The share found by decade of the movie's release.

    Raises:
        DataError: the data set is not at hand.
    """
    movies = material.movies_of(material.test.item_of)
    years = pd.to_numeric(movies[YEAR], errors="coerce") if YEAR in movies else pd.Series(np.nan, index=movies.index)
    decade = (years // 10 * 10).to_numpy(float)
    groups = [(f"{start:.0f}s", decade == start) for start in np.unique(decade[~np.isnan(decade)])]
    return _found_by(material, groups)


def spread(table: pd.DataFrame, value: str, models: Sequence[str]) -> pd.Series:
    """Mean of ``value`` over ``models`` by group, in the table's order of groups."""
    group = SEGMENT if SEGMENT in table else GROUP
    return table[table[MODEL].isin(models)].groupby(group, sort=False)[value].mean()


def _found_by(material: Material, groups: Sequence[tuple[str, np.ndarray]]) -> pd.DataFrame:
    found = material.test.found
    rows = [
        (model, name, int(inside.sum()), float(found[number, inside].mean()))
        for number, model in enumerate(material.test.models)
        for name, inside in groups
    ]
    return pd.DataFrame(rows, columns=[MODEL, GROUP, ROWS, FOUND])


def _span(watched: np.ndarray) -> str:
    low, high = int(watched.min()), int(watched.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
