"""The rules: Random, Pop, YearPop, GenreTop, GenreVote, CreatorTop; and that better models beat plainer ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.closed_form_cases import (
    DAY,
    WATCHED,
    YEAR_2010,
    data_of,
    fitted_model,
    random_watched,
    ranked_unseen,
    rows_of,
    scores_of,
)

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import recall_at_k
from movierec_bench.models.yearpop import calendar_years

RULES = ("Random", "Pop", "YearPop", "GenreTop", "GenreVote", "CreatorTop")

# Of movies 1 to 6, of which 3, 3, 2, 2, 1 and 0 users watched one.
GENRES = [("A", "B"), ("A",), ("B",), ("B", "C"), ("C",), ("A", "C")]
DIRECTORS = [("Agnes",), ("Agnes",), ("Bong",), ("Bong",), ("Bong", "Agnes"), ()]
WRITERS = [("Carol",), (), ("Carol",), ("Dino",), ("Dino",), ("Carol",)]


def worked(watched: np.ndarray = WATCHED) -> AtomicData:
    return data_of(rows_of(watched), 6, genre=GENRES, director=DIRECTORS, writer=WRITERS)


# -- Random and Pop


def test_random_scores_are_the_users_own_whatever_the_batch() -> None:
    data = data_of(rows_of(random_watched(50, 400)), 400)
    fitted = fitted_model("Random", data)
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    together = fitted.scores(rows, np.arange(1, 51))
    torch.testing.assert_close(fitted.scores(rows, np.array([40, 7])), together[[39, 6]], rtol=0, atol=0)
    assert len(torch.unique(together, dim=0)) == 50, "no two users have the same scores"
    assert abs(float(together[:, 1:].mean()) - 0.5) < 0.01
    assert float(together.min()) >= 0 and float(together.max()) < 1


def test_random_follows_the_seed() -> None:
    data = worked()
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    one, other = (fitted_model("Random", data, seed=seed).scores(rows, np.array([1])) for seed in (3, 4))
    assert not torch.equal(one, other)


def test_pop_counts_training_rows_whatever_the_history() -> None:
    longer = WATCHED.copy()
    longer[:, 5] = 1
    for history in (None, rows_of(longer)):
        np.testing.assert_array_equal(scores_of("Pop", worked(), history), [[3, 3, 2, 2, 1, 0]] * 5)


# -- YearPop


def two_years() -> AtomicData:
    """User 1 is active in 2010, user 2 in 2010 (two rows) and 2011 (one), user 3 in 2011."""
    in_2010, in_2011 = YEAR_2010 + 5 * DAY, YEAR_2010 + 370 * DAY
    rows = [
        (1, 1, in_2010),
        (1, 2, in_2010),
        (2, 1, in_2010),
        (2, 3, in_2010),
        (2, 4, in_2011),
        (3, 4, in_2011),
        (3, 5, in_2011),
    ]
    return data_of(pd.DataFrame(rows, columns=["user", "item", "time"]), 6)


def test_year_pop_adds_up_the_years_a_user_was_active_in() -> None:
    watched_2010, watched_2011 = np.array([2, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 2, 1, 0])
    scores = scores_of("YearPop", two_years(), activity="years")
    np.testing.assert_array_equal(scores, [watched_2010, watched_2010 + watched_2011, watched_2011])
    scores = scores_of("YearPop", two_years(), activity="rows")
    np.testing.assert_array_equal(scores, [2 * watched_2010, 2 * watched_2010 + watched_2011, 2 * watched_2011])


def test_year_pop_takes_the_years_from_the_history_and_the_counts_from_training() -> None:
    history = pd.DataFrame(
        {"user": [1, 2, 3], "item": [6, 6, 6], "time": [YEAR_2010 + 400 * DAY, YEAR_2010 + 3000 * DAY, 0]}
    )
    scores = scores_of("YearPop", two_years(), history, activity="years")
    np.testing.assert_array_equal(scores[0], [0, 0, 0, 2, 1, 0])
    # Users 2 and 3 were active in years nobody watched anything in, so in all years.
    np.testing.assert_array_equal(scores[1:], [[2, 1, 1, 2, 1, 0]] * 2)


def test_year_pop_over_a_span_takes_the_year_before_and_the_gaps() -> None:
    """User 1 watched in 2011 and 2014: counted are 2010 to 2014, and not 2009 or 2015."""
    at = {year: int(np.datetime64(f"{year}-06-01", "s").astype(int)) for year in range(2009, 2016)}
    rows = [(1, 1, 2011), (1, 2, 2014), *((user, 2 + year - 2008, year) for year in at for user in (2, 3))]
    table = pd.DataFrame([(user, item, at[year]) for user, item, year in rows], columns=["user", "item", "time"])
    scores = scores_of("YearPop", data_of(table, 9), activity="span")
    assert scores[0].tolist() == [1, 1, 0, 2, 2, 2, 2, 2, 0]  # movies 3 to 9 are of 2009 to 2015
    assert scores_of("YearPop", data_of(table, 9), activity="years")[0].tolist() == [1, 1, 0, 0, 2, 0, 0, 2, 0]


def test_calendar_years_change_at_midnight_utc() -> None:
    times = np.array([0, -1, YEAR_2010 - 1, YEAR_2010, 1_427_846_399])
    np.testing.assert_array_equal(calendar_years(times), [1970, 1969, 2009, 2010, 2015])


# -- GenreTop


def test_genre_top_of_a_worked_matrix() -> None:
    """User 5 watched movie 1, of A and B. With 2:1, a round is the two best of A, then the best of B."""
    scores = scores_of("GenreTop", worked(), proportions=[2, 1])
    ranking = ranked_unseen(scores, WATCHED)
    # A: 2, 6 (1 is seen). B: 3. Next round, A has run out; B: 4. Then the rest by popularity: 5.
    assert ranking[4] == [2, 6, 3, 4, 5]
    # User 4 watched 4 and 5: C twice, B once. C: 6. B: 1. B: 3. Then the rest: 2.
    assert ranking[3] == [6, 1, 3, 2]
    np.testing.assert_array_equal(scores[3], [5, 3, 4, 0, 0, 6])


def by_hand(counts: np.ndarray, seen: set[int], genres: list[tuple[str, ...]], proportions: list[int]) -> list[int]:
    """GenreTop's ranking in plain Python."""
    popular = sorted(range(1, len(genres) + 1), key=lambda item: (-counts[item - 1], item))
    liked = Counter(genre for item in seen for genre in genres[item - 1])
    favourite = sorted(liked, key=lambda genre: (-liked[genre], genre))[: len(proportions)]
    ranking: list[int] = []
    while True:
        before = len(ranking)
        for genre, share in zip(favourite, proportions):
            left = [item for item in popular if genre in genres[item - 1] and item not in seen and item not in ranking]
            ranking += left[:share]
        if len(ranking) == before:
            return ranking + [item for item in popular if item not in seen and item not in ranking]


