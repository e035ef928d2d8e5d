"""The pictures of the movies: popularity and its long tail, years of release, and what is not known of them."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers import movies
from movierec_bench.reports.eda.numbers.columns import (
    AGE,
    DROPPED_SHARE,
    FEATURE,
    FLOOR,
    MEAN_ROWS_A_MOVIE,
    MOVIES,
    MOVIES_PERCENT,
    PLACE,
    ROWS,
    ROWS_LOST_SHARE,
    SHARE_OF_MOVIES,
    SHARE_OF_ROWS,
    WATCH_YEAR,
    WITHOUT,
)
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.numbers.users import summary
from movierec_bench.reports.eda.pictures.charts import (
    HEIGHT,
    grouped_bars,
    heat_map,
    histogram,
    line,
    percent_axis,
    year_bars,
)
from movierec_bench.reports.eda.pictures.wording import count, decimal, listed, share, some
from movierec_bench.reports.pages import ACCENT, Figure, Note, Part, Section
from movierec_bench.schema import TITLE, YEAR

_POINTS = 400  # of the long tail that are drawn; the CSV has every movie


def popularity(histories: Histories) -> Section:
    """Rows a movie: the long tail, its end, and what a floor drops."""
    parts = (_long_tail(histories), _held(histories), _below(histories), _dropped(histories))
    return Section("popularity", "Popularity and its long tail", "", parts)


def years(histories: Histories) -> Section:
    """Years of release, alone and against the times of the rows."""
    parts: tuple[Part, ...]
    if not histories.has_years:
        parts = (Note("No movie of these data has a release year, so nothing can be told by it."),)
    elif not histories.has_times:
        nothing = Note("Release years cannot be set against watch times: these data have no times.")
        parts = (_movies_a_year(histories), _rows_by_year(histories), nothing)
    else:
        parts = (
            _movies_a_year(histories),
            _rows_by_year(histories),
            _release_against_watch(histories),
            _age(histories),
        )
    return Section("release-years", "Release years", "", parts)


def missing(histories: Histories) -> Figure:
    """What side information the movies lack."""
    table = movies.missing_information(histories)
    lacking = table[table[WITHOUT] > 0]
    told = [
        f"{some(row[WITHOUT], 'movie lacks', 'movies lack')} a {row[FEATURE]} ({share(row[SHARE_OF_MOVIES])}, "
        f"{share(row[SHARE_OF_ROWS])} of the rows)"
        for _, row in lacking.iterrows()
    ]
    notice = f"{listed(told)}." if told else "Every movie has a title, a year, a genre, a director and a writer."
    series = {SHARE_OF_MOVIES: "movies without it", SHARE_OF_ROWS: "rows of such movies"}
    chart = grouped_bars(table, FEATURE, series, "side information", "share (%)")
    return Figure("missing-information", "Which side information is missing", notice, chart, table)


def _long_tail(histories: Histories) -> Figure:
    table = movies.long_tail(histories)
    rows = table[ROWS]
    never = int((rows == 0).sum())
    first = table.iloc[0]
    notice = (
        f"The most watched movie, {first[TITLE] or first.iloc[1]}, has {count(first[ROWS])} rows, the median movie "
        f"{decimal(float(rows.median()))}; the mean is {decimal(float(rows.mean()))}, the variance "
        f"{decimal(float(rows.var(ddof=1)))}" + (f"; {some(never, 'movie has', 'movies have')} none." if never else ".")
    )
    watched = table[table[ROWS] > 0]
    places = np.unique(np.geomspace(1, len(watched), _POINTS).round().astype(int)) - 1
    x = alt.X(f"{PLACE}:Q", title="movie, by place in popularity (logarithmic)", scale=_log(), axis=_whole())
    y = alt.Y(f"{ROWS}:Q", title="rows of the movie (logarithmic)", scale=_log(), axis=_whole())
    chart = line(watched.iloc[places], x, y)
    return Figure("long-tail", "How often each movie was watched, from the most popular down", notice, chart, table)


def _held(histories: Histories) -> Figure:
    table = movies.rows_held(histories)
    held = table.set_index(MOVIES_PERCENT)[SHARE_OF_ROWS]
    notice = (
        f"The most popular 1% of the movies hold {share(held[1])} of the rows, 10% hold {share(held[10])}, half hold "
        f"{share(held[50])}; {(held >= 0.8).idxmax()}% are enough for 80%."
    )
    x = alt.X(
        f"{MOVIES_PERCENT}:Q", title="movies, the most popular first (% of all)", axis=alt.Axis(labelOverlap=True)
    )
    y = alt.Y(f"{SHARE_OF_ROWS}:Q", title="rows they hold (% of all)", axis=percent_axis())
    return Figure(
        "rows-of-the-popular", "What part of the rows the popular movies hold", notice, line(table, x, y), table
    )


def _below(histories: Histories) -> Figure:
    table = movies.tail_below(histories)
    rows = histories.movie_rows
    notice = (
        f"{some((rows < movies.ZOOM).sum(), 'movie has', 'movies have')} fewer than {movies.ZOOM} rows, "
        f"{share((rows < movies.ZOOM).mean())} of all; {count((rows < 10).sum())} have fewer than 10."
    )
    chart = histogram(table, MOVIES, "rows of the movie", "movies")
    return Figure(
        "tail-below-200", f"The tail, zoomed: movies with fewer than {movies.ZOOM} rows", notice, chart, table
    )


def _dropped(histories: Histories) -> Figure:
    table = movies.dropped_below(histories)
    kept = table[table[DROPPED_SHARE] < 1]
    keeping = kept[kept[FLOOR] >= movies.ZOOM] if (kept[FLOOR] >= movies.ZOOM).any() else kept
    chosen = keeping.iloc[sorted({0, len(keeping) // 2, len(keeping) - 1})] if len(keeping) else table.iloc[:1]
    told = [
        f"{count(row[FLOOR])} rows drops {share(row[DROPPED_SHARE])} of the movies and "
        f"{share(row[ROWS_LOST_SHARE])} of the rows"
        for _, row in chosen.iterrows()
    ]
    notice = f"A floor of {', one of '.join(told)}."
    series = {DROPPED_SHARE: "movies dropped", ROWS_LOST_SHARE: "rows lost"}
    chart = grouped_bars(table, FLOOR, series, "fewest rows that a movie must have", "share lost (%)")
    return Figure("dropped-movies", "What a floor under the rows a movie drops", notice, chart, table)


def _movies_a_year(histories: Histories) -> Figure:
    table = movies.release_years(histories)
    numbers = summary(table[MOVIES].to_numpy())
    most = table.loc[table[MOVIES].idxmax()]
    notice = (
        f"From {table[YEAR].iloc[0]} to {table[YEAR].iloc[-1]} a year has {decimal(numbers['mean'])} movies on average "
        f"(variance {decimal(numbers['variance'])}); the most, {count(most[MOVIES])}, are of {most[YEAR]:.0f}, and "
        f"half the movies are of {_middle_year(table, MOVIES)} or later."
    )
    bars = year_bars(table, YEAR, MOVIES, "release year", "movies")
    mean = alt.Chart(pd.DataFrame({MOVIES: [numbers["mean"]]})).mark_rule(style=ACCENT, strokeDash=[6, 4])
    chart = (bars + mean.encode(y=alt.Y(f"{MOVIES}:Q"))).properties(height=HEIGHT)
    title = "How many movies each release year has (dashed: the mean year)"
    return Figure("movies-a-year", title, notice, chart, table)


def _rows_by_year(histories: Histories) -> Figure:
    table = movies.release_years(histories)
    several = table[table[MOVIES] >= 5]
    notice = f"Half the rows are about movies of {_middle_year(table, ROWS)} or later."
    if len(several):
        best = several.loc[several[MEAN_ROWS_A_MOVIE].idxmax()]
        notice += (
            f" Of years with five movies or more, those of {best[YEAR]:.0f} have the most rows each: "
            f"{decimal(best[MEAN_ROWS_A_MOVIE])} on average."
        )
    chart = year_bars(table, YEAR, MEAN_ROWS_A_MOVIE, "release year", "mean rows of a movie")
    return Figure("rows-by-release-year", "How many rows a movie of each release year has", notice, chart, table)


def _release_against_watch(histories: Histories) -> Figure:
    table = movies.release_against_watch(histories)
    early = int(table.loc[table[WATCH_YEAR] < table[YEAR], ROWS].sum())
    total = int(table[ROWS].sum())
    notice = (
        f"{share(table.loc[table[WATCH_YEAR] == table[YEAR], ROWS].sum() / total)} of the rows were made in the year "
        f"of the movie's release; {some(early, 'row precedes', 'rows precede')} it. "
        f"{share(movies.share_of_new(histories))} come within {movies.NEW_DAYS} days of the movie's first row."
    )
    titles = ("year of the row (UTC)", "release year of the movie", "rows")
    chart = heat_map(table, WATCH_YEAR, YEAR, ROWS, titles)
    return Figure("release-against-watch", "Release year against the year of watching", notice, chart, table)


def _age(histories: Histories) -> Figure:
    table = movies.age_at_watching(histories)
    middle = table.loc[(table["share_so_far"] >= 0.5).idxmax(), AGE]
    old = table.loc[table[AGE] > 20, ROWS].sum() / table[ROWS].sum()
    notice = (
        f"Half the rows are about movies at most {some(middle, 'year', 'years')} after their release year; "
        f"{share(old)} are about movies more than 20 years old."
    )
    chart = year_bars(table, AGE, ROWS, "years after release", "rows")
    return Figure("age-at-watching", "How old movies are when watched", notice, chart, table)


def _middle_year(table: pd.DataFrame, counted: str) -> int:
    """The latest year such that half of what is counted is of that year or later."""
    from_last = table[counted][::-1].cumsum()
    return int(table.loc[(from_last >= table[counted].sum() / 2).idxmax(), YEAR])


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False)


def _whole() -> alt.Axis:
    return alt.Axis(values=[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], format="~s")
