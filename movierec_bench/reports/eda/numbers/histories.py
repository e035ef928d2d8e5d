"""The histories of a data set as plain arrays: what every count of the page starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.schema import ITEM, USER, YEAR

DAY = 86_400  # seconds
MONTH = 365.25 / 12 * DAY  # seconds, the mean month of the Gregorian calendar, leap centuries aside


@dataclass(frozen=True)
class Histories:
    """Every user's history, one after the other, each in the order of its times.

    Attributes:
        user: int64 [rows], the row's user as a number from 0, ascending.
        movie: int64 [rows], the row's movie as its place in ``movies``.
        time: int64 [rows], unix seconds; None where the data set has no times.
        movies: one row a movie, as in `AtomicData`.
        user_ids: [users], the id of each user.
    """

    user: np.ndarray
    movie: np.ndarray
    time: Optional[np.ndarray]
    movies: pd.DataFrame
    user_ids: np.ndarray

    @classmethod
    def of(cls, data: AtomicData) -> Histories:
        """The histories of all the rows of ``data``."""
        return cls.of_rows(data.interactions, data.movies)

    @classmethod
    def of_rows(cls, rows: pd.DataFrame, movies: pd.DataFrame) -> Histories:
        """The histories of some rows.

        Args:
            rows: [user, item, time], at least one, in file order. Times that are all the same tell nothing and
                count as no times.
            movies: as in `AtomicData`; every movie of the rows is there.
        """
        users = np.sort(pd.unique(rows[USER]))
        sorted_rows = Interactions.from_rows(rows, Vocabulary(users, movies[ITEM].to_numpy()))
        time = sorted_rows.time
        timed = bool((time != time[0]).any())
        return cls(sorted_rows.user_ix - 1, sorted_rows.item_ix - 1, time if timed else None, movies, users)

    @property
    def users(self) -> int:
        """Number of users; each has a row or more."""
        return len(self.user_ids)

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 [users]: rows of each user."""
        return np.bincount(self.user, minlength=self.users)

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 [users]: where each user's rows begin."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def movie_rows(self) -> np.ndarray:
        """int64 [movies]: rows of each movie."""
        return np.bincount(self.movie, minlength=len(self.movies))

    @property
    def times(self) -> np.ndarray:
        """``time`` of data known to have it. Raises ValueError for data without."""
        if self.time is None:
            raise ValueError("these histories have no times; ask `has_times` first")
        return self.time

    @property
    def has_times(self) -> bool:
        """Whether the rows have times that tell something."""
        return self.time is not None

    @property
    def has_years(self) -> bool:
        """Whether the year of at least one movie is known."""
        return bool(self.movies[YEAR].notna().any())

    def has_feature(self, feature: str) -> bool:
        """Whether at least one movie has a value of ``feature``, one of ``schema.ITEM_FEATURES``."""
        return bool(self.movies[feature].map(len).any())

    @cached_property
    def watch_year(self) -> np.ndarray:
        """int64 [rows]: the calendar year (UTC) of each row's time."""
        return self.times.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