@given(st.integers(0, 10_000), st.sampled_from([[3, 2, 2, 2, 1], [4, 2, 2, 1, 1], [1], [1, 5]]))
@settings(max_examples=25, deadline=None)
def test_genre_top_equals_plain_python(seed: int, proportions: list[int]) -> None:
    rng = np.random.default_rng(seed)
    watched = random_watched(8, 40, seed)
    genres = [tuple(sorted(rng.choice(list("ABCDEFG"), rng.integers(0, 4), replace=False))) for _ in range(40)]
    data = data_of(rows_of(watched), 40, genre=genres)
    ranking = ranked_unseen(scores_of("GenreTop", data, proportions=proportions), watched)
    for user, seen in enumerate(watched):
        assert ranking[user] == by_hand(watched.sum(axis=0), set(np.flatnonzero(seen) + 1), genres, proportions)


def test_the_first_ten_unseen_movies_hold_the_genres_in_proportion() -> None:
    """Every movie has one genre, so a genre's share can be counted."""
    rng = np.random.default_rng(0)
    genres = [(genre,) for genre in rng.choice(list("ABCDEF"), 200)]
    watched = random_watched(20, 200)
    ranking = ranked_unseen(scores_of("GenreTop", data_of(rows_of(watched), 200, genre=genres)), watched)
    for seen, items in zip(watched, ranking):
        liked = Counter(genres[item][0] for item in np.flatnonzero(seen))
        favourite = sorted(liked, key=lambda genre: (-liked[genre], genre))[:5]
        for first in (0, 10):
            shown = Counter(genres[item - 1][0] for item in items[first : first + 10])
            assert [shown[genre] for genre in favourite] == [3, 2, 2, 2, 1]


