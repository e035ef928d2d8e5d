"""The pictures of genres."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers import genres
from movierec_bench.reports.eda.numbers.columns import (
    CORRELATION,
    GENRE_A,
    GENRE_B,
    GENRES,
    MEAN_SHARE_A_USER,
    MOVIES,
    SHARE,
    SHARE_OF_MOVIES,
    SHARE_OF_ROWS,
    USERS,
    VARIANCE_SHARE_A_USER,
    WATCH_YEAR,
)
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.numbers.users import MEAN, VARIANCE, summary
from movierec_bench.reports.eda.pictures.charts import STEP, bars, grouped_bars, heat_map, percent_axis
from movierec_bench.reports.eda.pictures.wording import count, decimal, share, some
from movierec_bench.reports.pages import Figure, Note, Part, Section
from movierec_bench.schema import GENRE, YEAR

_FEWEST_MOVIES, _FEWEST_ROWS = 10, 100  # of a year; the shares of fewer say nothing, and are not drawn


def section(histories: Histories) -> Section:
    """Genres of movies, rows, years and users, as far as the data tell them."""
    if not histories.has_feature(GENRE):
        return Section("genres", "Genres", "", (Note("No movie of these data has a genre."),))
    parts: list[Part] = [_counts(histories)]
    if histories.has_years:
        parts.append(_by_release_year(histories))
    else:
        parts.append(Note("Genres by release year need release years, and no movie of these data has one."))
    if histories.has_times:
        parts.append(_by_watch_year(histories))
    else:
        parts.append(Note("Genres by watch year need times, and these data have none."))
    parts += _pairs(histories)
    parts += [_a_user(histories), _taste(histories)]
    intro = "A movie of several genres counts whole for each of them, so that the shares add up to more than 100%."
    return Section("genres", "Genres", intro, tuple(parts))


def _counts(histories: Histories) -> Figure:
    table = genres.genre_counts(histories)
    first = table.iloc[0]
    lift = table[table[MOVIES] > 0].assign(lift=lambda rows: rows[SHARE_OF_ROWS] / rows[SHARE_OF_MOVIES])
    above, under = lift.loc[lift["lift"].idxmax()], lift.loc[lift["lift"].idxmin()]
    notice = (
        f"{first[GENRE]} has the most rows: {share(first[SHARE_OF_ROWS])} of them, and {count(first[MOVIES])} movies "
        f"({share(first[SHARE_OF_MOVIES])}). {above[GENRE]} is watched {decimal(above['lift'])} times as often as its "
        f"share of the movies says, {under[GENRE]} {decimal(under['lift'])} times."
    )
    series = {SHARE_OF_ROWS: "share of rows", SHARE_OF_MOVIES: "share of movies"}
    chart = grouped_bars(table, GENRE, series, "genre", "share (%)", across=True)
    return Figure("genre-counts", "Movies and rows of each genre", notice, chart, table)


def _by_release_year(histories: Histories) -> Figure:
    table = genres.genres_by_release_year(histories)
    titles = ("release year", "genre", "share of the year's movies (%)")
    drawn, notice = _well_filled(table, YEAR, histories.movies[YEAR].value_counts(), _FEWEST_MOVIES, "movies")
    chart = heat_map(drawn, YEAR, GENRE, SHARE, titles, _order(histories), percent=True)
    return Figure("genres-by-release-year", "Genres by release year", notice, chart, table)


def _by_watch_year(histories: Histories) -> Figure:
    table = genres.genres_by_watch_year(histories)
    titles = ("year of the row (UTC)", "genre", "share of the year's rows (%)")
    drawn, notice = _well_filled(
        table, WATCH_YEAR, pd.Series(histories.watch_year).value_counts(), _FEWEST_ROWS, "rows"
    )
    chart = heat_map(drawn, WATCH_YEAR, GENRE, SHARE, titles, _order(histories), percent=True)
    return Figure("genres-by-watch-year", "Genres by year of watching", notice, chart, table)


def _order(histories: Histories) -> list[str]:
    """The genres, the most watched first."""
    return genres.genre_counts(histories)[GENRE].tolist()


def _well_filled(
    table: pd.DataFrame, year: str, counts: pd.Series, fewest: int, counted: str
) -> tuple[pd.DataFrame, str]:
    """The years whose shares say something, all where none does, and the sentence about them.

    Args:
        table: [<year>, genre, share, ...].
        year: column of the years.
        counts: what the shares are of, by year.
        fewest: how many of it say something.
        counted: what it is.
    """
    full = table[table[year].map(counts) >= fewest]
    if full.empty:
        return table, f"No year has {fewest} {counted}, so each share is of a few only. {_change(table, year)}"
    left_out = table[year].nunique() - full[year].nunique()
    notice = _change(full, year)
    if left_out:
        notice += f" Only in the CSV: {some(left_out, 'year', 'years')} with fewer than {fewest} {counted}."
    return full, notice


def _change(table: pd.DataFrame, year: str) -> str:
    """Which genre gained and which lost the most between the first and the last years, a fifth of them each."""
    years = np.unique(table[year])
    if len(years) < 2:
        return f"They are all of one year, {years[0]}."
    fifth = max(1, len(years) // 5)
    by_genre = [
        table[table[year].isin(some_years)].groupby(GENRE)[SHARE].mean()
        for some_years in (years[:fifth], years[-fifth:])
    ]
    change = by_genre[1] - by_genre[0]
    up, down = change.idxmax(), change.idxmin()

    def told(genre: str) -> str:
        return f"{genre} from {share(by_genre[0][genre])} to {share(by_genre[1][genre])}"

    first, last = _years(years[:fifth]), _years(years[-fifth:])
    return f"From {first} to {last} the share grew most for {told(up)}, and fell most for {told(down)}."


def _years(years: np.ndarray) -> str:
    return str(years[0]) if len(years) == 1 else f"{years[0]}-{years[-1]}"


def _pairs(histories: Histories) -> list[Part]:
    table = genres.co_occurrence(histories)
    apart = table[table[GENRE_A] != table[GENRE_B]]
    if apart.empty:
        return [Note("There is one genre only, so there are no pairs of genres.")]
    order = _order(histories)
    both = apart.loc[apart[MOVIES].idxmax()]
    never = int((apart[MOVIES] == 0).sum()) // 2
    notice = (
        f"The most frequent pair is {both[GENRE_A]} and {both[GENRE_B]}, of {some(both[MOVIES], 'movie', 'movies')}; "
        f"of {count(len(apart) // 2)} pairs, {count(never)} never occur."
    )
    titles = ("genre", "genre", "movies of both")
    chart = heat_map(apart, GENRE_A, GENRE_B, MOVIES, titles, order)
    figures: list[Part] = [
        Figure("genre-pairs", "Which genres occur together", notice, chart, table[[GENRE_A, GENRE_B, MOVIES]])
    ]
    known = apart.dropna(subset=[CORRELATION])
    if known.empty:
        return [*figures, Note("The genres do not vary over the movies, so nothing correlates.")]
    up, down = known.loc[known[CORRELATION].idxmax()], known.loc[known[CORRELATION].idxmin()]
    notice = (
        f"{up[GENRE_A]} and {up[GENRE_B]} go together most (correlation {up[CORRELATION]:+.2f}), {down[GENRE_A]} and "
        f"{down[GENRE_B]} least ({down[CORRELATION]:+.2f})."
    )
    titles = ("genre", "genre", "correlation over the movies")
    chart = heat_map(known, GENRE_A, GENRE_B, CORRELATION, titles, order, diverging=True)
    title = "Which genres go together more, or less, than chance would have it"
    return [
        *figures,
        Figure("genre-correlation", title, notice, chart, table[[GENRE_A, GENRE_B, CORRELATION]]),
    ]


def _a_user(histories: Histories) -> Figure:
    table = genres.genres_a_user(histories)
    numbers = summary(genres.genre_numbers(histories))
    every = len(genres.genre_counts(histories))
    notice = (
        f"A user's history has {decimal(numbers[MEAN])} of the {every} genres on average (variance "
        f"{decimal(numbers[VARIANCE])}); {share(table.loc[table[GENRES] == every, SHARE].sum())} of the users have "
        "watched every genre."
    )
    chart = bars(table, GENRES, USERS, "genres in the user's history", "users")
    return Figure("genres-a-user", "How many genres users watch", notice, chart, table)


def _taste(histories: Histories) -> Figure:
    table = genres.genre_taste(histories)
    first = table.iloc[0]
    notice = f"{first[GENRE]} is the largest part of the average history: {share(first[MEAN_SHARE_A_USER])}."
    if table[VARIANCE_SHARE_A_USER].notna().any():
        varied = table.loc[table[VARIANCE_SHARE_A_USER].idxmax()]
        notice += (
            f" Users differ most in {varied[GENRE]}: mean {share(varied[MEAN_SHARE_A_USER])}, variance "
            f"{varied[VARIANCE_SHARE_A_USER]:.4f}, which is a standard deviation of "
            f"{share(varied[VARIANCE_SHARE_A_USER] ** 0.5)}."
        )
    return Figure(
        "genre-shares",
        "What part of a history each genre is: mean over users, and one standard deviation to each side",
        notice,
        _taste_chart(table),
        table,
    )


def _taste_chart(table: pd.DataFrame) -> alt.LayerChart:
    deviation = table[VARIANCE_SHARE_A_USER].fillna(0) ** 0.5
    spread = table.assign(
        lower=(table[MEAN_SHARE_A_USER] - deviation).clip(lower=0), upper=table[MEAN_SHARE_A_USER] + deviation
    )
    x_title = "share of a user's rows (%)"
    base = alt.Chart(spread).encode(y=alt.Y(f"{GENRE}:N", sort=None, title="genre"), tooltip=list(table.columns))
    mean = base.mark_bar().encode(x=alt.X(f"{MEAN_SHARE_A_USER}:Q", title=x_title, axis=percent_axis()))
    return (mean + base.mark_rule(strokeWidth=2).encode(x="lower:Q", x2="upper:Q")).properties(height=STEP * len(table))
