"""Movies: how often each was watched, what a floor under that would drop, years of release, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.bins import equal_steps, histogram
from movierec_bench.reports.eda.numbers.columns import (
    AGE,
    DROPPED,
    DROPPED_SHARE,
    FEATURE,
    FLOOR,
    MEAN_ROWS_A_MOVIE,
    MOVIES,
    MOVIES_PERCENT,
    PLACE,
    ROWS,
    ROWS_LOST,
    ROWS_LOST_SHARE,
    ROWS_SO_FAR,
    ROWS_WITHOUT,
    SHARE,
    SHARE_OF_MOVIES,
    SHARE_OF_ROWS,
    SO_FAR,
    VARIANCE_ROWS_A_MOVIE,
    WATCH_YEAR,
    WITHOUT,
)
from movierec_bench.reports.eda.numbers.histories import DAY, Histories
from movierec_bench.schema import ITEM, ITEM_FEATURES, TITLE, YEAR

FLOORS = (5, 10, 20, 50, 100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000)
ZOOM = 200  # rows; the tail is looked at closely below
NEW_DAYS = 90  # a movie is new for so long after its first row


def long_tail(histories: Histories) -> pd.DataFrame:
    """Every movie, the most watched first, and equal ones in the order of their ids.

    Returns:
        DataFrame [place from 1, item, title, rows, share_of_rows, share_of_rows_so_far].
    """
    rows = histories.movie_rows
    order = np.argsort(-rows, kind="stable")
    rows = rows[order]
    table = histories.movies[[ITEM, TITLE]].iloc[order].reset_index(drop=True)
    table.insert(0, PLACE, np.arange(1, len(rows) + 1))
    return table.assign(**{ROWS: rows, SHARE_OF_ROWS: rows / rows.sum(), ROWS_SO_FAR: np.cumsum(rows) / rows.sum()})


def rows_held(histories: Histories) -> pd.DataFrame:
    """What part of the rows the most watched movies hold, for every whole percent of the movies, rounded up.

    Returns:
        DataFrame [percent_of_movies from 0 to 100, movies, share_of_rows].
    """
    rows = np.sort(histories.movie_rows)[::-1]
    percents = np.arange(101)
    movies = -(-percents * len(rows) // 100)
    held = np.concatenate([[0], np.cumsum(rows)])[movies] / rows.sum()
    return pd.DataFrame({MOVIES_PERCENT: percents, MOVIES: movies, SHARE_OF_ROWS: held})


def tail_below(histories: Histories, below: int = ZOOM) -> pd.DataFrame:
    """Movies with fewer than ``below`` rows, ten rows a step.

    Returns:
        DataFrame [from, below, movies, share, share_so_far], the shares of all movies.
    """
    return histogram(histories.movie_rows, equal_steps(below - 1, 10), MOVIES)


def dropped_below(histories: Histories, floors: Sequence[int] = FLOORS) -> pd.DataFrame:
    """What is lost where movies with fewer rows than a floor are dropped.

    Returns:
        DataFrame [fewest_rows, movies_dropped, share_of_movies_dropped, rows_lost, share_of_rows_lost].
    """
    rows = histories.movie_rows
    table = []
    for floor in floors:
        dropped = rows < floor
        lost = int(rows[dropped].sum())
        table.append((floor, int(dropped.sum()), dropped.mean(), lost, lost / rows.sum()))
    return pd.DataFrame(table, columns=[FLOOR, DROPPED, DROPPED_SHARE, ROWS_LOST, ROWS_LOST_SHARE])


def release_years(histories: Histories) -> pd.DataFrame:
    """Movies and rows of every release year from the first known to the last, years without a movie included.

    Returns:
        DataFrame [year, movies, rows, mean_rows_a_movie, variance_rows_a_movie]; the sample variance (n - 1), NaN
        for fewer than two movies.
    """
    known = histories.movies[YEAR].notna().to_numpy()
    years, rows = histories.movies[YEAR].to_numpy()[known].astype(np.int64), histories.movie_rows[known]
    groups = pd.Series(rows).groupby(years)
    table = pd.DataFrame(
        {
            MOVIES: groups.size(),
            ROWS: groups.sum(),
            MEAN_ROWS_A_MOVIE: groups.mean(),
            VARIANCE_ROWS_A_MOVIE: groups.var(ddof=1),
        }
    )
    table = table.reindex(np.arange(years.min(), years.max() + 1)).rename_axis(YEAR).reset_index()
    return table.fillna({MOVIES: 0, ROWS: 0}).astype({MOVIES: np.int64, ROWS: np.int64})


def release_against_watch(histories: Histories) -> pd.DataFrame:
    """Rows of every pair of a release year and a watch year that has any: DataFrame [year, watch_year, rows]."""
    release, watched = _dated_rows(histories)
    table = pd.DataFrame({YEAR: release, WATCH_YEAR: watched})
    return table.groupby([YEAR, WATCH_YEAR]).size().rename(ROWS).reset_index()


def age_at_watching(histories: Histories) -> pd.DataFrame:
    """Rows by years from the movie's release year to the watch year; below 0 the row precedes the release.

    Returns:
        DataFrame [years_after_release, rows, share, share_so_far], shares of the rows of movies with a known year.
    """
    release, watched = _dated_rows(histories)
    ages, rows = np.unique(watched - release, return_counts=True)
    share = rows / rows.sum()
    return pd.DataFrame({AGE: ages, ROWS: rows, SHARE: share, SO_FAR: np.cumsum(share)})


def share_of_new(histories: Histories, days: int = NEW_DAYS) -> float:
    """The share of the rows within ``days`` days of their movie's first row, that first row included."""
    first = np.full(len(histories.movies), np.iinfo(np.int64).max)
    np.minimum.at(first, histories.movie, histories.times)
    return float((histories.times - first[histories.movie] <= days * DAY).mean())


def missing_information(histories: Histories) -> pd.DataFrame:
    """Movies that lack a title, year, genre, director or writer, and the rows that are about such movies.

    Returns:
        DataFrame [feature, movies_without, share_of_movies, rows_of_such_movies, share_of_rows].
    """
    movies, rows = histories.movies, histories.movie_rows
    lacks = {TITLE: movies[TITLE] == "", YEAR: movies[YEAR].isna()}
    lacks.update({feature: movies[feature].map(len) == 0 for feature in ITEM_FEATURES})
    table = []
    for feature, lacking in lacks.items():
        missing = lacking.to_numpy()
        affected = int(rows[missing].sum())
        table.append((feature, int(missing.sum()), missing.mean(), affected, affected / rows.sum()))
    return pd.DataFrame(table, columns=[FEATURE, WITHOUT, SHARE_OF_MOVIES, ROWS_WITHOUT, SHARE_OF_ROWS])


def _dated_rows(histories: Histories) -> tuple[np.ndarray, np.ndarray]:
    """Release year and watch year of each row whose movie has a known year: int64 [n] each."""
    release = histories.movies[YEAR].to_numpy()[histories.movie]
    known = ~np.isnan(release)
    return release[known].astype(np.int64), histories.watch_year[known]
