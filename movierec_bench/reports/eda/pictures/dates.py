"""The picture of when the rows were made."""

from __future__ import annotations

import altair as alt

from movierec_bench.reports.eda.numbers import dates
from movierec_bench.reports.eda.numbers.columns import MONTH, NEW_USERS, ROWS, USERS
from movierec_bench.reports.eda.numbers.histories import Histories
from movierec_bench.reports.eda.pictures.charts import HEIGHT
from movierec_bench.reports.eda.pictures.wording import count, share
from movierec_bench.reports.pages import Figure, Note, Part


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
    chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(f"yearmonth({MONTH}):T", title="month (UTC)", axis=alt.Axis(format="%Y")),
            y=alt.Y(f"{ROWS}:Q", title="rows"),
            tooltip=list(table.columns),
        )
        .properties(height=HEIGHT)
    )
    return Figure("rows-a-month", "When the rows were made", notice, chart, table)
