"""Files of users: a group to train on, or segments to look at."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import DataError
from movierec_bench.schema import USER

SEGMENT = "segment"
OTHERS = "others"  # users whom a file does not name
_JUDGES, _THRESHOLD = "judges", "threshold"  # columns that say how the segments came about
LIST_COLUMNS = ((USER, SEGMENT), (USER, SEGMENT, _JUDGES, _THRESHOLD))  # of the lists that `leaderboard` writes
_STEP = "give a CSV file with the columns user and, if you like, segment, or one user id a line"


@dataclass(frozen=True)
class UserGroup:
    """Users that a model is trained on, and no others.

    Attributes:
        name: what the models are marked with.
        users: their ids, ascending: int64, or str objects.
    """

    name: str
    users: np.ndarray

    @property
    def hash(self) -> str:
        """16 hexadecimal digits, equal for equal users only."""
        return hashlib.sha256("\n".join(map(str, self.users.tolist())).encode("utf-8")).hexdigest()[:16]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows [user, ...] of these users, indexed from 0."""
        return table[table[USER].isin(self.users)].reset_index(drop=True)


@dataclass(frozen=True)
class Judging:
    """How users were told apart by models' validation Recall@10.

    Attributes:
        judges: the models.
        threshold: above which a user is good; None for the mean of the users.
    """

    judges: tuple[str, ...]
    threshold: Optional[float]

    def written_on(self, table: pd.DataFrame) -> pd.DataFrame:
        """``table`` with this in two further columns, which `read_judging` reads."""
        threshold = "" if self.threshold is None else repr(self.threshold)
        return table.assign(**{_JUDGES: " ".join(self.judges), _THRESHOLD: threshold})


def read_judging(path: Path) -> Optional[Judging]:
    """How the users of a file were told apart, where `leaderboard --by good --users-out` wrote it; else None.

    Raises:
        DataError: it cannot be read, or the columns say nothing that can be.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(csv.DictReader(file), {})
        if not first.get(_JUDGES) or _THRESHOLD not in first:
            return None
        return Judging(tuple(first[_JUDGES].split()), float(first[_THRESHOLD]) if first[_THRESHOLD] else None)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a list of users ({error}); {_STEP}") from error


def read_user_segments(path: Path) -> pd.DataFrame:
    """The users of a file and their segments: DataFrame [user str, segment str] in the order of the file.

    Args:
        path: CSV with a column ``user`` and, where there are several segments, ``segment``; or one id a line. Without
            segments all are in one, named like the file.

    Raises:
        DataError: it cannot be read, names nobody, or names somebody twice.
    """
    try:
        lines = [line for line in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a list of users ({error}); {_STEP}") from error
    head = [name.strip() for name in lines[0]] if lines else []
    user, segment = (head.index(name) if name in head else None for name in (USER, SEGMENT))
    if user is not None:
        lines = lines[1:]
    place = user or 0
    try:
        users = [line[place].strip() for line in lines]
        segments = [path.stem if segment is None else line[segment].strip() for line in lines]
    except IndexError as error:
        raise DataError(f"{path} has a line with too few columns; expected {len(head)}; {_STEP}") from error
    table = pd.DataFrame({USER: users, SEGMENT: segments}, dtype=object)
    if table.empty:
        raise DataError(f"{path} names no user; expected at least one; {_STEP}")
    twice = table[table[USER].duplicated()]
    if len(twice):
        raise DataError(f"{path} names user {twice[USER].iloc[0]} twice; expected each once; {_STEP}")
    return table


def read_group(given: str, vocabulary: Vocabulary) -> UserGroup:
    """The users of a file, or with ``FILE:SEGMENT`` those of one of its segments.

    Raises:
        DataError: no such file, segment or user.
    """
    path, wanted = Path(given), None
    if not path.is_file() and ":" in given:
        name, _, wanted = given.rpartition(":")
        path = Path(name)
    table = read_user_segments(path)
    segments = sorted(table[SEGMENT].unique())
    if wanted is None and len(segments) > 1:
        raise DataError(
            f"{path} has the segments {', '.join(segments)}; expected one to train on, such as {path}:{segments[0]}"
        )
    if wanted is not None and wanted not in segments:
        raise DataError(f"{path} has no segment {wanted!r}; expected one of {', '.join(segments)}")
    chosen = table if wanted is None else table[table[SEGMENT] == wanted]
    users = ids_like(chosen[USER].tolist(), vocabulary.users, path)
    vocabulary.user_ix(users)
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in str(chosen[SEGMENT].iloc[0]))
    if re.fullmatch(r"seed\d+", name):
        raise DataError(
            f"the users of {path} are called {name!r}, as results of a further training seed are; expected another "
            "name; rename the file, or the segment in it"
        )
    return UserGroup(name, np.sort(users))


def ids_like(users: Sequence[str], known: np.ndarray, path: Path) -> Any:
    """Ids of a text file as the data has them. Raises DataError for one that is no number where those are numbers."""
    if known.dtype != np.int64:
        return np.array(users, dtype=object)
    try:
        return np.array([int(user) for user in users], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected whole numbers, as the users of these data are; {_STEP}") from error
