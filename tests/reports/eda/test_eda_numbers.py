"""The tables of the page of pictures, by values worked out by hand and by SciPy's, pandas' and scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats.contingency import association
from sklearn.metrics import matthews_corrcoef

from movierec_bench.reports.eda.numbers import bins, creators, dates, genres, movies, sessions, users
from movierec_bench.reports.eda.numbers.histories import Histories

DAY = 86_400
MIDNIGHT = 1_230_768_000  # 2009-01-01 00:00:00 UTC

MOVIES = pd.DataFrame(
    {
        "item": [10, 20, 30, 40],
        "title": ["A", "B", "", "D"],
        "year": [2007.0, 2009.0, np.nan, 2007.0],
        "genre": [("Drama",), ("Comedy", "Drama"), (), ("Action", "Drama")],
        "director": [("ann",), ("ann", "bob"), (), ("cy",)],
        "writer": [("di",), (), (), ("di",)],
    }
)


def rows(*triples: tuple[object, int, int]) -> pd.DataFrame:
    return pd.DataFrame(triples, columns=["user", "item", "time"])


@pytest.fixture
def histories() -> Histories:
    """User 1: three rows in ten minutes before midnight and one of them after; user 2: 40 days; user 3: one row."""
    log = rows(
        (2, 10, MIDNIGHT + 40 * DAY),  # not in the order of users and times
        (1, 10, MIDNIGHT - 300),
        (1, 20, MIDNIGHT - 300),
        (1, 30, MIDNIGHT + 295),
        (2, 20, MIDNIGHT),
        (3, 20, MIDNIGHT + 400 * DAY),
    )
    return Histories.of_rows(log, MOVIES)


def test_histories_are_sorted_by_user_and_time(histories: Histories) -> None:
    assert histories.user.tolist() == [0, 0, 0, 1, 1, 2]
    assert histories.movie.tolist() == [0, 1, 2, 1, 0, 1]
    assert histories.lengths.tolist() == [3, 2, 1]
    assert histories.movie_rows.tolist() == [2, 3, 1, 0]
    assert histories.watch_year.tolist() == [2008, 2008, 2009, 2009, 2009, 2010]


def test_ids_may_be_text() -> None:
    named = MOVIES.assign(item=["a", "b", "c", "d"])
    there = Histories.of_rows(rows(("zoe", "b", 5), ("amy", "a", 9)), named)
    assert there.user_ids.tolist() == ["amy", "zoe"]
    assert there.movie.tolist() == [0, 1]


def test_times_that_are_all_the_same_are_no_times() -> None:
    there = Histories.of_rows(rows((1, 10, 0), (2, 20, 0)), MOVIES)
    assert not there.has_times
    with pytest.raises(ValueError, match="no times"):
        users.spans(there)


# -- bins -------------------------------------------------------------------------------------


def test_a_histogram_counts_lower_ends_and_not_upper_ones() -> None:
    table = bins.histogram(np.array([0, 1, 1, 2, 5]), [0, 1, 2, 4], "n")
    assert table["n"].tolist() == [1, 2, 1]
    assert table["share"].tolist() == [0.2, 0.4, 0.2]  # 5 is outside and still one of five
    assert table["share_so_far"].tolist() == pytest.approx([0.2, 0.6, 0.8])
    assert table["below"].dtype == np.int64, "20 and not 20.0 in the CSV"
    assert bins.histogram(np.array([1]), [0, 0.5, 2], "n")["below"].tolist() == [0.5, 2]


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=50), st.integers(1, 12))
def test_growing_steps_hold_every_value(values: list[int], a_tenfold: int) -> None:
    edges = bins.growing_steps(min(values), max(values), a_tenfold)
    assert (np.diff(edges) >= 1).all()
    table = bins.histogram(np.array(values), edges, "n")
    assert table["n"].sum() == len(values)
    counts, _ = np.histogram(values, edges)
    if max(values) < edges[-1]:  # NumPy's last interval has both its ends
        assert table["n"].tolist() == counts.tolist()


@given(st.floats(0, 500), st.sampled_from([1.0, 10.0]))
def test_equal_steps_hold_the_highest(highest: float, step: float) -> None:
    edges = bins.equal_steps(highest, step)
    assert edges[0] == 0 and edges[-2] <= highest < edges[-1]


# -- users ------------------------------------------------------------------------------------


def test_history_lengths(histories: Histories) -> None:
    table = users.history_lengths(histories)
    assert dict(zip(table["from"], table["users"])) == {1.0: 1, 2.0: 1, 3.0: 1}


def test_spans_and_months(histories: Histories) -> None:
    assert users.spans(histories).tolist() == [595, 40 * DAY, 0]
    table = users.span_months(histories)
    assert table["users"].tolist() == [2, 1]  # below a month; 40 days are 1.3 months


def test_one_day_users_by_both_definitions(histories: Histories) -> None:
    chosen = users.one_day_users(histories)
    assert chosen[users.SAME_DAY].tolist() == [False, False, True]  # user 1 sat over midnight
    assert chosen[users.WITHIN_24_HOURS].tolist() == [True, False, True]
    assert chosen[users.LONGER].tolist() == [False, True, False]


def test_exactly_24_hours_are_within_24_hours() -> None:
    there = Histories.of_rows(rows((1, 10, 0), (1, 20, DAY), (2, 10, 0), (2, 20, DAY + 1)), MOVIES)
    assert users.one_day_users(there)[users.WITHIN_24_HOURS].tolist() == [True, False]


def test_one_day_summary(histories: Histories) -> None:
    table = users.one_day_summary(histories).set_index("definition")
    within = table.loc[users.WITHIN_24_HOURS]
    assert (within["users"], within["rows"]) == (2, 4)
    assert within["share"] == pytest.approx(2 / 3)
    assert within["share_of_rows"] == pytest.approx(4 / 6)
    assert (within["mean"], within["variance"], within["median"], within["min"], within["max"]) == (2, 2, 2, 1, 3)


def test_one_day_summary_of_nobody() -> None:
    there = Histories.of_rows(rows((1, 10, 0), (1, 20, 5)), MOVIES)
    longer = users.one_day_summary(there).set_index("definition").loc[users.LONGER]
    assert longer["users"] == 0 and math.isnan(longer["mean"])
    assert set(users.one_day_lengths(there)["definition"]) == {users.SAME_DAY, users.WITHIN_24_HOURS}


def test_one_day_lengths_are_shares_of_their_group(histories: Histories) -> None:
    table = users.one_day_lengths(histories)
    counts = {users.SAME_DAY: 1, users.WITHIN_24_HOURS: 2, users.LONGER: 1}
    assert table.groupby("definition")["users"].sum().to_dict() == counts
    assert table.groupby("definition")["share"].sum().tolist() == pytest.approx([1, 1, 1])


# -- sessions ---------------------------------------------------------------------------------


def test_gaps_are_within_users(histories: Histories) -> None:
    assert sessions.gaps(histories).tolist() == [0, 595, 40 * DAY]
    table = sessions.gap_counts(histories).set_index("time_since_the_row_before")["rows"]
    assert table[table > 0].to_dict() == {"same second": 1, "1-10 min": 1, "over a month": 1}


def test_sessions(histories: Histories) -> None:
    assert sessions.session_of(histories, 3_600).tolist() == [0, 0, 0, 1, 2, 3]
    assert sessions.session_of(histories, 594).tolist() == [0, 0, 1, 2, 3, 4]
    assert sessions.session_of(histories, 595).tolist() == [0, 0, 0, 1, 2, 3]  # a pause as long as allowed
    assert sessions.sessions_of_users(histories, 3_600).tolist() == [1, 2, 1]
    assert sessions.session_rows(histories, 3_600).tolist() == [3, 1, 1, 1]
    table = sessions.sessions_a_user(histories, 3_600).set_index("interval")
    assert table["users"].to_dict() == {**dict.fromkeys(sessions.SESSION_COUNTS, 0), "1": 2, "2": 1}


def test_rows_a_session(histories: Histories) -> None:
    table = sessions.rows_a_session(histories, 3_600).set_index("interval")
    assert table["sessions"].to_dict() == {**dict.fromkeys(sessions.SESSION_ROWS, 0), "1": 3, "2-5": 1}
    assert table["rows"].sum() == 6
    assert (table.loc["2-5", "rows"], table.loc["2-5", "share_of_rows"]) == (3, 0.5)


def test_first_minutes(histories: Histories) -> None:
    table = sessions.first_minutes(histories, (1, 10)).set_index("minutes_after_the_first_row")
    assert table["share_of_all_rows"].tolist() == pytest.approx([4 / 6, 5 / 6])
    assert table["mean_share_of_a_user"].tolist() == pytest.approx([(2 / 3 + 1 / 2 + 1) / 3, (1 + 1 / 2 + 1) / 3])


# -- movies -----------------------------------------------------------------------------------


def test_long_tail(histories: Histories) -> None:
    table = movies.long_tail(histories)
    assert table["item"].tolist() == [20, 10, 30, 40]
    assert table["rows"].tolist() == [3, 2, 1, 0]
    assert table["share_of_rows_so_far"].tolist() == pytest.approx([1 / 2, 5 / 6, 1, 1])


def test_rows_held(histories: Histories) -> None:
    table = movies.rows_held(histories).set_index("percent_of_movies")  # of movies with 3, 2, 1 and 0 rows
    assert table.loc[[0, 1, 25, 26, 50, 100], "movies"].tolist() == [0, 1, 1, 2, 2, 4]
    assert table.loc[[0, 1, 25, 26, 100], "share_of_rows"].tolist() == pytest.approx([0, 1 / 2, 1 / 2, 5 / 6, 1])


def test_dropped_below(histories: Histories) -> None:
    table = movies.dropped_below(histories, (1, 3, 4))
    assert table["movies_dropped"].tolist() == [1, 3, 4]  # a floor of 3 keeps a movie with 3 rows
    assert table["share_of_movies_dropped"].tolist() == [0.25, 0.75, 1]
    assert table["rows_lost"].tolist() == [0, 3, 6]
    assert table["share_of_rows_lost"].tolist() == [0, 0.5, 1]


def test_the_floors_of_the_field_notes_are_all_there() -> None:
    assert {200, 500, 1_000, 1_500, 2_000, 3_000, 5_000} <= set(movies.FLOORS)


def test_tail_below(histories: Histories) -> None:
    table = movies.tail_below(histories, 200)
    assert (table["from"].iloc[0], table["below"].iloc[-1], len(table)) == (0, 200, 20)
    assert table["movies"].iloc[0] == 4


def test_release_years(histories: Histories) -> None:
    table = movies.release_years(histories).set_index("year")
    assert table["movies"].to_dict() == {2007: 2, 2008: 0, 2009: 1}  # the year without a movie is a zero
    assert table["rows"].to_dict() == {2007: 2, 2008: 0, 2009: 3}
    assert table.loc[2007, "mean_rows_a_movie"] == 1 and table.loc[2007, "variance_rows_a_movie"] == 2
    assert math.isnan(table.loc[2009, "variance_rows_a_movie"])


def test_release_against_watch(histories: Histories) -> None:
    table = movies.release_against_watch(histories)
    assert list(table.itertuples(index=False, name=None)) == [
        (2007, 2008, 1),
        (2007, 2009, 1),
        (2009, 2008, 1),
        (2009, 2009, 1),
        (2009, 2010, 1),
    ]
    ages = movies.age_at_watching(histories)
    assert dict(zip(ages["years_after_release"], ages["rows"])) == {-1: 1, 0: 1, 1: 2, 2: 1}
    assert ages["share_so_far"].iloc[-1] == pytest.approx(1)


def test_share_of_new(histories: Histories) -> None:
    # First rows of the movies: 10 and 20 just before midnight, 30 after. Only user 3's row comes 400 days later.
    assert movies.share_of_new(histories, 90) == pytest.approx(5 / 6)
    assert movies.share_of_new(histories, 30) == pytest.approx(4 / 6)


def test_missing_information(histories: Histories) -> None:
    table = movies.missing_information(histories).set_index("feature")
    assert table["movies_without"].to_dict() == {"title": 1, "year": 1, "genre": 1, "director": 1, "writer": 2}
    assert table["rows_of_such_movies"].to_dict() == {"title": 1, "year": 1, "genre": 1, "director": 1, "writer": 4}


# -- genres -----------------------------------------------------------------------------------


def test_genre_counts(histories: Histories) -> None:
    table = genres.genre_counts(histories)
    assert table["genre"].tolist() == ["Drama", "Comedy", "Action"]
    assert table["movies"].tolist() == [3, 1, 1]
    assert table["rows"].tolist() == [5, 3, 0]
    assert table["share_of_rows"].tolist() == pytest.approx([5 / 6, 3 / 6, 0])


def test_genres_by_release_year(histories: Histories) -> None:
    table = genres.genres_by_release_year(histories).set_index(["year", "genre"])
    assert table["movies"].to_dict() == {
        (2007, "Action"): 1,
        (2007, "Comedy"): 0,
        (2007, "Drama"): 2,
        (2009, "Action"): 0,
        (2009, "Comedy"): 1,
        (2009, "Drama"): 1,
    }
    assert table.loc[(2007, "Action"), "share"] == 0.5


def test_genres_by_watch_year(histories: Histories) -> None:
    table = genres.genres_by_watch_year(histories).set_index(["watch_year", "genre"])
    assert table.xs("Drama", level="genre")["rows"].to_dict() == {2008: 2, 2009: 2, 2010: 1}
    assert table.loc[(2009, "Drama"), "share"] == pytest.approx(2 / 3)  # the third row is of a movie without genre


def test_co_occurrence_and_correlation(histories: Histories) -> None:
    table = genres.co_occurrence(histories).set_index(["genre_a", "genre_b"])
    assert table.loc[("Comedy", "Drama"), "movies"] == table.loc[("Drama", "Comedy"), "movies"] == 1
    assert table.loc[("Action", "Comedy"), "movies"] == 0
    assert table.loc[("Drama", "Drama"), "movies"] == 3
    # Over the four movies Comedy is 0100 and Drama 1101: (1/4 - 1/4 * 3/4) / (sqrt(3)/4)^2 = 1/3.
    assert table.loc[("Comedy", "Drama"), "correlation"] == pytest.approx(1 / 3)


def test_correlation_is_numpys_and_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    has = rng.random((200, 4)) < [0.1, 0.3, 0.5, 0.9]
    names = np.array(["A", "B", "C", "D"])
    many = pd.DataFrame({"item": np.arange(200), "year": np.nan, "genre": [tuple(names[row]) for row in has]})
    table = genres.co_occurrence(Histories.of_rows(rows((1, 0, 0), (1, 1, 9)), many))
    square = table["correlation"].to_numpy().reshape(4, 4)
    assert square == pytest.approx(np.corrcoef(has.T), abs=1e-12)
    assert square[0, 1] == pytest.approx(matthews_corrcoef(has[:, 0], has[:, 1]), abs=1e-12)


def test_a_genre_of_every_movie_correlates_with_nothing() -> None:
    every = MOVIES.assign(genre=[("A",), ("A", "B"), ("A",), ("A",)])
    table = genres.co_occurrence(Histories.of_rows(rows((1, 10, 0)), every)).set_index(["genre_a", "genre_b"])
    assert math.isnan(table.loc[("A", "B"), "correlation"])


def test_genres_a_user(histories: Histories) -> None:
    assert genres.genre_numbers(histories).tolist() == [2, 2, 2]
    assert genres.genres_a_user(histories).values.tolist() == [[2, 3, 1]]


def test_genre_taste(histories: Histories) -> None:
    table = genres.genre_taste(histories).set_index("genre")
    shares = [2 / 3, 1, 1]  # Drama in the rows of users 1, 2 and 3
    assert table.loc["Drama", "mean_share_a_user"] == pytest.approx(np.mean(shares))
    assert table.loc["Drama", "variance_share_a_user"] == pytest.approx(np.var(shares, ddof=1))
    assert table.loc["Drama", "mean_rows_a_user"] == pytest.approx(5 / 3)
    assert table.loc["Drama", "variance_rows_a_user"] == pytest.approx(np.var([2, 2, 1], ddof=1))


# -- creators ---------------------------------------------------------------------------------


def test_most_watched(histories: Histories) -> None:
    table = creators.most_watched(histories, "director", 20)
    assert table["director"].tolist() == ["ann", "bob"]  # nobody watched cy's movie
    assert table["movies"].tolist() == [2, 1]
    assert table["rows"].tolist() == [5, 3]
    assert table["mean_rows_a_movie"].tolist() == [2.5, 3]
    assert len(creators.most_watched(histories, "director", 1)) == 1


def test_cramers_v_by_hand() -> None:
    # chi squared of [[10, 0], [5, 5]]: 20 (10 * 5 - 0 * 5)^2 / (10 * 10 * 15 * 5) = 6.667; V^2 = 6.667 / 20 = 1 / 3.
    v = creators.cramers_v(np.array([[10, 0], [5, 5]]))
    assert v.squared == pytest.approx(1 / 3)
    assert v.root == pytest.approx(math.sqrt(1 / 3))
    # phi^2 less 1/19 over min(r, c) less 1/19 less 1: (1/3 - 1/19) / (2 - 1/19 - 1) = .2807 / .9474
    assert v.corrected == pytest.approx(math.sqrt((1 / 3 - 1 / 19) / (18 / 19)))


def test_cramers_v_at_its_ends() -> None:
    assert creators.cramers_v(np.diag([3, 4, 5])).root == pytest.approx(1)
    independent = creators.cramers_v(np.array([[2, 4], [3, 6]]))
    assert (independent.root, independent.corrected) == (pytest.approx(0, abs=1e-9), 0)
    assert math.isnan(creators.cramers_v(np.array([[3, 4], [0, 0]])).root)  # one label only


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=2, max_size=5))
def test_cramers_v_is_scipys(table: list[list[int]]) -> None:
    counts = np.array(table)
    kept = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    v = creators.cramers_v(counts)
    if min(kept.shape) < 2:
        assert math.isnan(v.root)
        return
    assert v.root == pytest.approx(association(kept, method="cramer"))
    assert math.isnan(v.corrected) or v.corrected <= 1 + 1e-9


def test_creators_and_genres(histories: Histories) -> None:
    table = creators.creators_and_genres(histories, ["director", "writer"], (1, 2))
    # ann: Drama twice, Comedy once; bob: Comedy and Drama; cy: Action and Drama. One writer alone has genres.
    assert table[["feature", "fewest_movies", "persons"]].values.tolist() == [["director", 1, 3]]
    counts = np.array([[0, 1, 2], [0, 1, 1], [1, 0, 1]])
    assert table["cramers_v"].tolist() == [pytest.approx(association(counts, method="cramer"))]
    assert table["cramers_v_squared"].tolist() == [pytest.approx(association(counts, method="cramer") ** 2)]


def test_directors_by_genre(histories: Histories) -> None:
    table = creators.directors_by_genre(histories).set_index(["director", "genre"])
    assert table.loc[("ann", "Drama"), "movies"] == 2
    assert table.loc[("ann", "Comedy"), "share"] == 0.5
    assert table.index.get_level_values(0).unique().tolist() == ["ann", "bob"]


# -- dates ------------------------------------------------------------------------------------


def test_rows_a_month(histories: Histories) -> None:
    table = dates.rows_a_month(histories).set_index("month")
    assert (table.index[0], table.index[-1], len(table)) == ("2008-12", "2010-02", 15)
    assert table["rows"].to_dict()["2008-12"] == 2 and table["rows"].sum() == 6
    assert table.loc["2009-01", ["rows", "users", "new_users"]].tolist() == [2, 2, 1]
    assert table.loc["2009-03"].tolist() == [0, 0, 0]