# -- GenreVote


def test_genre_vote_of_a_worked_matrix() -> None:
    """User 5 watched movie 1, of A (10 votes each) and B (9); a ballot has two movies."""
    scores = scores_of("GenreVote", worked(), votes=[10, 9], ballot=2)
    # A votes for 2 and 6, B for 3 and 4. The rest of a score is the popularity's place: 5/6, 4/6, ... 0.
    place = np.array([5, 4, 3, 2, 1, 0]) / 6
    np.testing.assert_allclose(scores[4], place + [0, 10, 9, 9, 0, 10], rtol=1e-6)
    # User 4 watched 4 and 5: C, then B. C votes for 6 alone, B for 1 and 3.
    np.testing.assert_allclose(scores[3], place + [9, 0, 9, 0, 0, 10], rtol=1e-6)


def test_genre_vote_with_a_list_a_genre_is_the_origins_rule() -> None:
    """Five users; user 1 likes Drama most, then Comedy: two dramas and one comedy get one vote a list."""
    genres = [("Drama",), ("Drama",), ("Comedy",), ("Drama",), ("Drama", "Comedy"), ("Comedy",), ("Drama",)]
    watched = np.array(
        [
            [1, 1, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 1, 1],
            [0, 0, 0, 1, 1, 1, 0],
            [0, 0, 0, 1, 0, 1, 0],
            [0, 0, 0, 0, 0, 1, 0],
        ]
    )
    data = data_of(rows_of(watched), 7, genre=genres)
    scores = scores_of("GenreVote", data, votes=[1, 1], ballots=[2, 1])
    # Dramas by popularity: 4 (three users), 5 (two), 7; comedies: 6 (four users), 5. Lists: [4, 5] and [6].
    assert np.floor(scores[0, 3:]).tolist() == [1, 1, 1, 0]
    assert ranked_unseen(scores, watched)[0] == [6, 4, 5, 7]  # one vote each, then by popularity
    more = scores_of("GenreVote", data, votes=[1, 1], ballots=[2, 2])
    assert np.floor(more[0, 3:]).tolist() == [1, 2, 1, 0]  # 5 is on both lists
    with pytest.raises(ConfigError, match="GenreVote: ballots has 3 numbers and votes 2"):
        scores_of("GenreVote", data, votes=[1, 1], ballots=[2, 1, 1])


def test_a_movie_of_several_favourite_genres_adds_up_their_votes() -> None:
    scores = scores_of("GenreVote", worked(), votes=[10, 9, 8], ballot=6)
    # User 2 watched 1, 2, 4: A twice, B twice (A first by name), C once. Movie 6 is of A and C, movie 3 of B.
    assert np.floor(scores[1]).tolist() == [0, 0, 9, 0, 8, 18]


# -- CreatorTop


def test_creator_top_of_a_worked_matrix() -> None:
    """User 2 watched 1, 2, 4: Agnes twice, Bong once; Carol and Dino once each."""
    scores = scores_of("CreatorTop", worked(), creators=5, director_weight=2.0, writer_weight=0.5)
    directors = np.array([2, 2, 1, 1, 3, 0])
    writers = np.array([1, 0, 1, 1, 1, 1])
    place, counts = np.array([5, 4, 3, 2, 1, 0]) / 6, np.array([3, 3, 2, 2, 1, 0])
    np.testing.assert_allclose(scores[1], counts * (2 * directors + 0.5 * writers) + place, rtol=1e-6)


