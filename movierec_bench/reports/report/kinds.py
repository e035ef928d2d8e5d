"""The chapters that split the one number: by kind of user, and by kind of movie."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import pandas as pd

from movierec_bench.errors import DataError
from movierec_bench.reports.pages import Figure, Note, Section
from movierec_bench.reports.report.breakdowns import (
    FOUND,
    GROUP,
    MODEL,
    ROWS,
    USERS,
    all_segments,
    by_decade,
    by_genre,
    by_popularity,
    spread,
)
from movierec_bench.reports.report.comparing import model_color, model_shape
from movierec_bench.reports.report.material import Material
from movierec_bench.reports.user_segments import AGE, FOCUS, GOOD, LENGTH, SEGMENT, SPAN
from movierec_bench.schema import MAIN_METRIC

_SEGMENT_TITLES = {
    LENGTH: "By length of the log (training rows, in thirds)",
    SPAN: "By span of the log (first to last training row)",
    AGE: "By age of the log (from its last row to the newest of all, in thirds)",
    FOCUS: "By spread of genres (in thirds)",
    GOOD: "By how well the best models do on a user's validation rows",
}
_MISSING = "Not possible here: {}"
_MANY = 30  # users or held-out rows of a kind that its sentence speaks of; of fewer, one hit would decide


def users_chapter(material: Material) -> Section:
    """Recall@10 by segment of the users."""
    title = "Kinds of users"
    if not material.lineup:
        return Section("kinds-of-users", title, parts=(Note("No stored test ranking can be read."),))
    tables, missing = all_segments(material)
    parts: list[Figure | Note] = []
    for by, table in tables.items():
        own = _counted(table, SEGMENT, USERS).rename(columns={MAIN_METRIC: "recall"})
        name, axis = f"segment-{by}", "Recall@10 (share found)"
        notice = _notice(material, table, MAIN_METRIC)
        parts.append(_dots(material, own, "recall", name, _SEGMENT_TITLES[by], axis, notice, table))
    parts += [Note(f"{_SEGMENT_TITLES[by]}: {_MISSING.format(reason)}") for by, reason in missing.items()]
    intro = "Segments are told from training and validation rows only."
    return Section("kinds-of-users", title, intro, tuple(parts))


def movies_chapter(material: Material) -> Section:
    """The share of held-out movies found, by popularity, genre and decade."""
    title = "Kinds of movies"
    if not material.lineup:
        return Section("kinds-of-movies", title, parts=(Note("No stored test ranking can be read."),))
    chapters: tuple[tuple[str, str, Callable[[Material], pd.DataFrame]], ...] = (
        ("popularity", "By popularity (training rows of the movie)", by_popularity),
        ("genre", "By genre", by_genre),
        ("decade", "By decade of release", by_decade),
    )
    parts: list[Figure | Note] = []
    for name, heading, count in chapters:
        try:
            table = count(material)
        except DataError as error:
            parts.append(Note(f"{heading}: {_MISSING.format(error)}"))
            continue
        if table.empty:
            parts.append(Note(f"{heading}: the data say nothing about it."))
            continue
        own, notice = _counted(table, GROUP, ROWS), _notice(material, table, FOUND)
        parts.append(_dots(material, own, FOUND, name, heading, "found (share of held-out movies)", notice, table))
    intro = (
        "Of all held-out test rows with such a movie, the share that stands among the user's ten. Every row counts "
        "alike, so that these shares do not average to recall@10, where every user does."
    )
    return Section("kinds-of-movies", title, intro, tuple(parts))


def _counted(table: pd.DataFrame, group: str, counts: str) -> pd.DataFrame:
    """The table with a column ``GROUP`` that says how many users or rows a group has, such as "short (321 users)"."""
    names = [
        f"{name} ({count:,} {counts if count != 1 else counts[:-1]})"
        for name, count in zip(table[group], table[counts])
    ]
    return table.assign(**{GROUP: names})


def _dots(
    material: Material, own: pd.DataFrame, value: str, name: str, title: str, axis: str, notice: str, told: pd.DataFrame
) -> Figure:
    """A row a group, a point a compared model."""
    models = material.lineup
    shown = own[own[MODEL].isin(models)]
    order = own[GROUP].drop_duplicates().tolist()
    y = alt.Y(f"{GROUP}:N", sort=order, title=None, axis=alt.Axis(grid=True, labelLimit=210))
    points = (
        alt.Chart(shown[[MODEL, GROUP, value]])
        .mark_point(size=75, opacity=0.9)
        .encode(
            y=y,
            x=alt.X(f"{value}:Q", title=axis),
            color=model_color(models),
            shape=model_shape(models),
            tooltip=[MODEL, GROUP, alt.Tooltip(f"{value}:Q", format=".4f")],
        )
        .properties(height=34 * len(order))
    )
    return Figure(name, title, notice, points, told)


def _notice(material: Material, table: pd.DataFrame, value: str) -> str:
    """Where the compared models find most and least, and where the leader is beaten."""
    group, counts = (SEGMENT, USERS) if SEGMENT in table else (GROUP, ROWS)
    if table[group].nunique() < 2:
        return f"All held-out rows are of one kind: {table[group].iloc[0]}."
    many = table[table[counts] >= _MANY]
    told = f"Of kinds with {_MANY} {counts} or more: " if len(many) < len(table) else ""
    if many[group].nunique() < 2:
        return f"Too few {counts} to compare: only one kind or none has {_MANY}."
    table, means = many, spread(many, value, material.lineup)
    ends = f"asiest: {means.idxmax()} ({means.max():.3f} on average); hardest: {means.idxmin()} ({means.min():.3f})."
    text = f"{told}e{ends}" if told else f"E{ends}"
    leader = material.lineup[0]
    best = table.loc[table.groupby(group, sort=False)[value].idxmax()]
    beaten = [f"{row[MODEL]} for {row[group]}" for _, row in best.iterrows() if row[MODEL] != leader]
    if not beaten:
        return f"{text} {leader} is the best for every kind."
    return f"{text} Better there than {leader}: {', '.join(beaten[:4])}{' and others' if len(beaten) > 4 else ''}."
