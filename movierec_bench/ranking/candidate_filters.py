"""Candidate filters: which movies may be recommended at all, the same for every model.

``future`` drops movies released after the user's last year; ``unpopular:N`` drops movies few have
watched. Both look only at the rows a ranking may see. A filter never leaves a user short of ten.
Candidates that came listed with the data (`listed_alone`) are another matter: nothing else ranks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError
from movierec_bench.ranking.top_k import Candidates
from movierec_bench.schema import ITEM, TIME, USER, YEAR

FUTURE, UNPOPULAR = "future", "unpopular"
_NO_LIMIT = np.float32(1e9)  # the key of a user whose last year is unknown: later than any year


@dataclass(frozen=True)
class Filters:
    """What ``--filter`` asked for.

    Attributes:
        future_offset: drop movies released in the user's last year + this, or later; None: keep them.
        unpopular_below: drop movies watched fewer than this many times; None: keep them.
    """

    future_offset: Optional[int] = None
    unpopular_below: Optional[int] = None

    @classmethod
    def parse(cls, text: Optional[str]) -> Filters:
        """From ``future``, ``future:2``, ``unpopular:200``, or several joined by commas.

        The origin drops movies of the user's last year + 1 and later, which is the default offset.

        Raises:
            ConfigError: anything else.
        """
        found = {}
        for part in (text or "").split(","):
            if not part.strip():
                continue
            match = re.fullmatch(r"(future)(?::(\d+))?|(unpopular):(\d+)", part.strip())
            if match is None:
                raise ConfigError(
                    f"--filter {part.strip()!r} is unknown; expected future, future:YEARS or unpopular:COUNT "
                    "(several joined by commas), such as --filter future:1,unpopular:200"
                )
            if match.group(1):
                found["future_offset"] = int(match.group(2) or 1)
            else:
                found["unpopular_below"] = int(match.group(4))
        return cls(**found)

    def __str__(self) -> str:
        parts = []
        if self.future_offset is not None:
            parts.append(f"{FUTURE}:{self.future_offset}")
        if self.unpopular_below is not None:
            parts.append(f"{UNPOPULAR}:{self.unpopular_below}")
        return ",".join(parts)

    def check_data(self, lacking: Sequence[str], dataset: str, way_out: str) -> None:
        """Raise ConfigError where the data lack what a filter reads.

        Args:
            lacking: what the data lack, such as "dates" and "years".
            dataset: the data set's name, for the message.
            way_out: the next step that the message ends with.
        """
        missing = [what for what in ("dates", "years") if what in lacking]
        if self.future_offset is not None and missing:
            raise ConfigError(
                f"--filter {self}: {dataset} has no {' and no '.join(missing)}; expected movies with release years and "
                f"rows with dates to tell future movies; {way_out}"
            )

    def candidates(self, movies: pd.DataFrame, seen: pd.DataFrame, vocabulary: Vocabulary) -> Optional[Candidates]:
        """The filter as `top_k` applies it; None when nothing is filtered.

        Args:
            movies: DataFrame [item, year, ...], every movie once; year NaN where unknown.
            seen: DataFrame [user, item, time], the rows the ranking may see.
            vocabulary: users and movies.
        """
        if self.future_offset is None and self.unpopular_below is None:
            return None
        item_key = np.full(vocabulary.n_item_ix, -np.inf, dtype=np.float32)
        user_key = np.full(vocabulary.n_user_ix, _NO_LIMIT, dtype=np.float32)
        if self.future_offset is not None:
            item_key[vocabulary.item_ix(movies[ITEM].to_numpy())] = movies[YEAR].fillna(-np.inf)
            last_year = pd.to_datetime(seen.groupby(USER)[TIME].max(), unit="s").dt.year
            user_key[vocabulary.user_ix(last_year.index.to_numpy())] = last_year + self.future_offset - 1
        if self.unpopular_below is not None:
            watched = np.bincount(vocabulary.item_ix(seen[ITEM].to_numpy()), minlength=vocabulary.n_item_ix)
            item_key[watched < self.unpopular_below] = np.inf
        return Candidates(item_key=item_key, user_key=user_key)


def listed_alone(allowed: Optional[Candidates], listed: pd.DataFrame, vocabulary: Vocabulary) -> Candidates:
    """The candidates of ``allowed`` among those that are listed for each user.

    Args:
        allowed: what a filter leaves; None for every movie.
        listed: DataFrame [user, item], each user's candidates; who has none is recommended nothing.
        vocabulary: users and movies.

    Raises:
        DataError: a user or a movie is not in the data set.
    """
    shape = (vocabulary.n_user_ix, vocabulary.n_item_ix)
    cells = (vocabulary.user_ix(listed[USER].to_numpy()), vocabulary.item_ix(listed[ITEM].to_numpy()))
    entries = csr_matrix((np.ones(len(listed), dtype=bool), cells), shape=shape)
    return replace(allowed or Candidates.every_movie(*shape), listed=entries)