def test_only_the_favourite_creators_count() -> None:
    scores = scores_of("CreatorTop", worked(), creators=1, director_weight=1.0, writer_weight=0.0)
    np.testing.assert_array_equal(np.floor(scores[1]), [3 * 2, 3 * 2, 0, 0, 1 * 2, 0])


def test_without_creators_creator_top_is_pop() -> None:
    data = data_of(rows_of(WATCHED), 6)
    assert ranked_unseen(scores_of("CreatorTop", data), WATCHED) == ranked_unseen(scores_of("Pop", data), WATCHED)


# -- all of them


@pytest.mark.parametrize("name", RULES)
def test_inputs_stay_as_they_were(name: str) -> None:
    data = worked()
    fitted = fitted_model(name, data)
    before, movies = fitted.model.history.copy(), data.movies.copy(deep=True)
    fitted.model.full_sort_predict({"user_id": torch.arange(1, 6)})
    assert (fitted.model.history != before).nnz == 0
    assert data.movies.equals(movies)


@pytest.mark.parametrize("name", ["GenreTop", "GenreVote", "CreatorTop"])
def test_a_user_who_has_seen_nothing_gets_the_popular_movies(name: str) -> None:
    history = rows_of(WATCHED).query("user != 3")
    scores = scores_of(name, worked(), history)
    assert ranked_unseen(scores[2:3], np.zeros((1, 6))) == [[1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("YearPop", {"activity": "days"}, "activity is 'days'; expected one of years, rows"),
        ("GenreTop", {"proportions": []}, r"proportions is \[\]; expected a list of integers >= 1"),
        ("GenreTop", {"proportions": [3, 0]}, "expected a list of integers >= 1"),
        ("GenreVote", {"votes": 10}, "votes is 10; expected a list of integers >= 1"),
        ("GenreVote", {"ballot": True}, "ballot is True; expected an integer >= 1"),
        ("CreatorTop", {"writer_weight": -0.5}, "writer_weight is -0.5; expected a number >= 0"),
    ],
)
def test_a_meaningless_parameter_is_refused(name: str, parameters: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        fitted_model(name, worked(), **parameters)


# -- sanity on planted data


def recall(data: AtomicData, rows: pd.DataFrame, held_out: pd.DataFrame, name: str, **changes: Any) -> float:
    """Recall@10 on ``held_out`` of a model fitted on ``rows`` and ranking from them."""
    train, held = (Interactions.from_rows(part, data.vocabulary) for part in (rows, held_out))
    fitted = fitted_model(name, replace(data, interactions=rows), **changes)
    best = fitted.rank(train, np.unique(held.user_ix), 10)
    return recall_at_k(best.item_ix, best.user_ix, held.csr, 10)


def test_popularity_beats_random() -> None:
    data = data_of(rows_of(random_watched(300, 100)), 100)
    hidden = data.interactions.sample(frac=0.2, random_state=0)
    train = data.interactions.drop(hidden.index)
    assert recall(data, train, hidden, "Pop") > 1.3 * recall(data, train, hidden, "Random")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("GenreTop", {}),
        ("UserKNN", {"k": 20}),
        ("ItemKNN", {}),
        ("SVD", {"k": 20}),
        ("PureSVD", {"n_factors": 2}),
        ("FISMProfile", {}),
        ("EASE", {"reg_weight": 20.0}),
        ("UserEASE", {"reg_weight": 20.0}),
    ],
)
def test_models_that_know_the_user_beat_popularity(name: str, parameters: dict[str, Any], planted: AtomicData) -> None:
    """Even users mostly watch even movies, odd users odd ones; each user's last three rows are held out."""
    by_time = planted.interactions.sort_values(["user", "time"], kind="stable")
    is_last = by_time.groupby("user").cumcount(ascending=False) < 3
    train, hidden = by_time[~is_last], by_time[is_last]
    assert recall(planted, train, hidden, name, **parameters) > 1.3 * recall(planted, train, hidden, "Pop")
