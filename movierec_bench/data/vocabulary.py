"""The one crossing between the data's ids and RecBole's integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from movierec_bench.errors import DataError
from movierec_bench.schema import ITEM, USER


@dataclass(frozen=True)
class Vocabulary:
    """The one crossing between the data's ids and RecBole's integers.

    ``user_ix`` and ``item_ix`` count from 1 in ascending order of the data's id, and 0 is padding;
    ascending ``item_ix`` is therefore ascending movie id, which is how ties are broken. Ids that are
    strings ascend by their characters' code points.

    Args:
        users: int64 or str objects [n_users], every user of the ratings file, ascending.
        items: int64 or str objects [n_items], every movie of the item file, ascending.
    """

    users: np.ndarray
    items: np.ndarray

    @property
    def n_user_ix(self) -> int:
        """Number of user indices, padding included."""
        return len(self.users) + 1

    @property
    def n_item_ix(self) -> int:
        """Number of item indices, padding included."""
        return len(self.items) + 1

    def user_ix(self, users: np.ndarray) -> np.ndarray:
        """Int64 indices of ``users`` (the data's ids, any shape). Raises DataError for an unknown id."""
        return _positions(self.users, users, USER)

    def item_ix(self, items: np.ndarray) -> np.ndarray:
        """Int64 indices of ``items`` (the data's ids, any shape). Raises DataError for an unknown id."""
        return _positions(self.items, items, ITEM)

    def user_ids(self, user_ix: np.ndarray) -> np.ndarray:
        """The data's ids of ``user_ix`` (1-based, any shape)."""
        return self.users[np.asarray(user_ix) - 1]

    def item_ids(self, item_ix: np.ndarray) -> np.ndarray:
        """The data's ids of ``item_ix`` (1-based, any shape)."""
        return self.items[np.asarray(item_ix) - 1]


def _positions(known: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    wanted = np.asarray(wanted)
    # A hash table of this size stays in the cache: a quarter of the time of a binary search.
    positions = pd.Index(known).get_indexer(wanted.ravel()).reshape(wanted.shape)
    unknown = positions < 0
    if unknown.any():
        first = wanted[unknown].ravel()[0]
        raise DataError(
            f"{what} {first} is not in the data set ({int(unknown.sum())} such ids); "
            f"expected one of its {len(known)} {what}s; check that both files come from the same data"
        )
    return positions + 1
