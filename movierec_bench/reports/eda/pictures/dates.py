"""The picture of when the rows were made."""

from __future__ import annotations

import altair as alt
import pandas as pd

from movierec_bench.reports.eda.numbers import dates
from movierec_bench.reports.eda.numbers.columns import MONTH, NEW_USERS, ROWS, USERS
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.pictures.charts import HEIGHT
from movierec_bench.reports.eda.pictures.wording import count, share
from movierec_bench.reports.pages import Figure, Note, Part

_A_MONTH = pd.DateOffset(months=1)


def rows_a_month(histories: Histories) -> Part:
    """Rows, users and new users of each month."""
    if not histories.has_times:
        return Note("These data have no times: every picture that needs them is left out.")
    table = dates.rows_a_month(histories)
    busiest = table.loc[table[ROWS].idxmax()]
    active = table[table[ROWS] > 0]
    notice = (
        f"The busiest month is {busiest[MONTH]} with {count(busiest[ROWS])} rows "
        f"({share(busiest[ROWS] / len(histories))} of all) of {count(busiest[USERS])} users. Over {len(active)} months "
        f"with rows, {share(table[NEW_USERS].sum() / table[USERS].sum())} of the users of a month are new in it."
    )
    # Stepped areas, as bars of hundreds of months are thinner than nothing on a phone.
    month = pd.to_datetime(table[MONTH])
    drawn = pd.concat([table.assign(**{MONTH: month}), table.tail(1).assign(**{MONTH: month.tail(1) + _A_MONTH})])
    chart = (
        alt.Chart(drawn)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X(f"{MONTH}:T", title="month (UTC)", axis=alt.Axis(labelOverlap=True)),
            y=alt.Y(f"{ROWS}:Q", title="rows"),
            tooltip=[alt.Tooltip(f"{MONTH}:T", format="%Y-%m"), ROWS, USERS, NEW_USERS],
        )
        .properties(height=HEIGHT)
    )
    return Figure("rows-a-month", "When the rows were made", notice, chart, table)
