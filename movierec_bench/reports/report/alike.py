"""The chapter on how alike the models are, and which two are worth mixing."""

from __future__ import annotations

import altair as alt
import pandas as pd

from movierec_bench.reports.pages import Figure, Note, Section, Table
from movierec_bench.reports.report.material import Material
from movierec_bench.reports.report.pairs import ADDS, CORRELATION, EITHER, FIRST, OVERLAP, SECOND, compare_pairs

_MAP = 16  # models of the map
_GOOD = 12  # the best on validation, whose pairs may be worth mixing
_WORTH = 8  # pairs that are named
_ROOM = alt.Scale(padding=28)  # pixels around the points, for their names


def alike_chapter(material: Material) -> Section:
    """Overlap of the tens, correlation of the users' recall, and the pairs that add most to each other."""
    title = "Alike and different"
    order = material.best_on_validation
    if len(order) < 2:
        return Section("alike", title, parts=(Note("Comparing takes two models with validation rankings."),))
    pairs = compare_pairs(material.valid, order)
    intro = (
        "Counted on the validation rows, where mixes are chosen, so that the test rows stay unseen. Two models that "
        "recommend different movies and serve different users well have something to give each other."
    )
    return Section("alike", title, intro, (_worth_mixing(pairs, order), _scatter(pairs, order), _map(pairs, order)))


def worth_mixing(pairs: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Of the pairs of the best models, those whose second finds most that the first does not.

    Args:
        pairs: as `compare_pairs` returns them.
        order: the models, the best first.
    """
    good = set(order[:_GOOD])
    chosen = pairs[pairs[FIRST].isin(good) & pairs[SECOND].isin(good)]
    return chosen.sort_values([EITHER, FIRST, SECOND], ascending=[False, True, True]).head(_WORTH)


def _worth_mixing(pairs: pd.DataFrame, order: list[str]) -> Table:
    best = worth_mixing(pairs, order)
    first = best.iloc[0]
    notice = (
        f"Worth mixing first: {first[FIRST]} and {first[SECOND]}. They share {first[OVERLAP]:.0%} of their ten movies, "
        f"and together they find {first[EITHER]:.4f} of the held-out movies, {first[ADDS]:.4f} more than the better "
        "one alone. That is the most a mix of the two could reach, not what it will; try it with "
        f"`python -m movierec_bench ensemble RUN --models {first[FIRST]},{first[SECOND]}`."
    )
    return Table("worth-mixing", "Pairs worth mixing", notice, _named(best))


def _scatter(pairs: pd.DataFrame, order: list[str]) -> Figure:
    leader = order[0]
    own = pairs[(pairs[FIRST] == leader) | (pairs[SECOND] == leader)].copy()
    own["model"] = own[SECOND].where(own[FIRST] == leader, own[FIRST])
    own = own[own[CORRELATION].notna()]
    x = alt.X(
        f"{OVERLAP}:Q",
        title=f"shared with {leader} (share of ten)",
        axis=alt.Axis(format="%"),
        scale=_up_to(own[OVERLAP]),
    )
    y = alt.Y(f"{CORRELATION}:Q", title="correlation of users' Recall@10", scale=_ROOM)
    points = (
        alt.Chart(own)
        .mark_point(opacity=0.9)
        .encode(
            x=x,
            y=y,
            size=alt.Size(f"{ADDS}:Q", title="adds (Recall@10)"),
            tooltip=["model", OVERLAP, CORRELATION, ADDS],
        )
    )
    named = own.sort_values(ADDS, ascending=False).head(6)
    beside = named.sort_values(OVERLAP)  # neighbours' names stand above and below in turn
    labels = [
        alt.Chart(beside.iloc[first::2]).mark_text(dy=dy).encode(x=x, y=y, text="model:N")
        for first, dy in ((0, -15), (1, 16))
        if len(beside) > first
    ]
    if own.empty:
        notice = f"No other model's recall varies over the users, so nothing correlates with {leader}."
    else:
        most, least = own.loc[own[OVERLAP].idxmax()], own.loc[own[OVERLAP].idxmin()]
        notice = (
            f"Nearest to {leader}, the best on validation, is {most['model']} with {most[OVERLAP]:.0%} of the same "
            f"movies; farthest is {least['model']} with {least[OVERLAP]:.0%}. Large points low on the left add most."
        )
    told = own[["model", OVERLAP, CORRELATION, EITHER, ADDS]]
    return Figure(
        "near",
        f"How near the others are to {leader}",
        notice,
        alt.layer(points, *labels).properties(height=340),
        told,
    )


def _up_to(shares: pd.Series) -> alt.Scale:
    """From 0 to a little above the largest share, so that its point has room for its name."""
    most = 1.0 if shares.empty else float(shares.max())
    return alt.Scale(domain=[0, min(1.0, 1.1 * most + 0.03)], nice=False)


def _map(pairs: pd.DataFrame, order: list[str]) -> Figure:
    shown = order[:_MAP]
    some = pairs[pairs[FIRST].isin(shown) & pairs[SECOND].isin(shown)]
    both = pd.concat([some, some.rename(columns={FIRST: SECOND, SECOND: FIRST})])
    chart = (
        alt.Chart(both[[FIRST, SECOND, OVERLAP, CORRELATION]])
        .mark_rect()
        .encode(
            x=alt.X(f"{FIRST}:N", sort=shown, title=None, axis=alt.Axis(labelAngle=-45)),
            y=alt.Y(f"{SECOND}:N", sort=shown, title=None),
            color=alt.Color(f"{OVERLAP}:Q", title="shared of ten", legend=alt.Legend(format="%")),
            tooltip=[FIRST, SECOND, alt.Tooltip(f"{OVERLAP}:Q", format=".1%"), CORRELATION],
        )
        .properties(height=22 * len(shown))
    )
    twins = some.loc[some[OVERLAP].idxmax()]
    notice = (
        f"{twins[FIRST]} and {twins[SECOND]} are the nearest, with {twins[OVERLAP]:.0%} of their tens in common: "
        "mixing those two brings little."
    )
    title = f"Shared movies of the best {len(shown)} models" if len(order) > _MAP else "Shared movies"
    return Figure("shared", title, notice, chart, _named(pairs))


def _named(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.rename(columns={EITHER: "found by either", CORRELATION: "correlation of recall"})
