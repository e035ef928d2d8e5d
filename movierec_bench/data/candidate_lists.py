"""Candidates that came with a split: the movies among which alone the test rows of a user are ranked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.delimited import decode_line, first_line_of, problem, read_bytes, shown
from movierec_bench.data.log import as_ids
from movierec_bench.data.log_formats import read_log
from movierec_bench.schema import ITEM, USER

_NEGATIVES = re.compile(r"\(([^,()\t]+),([^,()\t]+)\)\t")  # (user,item) TAB item TAB item ...


@dataclass(frozen=True)
class CandidateLists:
    """A file of candidates, as it is written.

    Attributes:
        name: the file's name.
        user: int64 or str objects [n].
        item: int64 or str objects [n], a candidate of the user each.
        claimed: bool [n], the pairs that the file itself calls test rows; None where it calls none so.
    """

    name: str
    user: np.ndarray
    item: np.ndarray
    claimed: Optional[np.ndarray] = None


def read_candidates(path: Path, columns: Mapping[str, str]) -> CandidateLists:
    """The candidates of a file.

    Args:
        path: rows of a user and an item in any format of `convert` (columns with or without names, a user and its
            items a line); or NCF's ``NAME.test.negative``, a line ``(user,item)`` with the test row, and the other
            items, all separated by tabs; plain or gzipped.
        columns: those of the users and of the items, from `log_columns.parse_columns`, where they have no usual names.

    Raises:
        DataError: it cannot be read, or a line is not as expected.

    Source:
        He et al., "Neural Collaborative Filtering", WWW 2017: the second format, of its published data.
    """
    content = read_bytes(path)
    first, _ = first_line_of(content, f"{path.name} line 1")
    if _NEGATIVES.match(first):
        return _read_negatives(path.name, content)
    log = read_log(path.name, content, columns, with_rating=False).log
    return CandidateLists(path.name, log.users[log.user], log.items[log.item])


def _read_negatives(name: str, content: bytes) -> CandidateLists:
    users: list[str] = []
    items: list[str] = []
    lengths: list[int] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        text = decode_line(line, where)
        match = _NEGATIVES.match(text)
        negatives = [] if match is None else text[match.end() :].strip().split("\t")
        if match is None or not all(negatives):
            expected = "(user,item) and then items, all separated by tabs, as in line 1"
            raise problem(where, f"is {shown(text)}", expected, "correct or remove this line")
        users.append(match[1].strip())
        items += [match[2].strip(), *(item.strip() for item in negatives)]
        lengths.append(1 + len(negatives))
    claimed = np.zeros(len(items), dtype=bool)
    claimed[np.cumsum([0, *lengths[:-1]])] = True
    return CandidateLists(name, np.repeat(as_ids(users), lengths), as_ids(items), claimed)


def listed_candidates(
    lists: CandidateLists, seen: pd.DataFrame, test: pd.DataFrame, movies: np.ndarray
) -> tuple[pd.DataFrame, Mapping[str, int]]:
    """Each test user's candidates, checked against the data.

    Args:
        lists: the file.
        seen: DataFrame [user, item, ...], the rows that are no test rows.
        test: the same of the test rows.
        movies: the ids of the data's movies, ascending.

    Returns:
        DataFrame [user, item], ascending, each pair once, the test rows included; and counts of what the file holds
        that changes nothing or cannot rank.

    Raises:
        DataError: a user or a movie is not in the data, a user with test rows has no candidates, or what the file
            calls a test row is none.
    """
    users = np.unique(np.concatenate([seen[USER].to_numpy(), test[USER].to_numpy()]))
    user = _places(lists, users, lists.user, USER)
    item = _places(lists, movies, lists.item, ITEM)
    listed = user * len(movies) + item
    test_pairs, seen_pairs = (_pairs(rows, users, movies) for rows in (test, seen))
    if lists.claimed is not None:
        wrong = np.flatnonzero(lists.claimed & ~np.isin(listed, test_pairs))
        if len(wrong):
            pair = f"({lists.user[wrong[0]]},{lists.item[wrong[0]]})"
            found = f"{pair} and {len(wrong) - 1} other pairs in brackets are not among the test rows"
            raise problem(lists.name, found, "the pairs of the test file", "give the files of one split")
    tested = np.unique(test_pairs // len(movies))
    without = np.setdiff1d(tested, user)
    if len(without):
        found = f"lists no candidates of user {users[without[0]]}, nor of {len(without) - 1} other users with test rows"
        raise problem(lists.name, found, "candidates of every user of the test rows", "add theirs")
    of_tested = np.isin(user, tested)
    once = np.unique(listed[of_tested])
    pairs = np.union1d(once, test_pairs)
    counts = {
        "candidates": len(pairs),
        "candidates_repeated": int(of_tested.sum()) - len(once),
        "candidates_of_users_without_test_rows": int((~of_tested).sum()),
        "candidates_already_seen_and_so_never_ranked": int(np.isin(pairs, seen_pairs).sum()),
    }
    return pd.DataFrame({USER: users[pairs // len(movies)], ITEM: movies[pairs % len(movies)]}), counts


def _places(lists: CandidateLists, known: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    """Int64 [n], where in ``known`` each of ``wanted`` stands. Raises DataError where one does not."""
    if known.dtype != wanted.dtype:  # numbers here and texts there
        known, wanted = (ids.astype(str).astype(object) for ids in (known, wanted))
    places: np.ndarray = pd.Index(known).get_indexer(wanted)
    missing = np.flatnonzero(places < 0)
    if len(missing):
        found = f"{what} {wanted[missing[0]]} is in no file of the split ({len(missing)} such candidates)"
        raise problem(lists.name, found, f"{what}s of the data, such as {known[0]}", "give the files of one split")
    return places


def _pairs(rows: pd.DataFrame, users: np.ndarray, movies: np.ndarray) -> np.ndarray:
    """Int64 [n], a number a pair of user and movie."""
    user, item = (pd.Index(ids).get_indexer(rows[name]) for ids, name in ((users, USER), (movies, ITEM)))
    pairs: np.ndarray = user.astype(np.int64) * len(movies) + item
    return pairs
