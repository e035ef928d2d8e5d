"""The pictures of directors and writers."""

from __future__ import annotations

import altair as alt
import pandas as pd

from movierec_bench.reports.eda.numbers import creators
from movierec_bench.reports.eda.numbers.columns import (
    FEATURE,
    FEWEST_MOVIES,
    MOVIES,
    PERSONS,
    ROWS,
    SHARE,
    V_CORRECTED,
    V_SQUARED,
    V,
)
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.pictures.charts import HEIGHT, heat_map, lying_bars
from movierec_bench.reports.eda.pictures.wording import count, share, some
from movierec_bench.reports.pages import Figure, Note, Part, Section
from movierec_bench.schema import DIRECTOR, GENRE, WRITER

_MEASURE, _VALUE = "measure", "value"
_MEASURES = {V: "Cramer's V", V_CORRECTED: "V, corrected for bias", V_SQUARED: "V without its root"}


def section(histories: Histories) -> Section:
    """The most watched directors and writers, and how they go with genres."""
    parts: list[Part] = []
    for feature in (DIRECTOR, WRITER):
        if histories.has_feature(feature):
            parts.append(_top(histories, feature))
        else:
            parts.append(Note(f"No movie of these data has a {feature}."))
    known = [feature for feature in (DIRECTOR, WRITER) if histories.has_feature(feature)]
    if not histories.has_feature(GENRE):
        parts.append(Note("Without genres, how persons go with them cannot be told."))
    elif known:
        parts += _with_genres(histories, known)
    intro = "Names are as the data have them: the competition's are IMDb's ids, such as nm0000229."
    return Section("creators", "Directors and writers", intro if known else "", tuple(parts))


def _top(histories: Histories, feature: str) -> Figure:
    table = creators.most_watched(histories, feature, creators.TOP[feature])
    first = table.iloc[0]
    notice = (
        f"{first[feature]} leads with {count(first[ROWS])} rows of {some(first[MOVIES], 'movie', 'movies')}; the "
        f"{len(table)} shown are part of {share(_covered(histories, feature, table[feature].tolist()))} of all rows."
    )
    chart = lying_bars(table, feature, ROWS, feature, "rows of their movies")
    title = f"The {len(table)} {feature}s whose movies were watched most"
    return Figure(f"top-{feature}s", title, notice, chart, table)


def _covered(histories: Histories, feature: str, names: list[str]) -> float:
    """The share of the rows whose movie is by at least one of ``names``."""
    chosen = set(names)
    theirs = histories.movies[feature].map(lambda persons: not chosen.isdisjoint(persons)).to_numpy()
    return float(histories.movie_rows[theirs].sum() / len(histories))


def _with_genres(histories: Histories, features: list[str]) -> list[Part]:
    table = creators.creators_and_genres(histories, features)
    if table.empty:
        return [Note("Too few persons or genres are known to tell how they go together.")]
    figures: list[Part] = [_cramers_v(table)]
    if DIRECTOR in features:
        figures.append(_directors_by_genre(histories))
    return figures


def _cramers_v(table: pd.DataFrame) -> Figure:
    first, last = table.iloc[0], table[table[FEATURE] == table[FEATURE].iloc[0]].iloc[-1]
    notice = (
        f"Over {some(first[PERSONS], first[FEATURE], first[FEATURE] + 's')} Cramer's V is {first[V]:.3f} (0: genres "
        f"tell nothing, 1: everything). Without its root it would be {first[V_SQUARED]:.3f}; corrected for the bias of "
        f"so many persons with few movies each it is {first[V_CORRECTED]:.3f}. Of those with {last[FEWEST_MOVIES]} "
        f"movies or more V is {last[V]:.3f}."
    )
    values = table.melt(
        id_vars=[FEATURE, FEWEST_MOVIES, PERSONS], value_vars=list(_MEASURES), var_name=_MEASURE, value_name=_VALUE
    )
    values[_MEASURE] = values[_MEASURE].map(_MEASURES)
    chart = (
        alt.Chart(values)
        .mark_line(point=True)
        .encode(
            x=alt.X(f"{FEWEST_MOVIES}:O", title="fewest movies that a person must have", axis=alt.Axis(labelAngle=0)),
            y=alt.Y(f"{_VALUE}:Q", title="association with genres, 0 to 1"),
            color=alt.Color(f"{FEATURE}:N", title=None, legend=alt.Legend(columns=1)),
            strokeDash=alt.StrokeDash(
                f"{_MEASURE}:N", title=None, sort=list(_MEASURES.values()), legend=alt.Legend(columns=1, labelLimit=300)
            ),
            tooltip=list(values.columns),
        )
        .properties(height=HEIGHT)
    )
    return Figure("cramers-v", "How strongly directors and writers go with genres (Cramer's V)", notice, chart, table)


def _directors_by_genre(histories: Histories) -> Figure:
    table = creators.directors_by_genre(histories)
    per_director = table.groupby(DIRECTOR)[SHARE].max()
    one_sided = int((per_director >= 0.9).sum())
    top = table.loc[table[MOVIES].idxmax()]
    notice = (
        f"{one_sided or 'None'} of the {len(per_director)} most watched directors have one genre in at least 90% of "
        f"their movies; the largest count is {top[DIRECTOR]}'s {some(top[MOVIES], 'movie', 'movies')} of {top[GENRE]}."
    )
    titles = ("genre", "director", "share of the director's movies (%)")
    chart = heat_map(table, GENRE, DIRECTOR, SHARE, titles, percent=True)
    return Figure("directors-by-genre", "Genres of the most watched directors", notice, chart, table)
