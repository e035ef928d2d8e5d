"""The protocol: which rows of each user's log train, validate and test, the same for every model.

A protocol is a name and a few settings, read from ``protocol.yaml``. Every protocol is a plan of the
same form: for the test, and then for the validation, how many of each user's rows are taken from the
end of the log and how many are drawn from what is left. What nobody took trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from movierec_bench.data.replacing import replaced_when_complete
from movierec_bench.data.user_groups import UserGroup
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import DataError
from movierec_bench.schema import INTERACTION_COLUMNS, ITEM, TIME, USER
from movierec_bench.settings.protocol import Protocol

TRAIN, VALID, TEST, SHOWN = 0, 1, 2, 3
_TRAIN, _VALID, _TEST = _FILES = ("train", "valid", "test")
_SHOWN = "shown"  # a file only where rows are shown
_CANDIDATES = "candidates"  # a file only where candidates came with the data
CANDIDATES_FILE = f"{_CANDIDATES}.parquet"


@dataclass(frozen=True)
class Split:
    """The three parts of the interactions; together they hold every row exactly once.

    Args:
        train: DataFrame [user, item, time], int64, in file order.
        valid: The same, held out for early stopping, tuning and mixing.
        test: The same, held out for the leaderboard.
        shown: Rows of users held out whole: read and masked when such a user is ranked, and fitted by nobody before the
            refit on every row. None under most protocols.
        places: Of each of these parts, the places of its rows in the log, int64, by the part's name. None where the log
            is not at hand, as `read_split` leaves it; `in_order_of` finds them.
        candidates: DataFrame [user, item], what alone is ranked for the test of each user, the test rows' movies
            included; no rows of the log. None where every movie is ranked, as under all protocols but `given`.
    """

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    shown: Optional[pd.DataFrame] = None
    places: Optional[Mapping[str, np.ndarray]] = None
    candidates: Optional[pd.DataFrame] = None

    def in_order_of(self, log: pd.DataFrame, vocabulary: Vocabulary) -> Split:
        """The same split, whose parts can be joined in the order of the log.

        The files of a split do not say how rows of different parts follow one another within one second, and sequence
        models read that order.

        Args:
            log: DataFrame [user, item, time], the rows that were split, in file order; a user has a movie once.
            vocabulary: Of the log.

        Raises:
            DataError: A row of the split is not in the log.
        """
        pairs = _pairs(log, vocabulary)
        by_pair = np.argsort(pairs, kind="stable")
        parts = self._parts()
        return replace(
            self, places={name: _places(_pairs(rows, vocabulary), pairs, by_pair) for name, rows in parts.items()}
        )

    def only(self, group: UserGroup) -> Split:
        """The rows of these users alone."""
        parts = {name: group.rows(rows) for name, rows in self._parts().items()}
        candidates = None if self.candidates is None else group.rows(self.candidates)
        if self.places is None:
            return Split(**parts, candidates=candidates)
        kept = {name: rows[USER].isin(group.users).to_numpy() for name, rows in self._parts().items()}
        places = {name: places[kept[name]] for name, places in self.places.items()}
        return Split(**parts, places=places, candidates=candidates)

    def seen(self, part: str) -> pd.DataFrame:
        """The rows that are masked, and that models may read, when ``part`` is ranked.

        Args:
            part: "valid", "test", or "full": after the refit on every row.
        """
        if part == "valid":
            return self._joined({_TRAIN: self.train, **self._shown_to(self.valid)})
        return self._joined({name: rows for name, rows in self._parts().items() if name != _TEST or part != _TEST})

    def fitted(self, part: str) -> pd.DataFrame:
        """The rows a model is fitted on that ranks ``part``, "valid", "test" or "full".

        Of users held out whole, none is fitted before it has been ranked.
        """
        if part == "valid":
            return self.train
        if part == "test":
            return self._joined({_TRAIN: self.train, _VALID: self.valid, **self._shown_to(self.valid)})
        return self.seen(part)

    def _parts(self) -> dict[str, pd.DataFrame]:
        parts = {_TRAIN: self.train, _VALID: self.valid, _TEST: self.test, _SHOWN: self.shown}
        return {name: rows for name, rows in parts.items() if rows is not None}

    def _shown_to(self, held_out: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The shown rows of the users of ``held_out``, where any rows are shown."""
        return {} if self.shown is None else {_SHOWN: self.shown[self.shown[USER].isin(held_out[USER])]}

    def _joined(self, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Rows of several parts, each indexed from 0, in the order of the log."""
        if len(parts) == 1:
            return next(iter(parts.values()))
        if self.places is None:
            raise DataError(
                f"the parts {', '.join(parts)} of a split are joined in the order of the log, which was not given; "
                "expected split.in_order_of(log, vocabulary) first"
            )
        places = np.concatenate([self.places[name][rows.index] for name, rows in parts.items()])
        return pd.concat(list(parts.values()), ignore_index=True).iloc[np.argsort(places)].reset_index(drop=True)


def _pairs(rows: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    """Int64 [n], a number a pair of user and movie."""
    user_ix, item_ix = vocabulary.user_ix(rows[USER].to_numpy()), vocabulary.item_ix(rows[ITEM].to_numpy())
    return user_ix * vocabulary.n_item_ix + item_ix


def _places(wanted: np.ndarray, pairs: np.ndarray, by_pair: np.ndarray) -> np.ndarray:
    """Int64 [n], where in ``pairs``, which ``by_pair`` sorts, each of ``wanted`` stands."""
    found = np.minimum(np.searchsorted(pairs, wanted, sorter=by_pair), len(pairs) - 1)
    places = by_pair[found]
    strange = int((pairs[places] != wanted).sum())
    if strange:
        raise DataError(
            f"{strange} rows of the split are not in the data set; expected the rows it was made of; "
            "run again with --fresh to make the split anew"
        )
    return places


def parted(interactions: pd.DataFrame, part: np.ndarray) -> Split:
    """The split in which each row is of the part that ``part`` (int8 [n]: TRAIN, VALID, TEST or SHOWN) says."""
    columns = interactions[list(INTERACTION_COLUMNS)]
    numbers = {_TRAIN: TRAIN, _VALID: VALID, _TEST: TEST, _SHOWN: SHOWN}
    places = {name: np.flatnonzero(part == number) for name, number in numbers.items()}
    train, valid, test, shown = (columns.iloc[rows].reset_index(drop=True) for rows in places.values())
    return Split(train=train, valid=valid, test=test, shown=shown if len(shown) else None, places=places)


def make_split(interactions: pd.DataFrame, protocol: Protocol) -> Split:
    """Each row's part under ``protocol``: a function of the rows' order and the protocol, of nothing else.

    A user's rows are ordered by (time, then place in the file). The draw is one random permutation of each
    user's rows, from the protocol's seed; every user keeps at least one training row.

    Args:
        interactions: DataFrame [user, item, time], int64, in file order; any index.
        protocol: What to hold out.

    Returns:
        The split, each part in file order with an index from 0.

    Raises:
        DataError: A column is missing, a time is no integer, or an id is neither an integer nor a string.

    Source:
        ours; the protocol `competition` follows the competition's description of its hidden rows.
    """
    logs = _Logs.of(interactions)
    part = np.full(len(interactions), TRAIN, dtype=np.int8)
    newest_first, shuffled = logs.newest_first(), logs.shuffled(protocol.seed)
    for destination, (n_last, n_drawn) in zip((TEST, VALID), _plan(logs.lengths, protocol)):
        part[logs.first_free(newest_first, part == TRAIN, n_last)] = destination
        # What is left of one uniform permutation is itself in uniform order, so that the validation
        # continues down the permutation that the test began.
        part[logs.first_free(shuffled, part == TRAIN, n_drawn)] = destination
    part_in_file = np.empty_like(part)
    part_in_file[logs.order] = part
    return parted(interactions, part_in_file)


def drawn_once(interactions: pd.DataFrame, protocol: Protocol) -> np.ndarray:
    """Bool [n], the rows that ``protocol`` would hold out once, for the test alone.

    Args:
        interactions: As in :func:`make_split`.
        protocol: competition, random or last.
    """
    logs = _Logs.of(interactions)
    n_last, n_drawn = _plan(logs.lengths, protocol)[0]
    taken = np.zeros(len(interactions), dtype=bool)
    taken[logs.first_free(logs.newest_first(), ~taken, n_last)] = True
    taken[logs.first_free(logs.shuffled(protocol.seed), ~taken, n_drawn)] = True
    in_file = np.empty_like(taken)
    in_file[logs.order] = taken
    return in_file


def write_split(split: Split, folder: Path) -> None:
    """Write ``{train,valid,test}.parquet`` (and ``shown``, ``candidates``, where the split has them): all, or none.

    Args:
        split: What to write.
        folder: An earlier one of that name is replaced.
    """
    with replaced_when_complete(folder) as fresh:
        for name in (*_FILES, _SHOWN, _CANDIDATES):
            rows = getattr(split, name)
            if rows is not None:
                rows.to_parquet(fresh / f"{name}.parquet", index=False)


def read_split(folder: Path) -> Split:
    """The split that :func:`write_split` left in ``folder``.

    Raises:
        DataError: A file is missing, cannot be read, or has other columns.
    """
    train, valid, test = (read_part(folder, name) for name in _FILES)
    listed = folder / CANDIDATES_FILE
    candidates = _read_table(listed, (USER, ITEM)) if listed.is_file() else None
    return Split(train=train, valid=valid, test=test, shown=_read_shown(folder), candidates=candidates)


def held_out_rows(folder: Path) -> dict[str, int]:
    """How many rows "valid" and "test" hold, without reading them. Raises DataError as `read_part` does."""
    counts = {}
    for name in _FILES[1:]:
        try:
            counts[name] = int(pq.read_metadata(folder / f"{name}.parquet").num_rows)
        except (OSError, ValueError):
            counts[name] = len(read_part(folder, name))  # which says what is wrong
    return counts


def read_known(folder: Path) -> pd.DataFrame:
    """What is known of the users: the training rows, and those shown of users held out whole."""
    train, shown = read_part(folder, _TRAIN), _read_shown(folder)
    return train if shown is None else pd.concat([train, shown], ignore_index=True)  # no user has rows in both


def _read_shown(folder: Path) -> Optional[pd.DataFrame]:
    return read_part(folder, _SHOWN) if (folder / f"{_SHOWN}.parquet").is_file() else None


def read_part(folder: Path, name: str) -> pd.DataFrame:
    """The part ``name``, "train", "valid" or "test", of a split; for what must not so much as open the others.

    Raises:
        DataError: The file is missing, cannot be read, or has other columns.
    """
    return _read_table(folder / f"{name}.parquet", INTERACTION_COLUMNS)


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    advice = "run again with --fresh to make the split anew"
    try:
        part = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:  # by what of the file is damaged
        raise DataError(f"{path}: cannot be read ({error}); expected a parquet file; {advice}") from error
    if list(part.columns) != list(columns):
        found, expected = ", ".join(map(str, part.columns)), ", ".join(columns)
        raise DataError(f"{path}: found the columns {found}; expected {expected}; {advice}")
    return part


@dataclass(frozen=True)
class _Logs:
    """Every user's log, one after the other, in one array sorted by (user, time, place in the file).

    Args:
        order: int64 [n], place in the file of each row of that array.
        owner: int64 [n], number of the row's user, counted from 0 in ascending order of the id.
        lengths: int64 [users], rows of each user.
    """

    order: np.ndarray
    owner: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, interactions: pd.DataFrame) -> _Logs:
        _require_columns(interactions)
        owner, users = pd.factorize(interactions[USER].to_numpy(), sort=True)
        lengths = np.bincount(owner, minlength=len(users))
        order = _order_within(owner, interactions[TIME].to_numpy())
        return cls(order, np.repeat(np.arange(len(users)), lengths), lengths)

    def newest_first(self) -> np.ndarray:
        """All rows, user by user, each user's newest first; int64 [n]."""
        return np.arange(len(self.owner))[::-1]

    def shuffled(self, seed: int) -> np.ndarray:
        """All rows, user by user, each user's in uniformly random order; int64 [n]."""
        lots = np.random.default_rng(seed).integers(0, 2**32, size=len(self.owner), dtype=np.int64)
        return _order_within(self.owner, lots)

    def first_free(self, walk: np.ndarray, free: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Of each user the first ``counts`` free rows met on a walk.

        Args:
            walk: int64 [n], all rows, one user after the other.
            free: bool [n], may this row be taken?
            counts: int64 [users], rows wanted of each user.

        Returns:
            int64, the rows taken.
        """
        rows = walk[free[walk]]
        owner = self.owner[rows]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        place = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
        return rows[place < counts[owner]]


def _plan(lengths: np.ndarray, protocol: Protocol) -> list[tuple[np.ndarray, np.ndarray]]:
    """For the test and for the validation: (last rows, drawn rows) wanted of each user, int64 [users]."""
    if protocol.name == "halves":
        held_out = _halves_counts(lengths)
    elif protocol.name == "ratio":
        held_out = _ratio_counts(lengths, protocol)
    else:
        held_out = _clipped_counts(lengths, protocol)
    last_share = {"competition": protocol.last_share, "random": 0.0}.get(protocol.name, 1.0)
    plan = []
    for counts in held_out:
        counts = np.where(lengths < protocol.min_rows, 0, counts)
        n_last = np.ceil(last_share * counts).astype(np.int64)
        plan.append((n_last, counts - n_last))
    return plan


def _clipped_counts(lengths: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """(test, validation) rows of each user: a clipped share of the log, then the same of what remains."""

    def held_out(rows: np.ndarray) -> np.ndarray:
        rounded = np.floor(protocol.held_out_share * rows + 0.5).astype(np.int64)
        wanted = np.clip(rounded, protocol.held_out_min, protocol.held_out_max)
        return np.minimum(wanted, np.maximum(rows - 1, 0))

    test = held_out(lengths)
    return test, held_out(lengths - test)


def _ratio_counts(lengths: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """(test, validation) rows of each user by RecBole's rule: rounded down, but at least one."""

    def held_out(share: float, most: np.ndarray) -> np.ndarray:
        wanted = np.maximum(np.floor(share * lengths).astype(np.int64), 1)
        return np.minimum(wanted, np.maximum(most, 0))

    test = held_out(protocol.ratio_test, lengths - 1)
    return test, held_out(protocol.ratio_valid, lengths - test - 1)


def _halves_counts(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(test, validation) rows of each user: the last quarter, and the quarter before it.

    The second half is divided by time and not by lot, so that no row is ever predicted from a later one:
    the third quarter is foretold from the first half, the last quarter from everything before it.
    """
    second_half = lengths // 2
    test = (second_half + 1) // 2
    return test, second_half - test


def _order_within(owner: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Positions sorted by (owner, value, position), int64 [n]; ``owner`` counts from 0."""
    if len(owner) == 0:
        return np.zeros(0, dtype=np.int64)
    lowest, highest = int(value.min()), int(value.max())
    span = highest - lowest + 1
    if (int(owner.max()) + 1) * span > np.iinfo(np.int64).max:
        return np.lexsort((value, owner))
    # One packed key sorts two to five times as fast as lexsort's two passes.
    return np.argsort(owner * span + (value - lowest), kind="stable")


def _require_columns(interactions: pd.DataFrame) -> None:
    for column in INTERACTION_COLUMNS:
        if column not in interactions.columns:
            found = ", ".join(map(str, interactions.columns))
            raise DataError(
                f"interactions have the columns {found}; expected {', '.join(INTERACTION_COLUMNS)}; "
                "read them with read_atomic or read_competition"
            )
        kind = interactions[column].dtype
        if kind != np.int64 and (column == TIME or not pd.api.types.is_string_dtype(interactions[column])):
            raise DataError(
                f"interactions column {column} is {kind}; expected int64{'' if column == TIME else ', or strings'}; "
                "read them with read_atomic or read_competition"
            )
