"""Pair features counted by hand, with and without the pair's own row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.models.parts.pair_features import FEATURES, PairFeatures

MOVIES = pd.DataFrame(
    {
        "title": ["a", "b", "c", "d"],
        "year": [1990.0, 2000.0, np.nan, 2010.0],
        "decade": ["1990", "2000", "", "2010"],
        "genre": [("Drama",), ("Comedy", "Drama"), (), ("Comedy",)],
        "director": [("x",), ("x",), ("y",), ()],
        "writer": [(), (), (), ()],
    },
    index=[1, 2, 3, 4],
)
VOCABULARY = Vocabulary(users=np.array([1, 2, 3]), items=np.arange(1, 5))
LOG2, LOG3, LOG4 = np.log(2), np.log(3), np.log(4)


def features() -> PairFeatures:
    """User 1 watched 1, 2 and 3; user 2 watched 1; user 3 nothing."""
    rows = pd.DataFrame([(1, 1, 0), (1, 2, 1), (1, 3, 2), (2, 1, 0)], columns=["user", "item", "time"])
    return PairFeatures(Interactions.from_rows(rows.astype("int64"), VOCABULARY), MOVIES)


def of_pair(user: int, item: int, own: bool = False) -> dict[str, float]:
    row = features().of_pairs(np.array([user]), np.array([item]), np.array([own]))
    assert row.dtype == np.float32
    return dict(zip(FEATURES, row[0].tolist()))


def test_an_unwatched_pair_by_hand() -> None:
    expected = {
        "popularity": 0.0,  # nobody watched movie 4
        "year": 2010.0,
        "activity": LOG4,
        "popularity_gap": 0.0 - (LOG3 + LOG2 + LOG2) / 3,
        "year_gap": 2010.0 - 1995.0,  # movie 3 has no year
        "genre_affinity": 1 / 3,  # one comedy of three rows
        "director_affinity": np.nan,
        "writer_affinity": np.nan,
        "decade_affinity": 0.0,
    }
    assert of_pair(1, 4) == pytest.approx(expected, nan_ok=True)


def test_a_watched_pair_without_its_own_row_by_hand() -> None:
    expected = {
        "popularity": LOG2,  # one row, the pair's own
        "year": 2000.0,
        "activity": LOG4,
        "popularity_gap": LOG2 - (LOG3 + LOG2) / 2,
        "year_gap": 2000.0 - 1990.0,
        "genre_affinity": (0 + 1) / 2 / 2,  # no other comedy, one other drama, of two other rows
        "director_affinity": 1 / 2,
        "writer_affinity": np.nan,
        "decade_affinity": 0.0,
    }
    assert of_pair(1, 2, own=True) == pytest.approx(expected, nan_ok=True)


def test_popularity_and_activity_do_not_tell_watched_pairs_from_others() -> None:
    watched, not_watched = of_pair(1, 2, own=True), of_pair(2, 2)
    assert watched["popularity"] == not_watched["popularity"]
    assert of_pair(1, 2, own=True)["activity"] == of_pair(1, 4)["activity"]


def test_users_with_nothing_else_have_missing_means() -> None:
    for user, own, activity in ((3, False, 0.0), (2, True, LOG2)):
        row = of_pair(user, 1, own)
        assert row["activity"] == pytest.approx(activity)
        assert np.isnan([row[name] for name in ("popularity_gap", "year_gap", "genre_affinity")]).all()


def compared_with_the_user(row: np.ndarray) -> np.ndarray:
    """The features that leave the row out, of a row of features; the mean popularity in place of its gap."""
    values = dict(zip(FEATURES, row))
    return np.array([values.pop("popularity") - values["popularity_gap"], *list(values.values())[4:]])


def test_leaving_a_row_out_equals_never_having_had_it(planted: AtomicData) -> None:
    """The definition, over rows of the planted set."""
    rows = planted.interactions
    counted = PairFeatures(Interactions.from_rows(rows, planted.vocabulary), planted.movies.set_axis(range(1, 41)))
    rng = np.random.default_rng(0)
    for place in rng.choice(len(rows), 25, replace=False):
        left = rows.drop(index=rows.index[place])
        without = PairFeatures(Interactions.from_rows(left, planted.vocabulary), planted.movies.set_axis(range(1, 41)))
        user = planted.vocabulary.user_ix(rows["user"].to_numpy()[[place]])
        item = planted.vocabulary.item_ix(rows["item"].to_numpy()[[place]])
        np.testing.assert_allclose(
            compared_with_the_user(counted.of_pairs(user, item, np.array([True]))[0]),
            compared_with_the_user(without.of_pairs(user, item, np.array([False]))[0]),
            rtol=1e-5,
        )
