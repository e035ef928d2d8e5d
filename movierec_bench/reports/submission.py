"""Submissions: ten unseen movies for every user, made from stored rankings and checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import pandas as pd
import scipy.sparse as sp

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.delimited import problem
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.files import sweep, write_csv
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.records import RunManifest
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import ITEM, RANK, USER, K, PathLike

logger = logging.getLogger(__name__)

SUBMISSION_COLUMNS = (USER, ITEM)


@dataclass(frozen=True)
class Submission:
    """A submission and what it took to complete it.

    Args:
        rows: DataFrame [user, item] of the data's ids, ten rows a user, by user and then rank.
        filled_users: users for whom popular movies were added because the ranking held fewer than ten.
    """

    rows: pd.DataFrame
    filled_users: int


def submit(run: PathLike, model: str, atomic: Optional[PathLike] = None) -> Path:
    """The path of the submission written from the stored refit ranking of ``model``.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        model: a model or an ensemble of that run.
        atomic: folder that holds the data set's folder; None for the one that the run was made from.

    Raises:
        ConfigError: the run has no such model, it is a mix whose members were redone, or another command is writing
            into the folder.
        DataError: no run there, no refit stored, or other data than the run's.
    """
    folder = RunFolder(Path(run))
    with held_run(folder) as manifest:
        source = folder.find(model)
        _check_submittable(folder, source)
        sweep(folder.submission(model).parent)  # what a command that was killed was writing
        return write_submission(source, folder.submission(model), _run_data(folder, manifest, atomic))


def _check_submittable(run: RunFolder, source: ModelFolder) -> None:
    if not source.has_topk("full"):
        raise problem(
            str(source.topk("full")),
            f"is not there: {source.name} was not refitted on every row",
            "the ranking that a refit leaves",
            "run the model again without --no-refit",
        )
    stale = why_stale(run, source.read_status())
    if stale:
        raise ConfigError(f"{source.name} is stale: {stale}")


def _run_data(run: RunFolder, manifest: RunManifest, atomic: Optional[PathLike]) -> AtomicData:
    data = read_atomic(Path(atomic or manifest.atomic) / manifest.dataset)
    if data.data_hash != manifest.data_hash:
        raise problem(
            str(data.folder),
            f"holds data {data.data_hash}",
            f"data {manifest.data_hash}, which {run.path} was made from",
            "give the folder of that data with --atomic, or run again with --fresh",
        )
    return data


def write_submission(source: ModelFolder, path: Path, data: AtomicData) -> Path:
    """The path of the submission written from the stored ranking after the refit.

    Args:
        source: the folder of a model or mix.
        path: where to write it.
        data: the data set that the run was made from.

    Raises:
        DataError: no refit is stored, or its ranking is none of this data.
    """
    submission = make_submission(source.read_topk("full", K), data.interactions, data.vocabulary)
    if submission.filled_users:
        logger.warning("%s: popular movies added for %d users", source.name, submission.filled_users)
    write_csv(path, submission.rows)
    return path


def make_submission(
    topk_full: pd.DataFrame, interactions: pd.DataFrame, vocabulary: Vocabulary, k: int = K
) -> Submission:
    """The submission of a ranking: its first ``k`` movies, completed with the most popular unseen ones.

    Args:
        topk_full: [user, item, rank, score], rank from 1; users may be short of ``k`` rows or missing.
        interactions: [user, item, time], every row of the ratings file.
        vocabulary: every user and movie.
        k: movies a user.

    Returns:
        Submission with exactly ``k`` rows for every user of ``vocabulary``, by user and then rank.

    Raises:
        DataError: the ranking holds a seen, unknown or repeated movie, or a user has too few unseen ones.
    """
    ranked = topk_full.loc[topk_full[RANK] <= k, [USER, ITEM, RANK]].astype({RANK: np.int64})
    lengths = np.bincount(vocabulary.user_ix(ranked[USER].to_numpy()), minlength=vocabulary.n_user_ix)
    short = np.flatnonzero(lengths[1:] < k) + 1
    if len(short):
        popular = _popular_unseen(short, ranked, interactions, vocabulary, k)
        popular[RANK] += k  # after everything the model ranked
        ranked = pd.concat([ranked, popular], ignore_index=True)
    ranked = ranked.sort_values([USER, RANK], kind="stable")
    rows = ranked.loc[ranked.groupby(USER).cumcount() < k, list(SUBMISSION_COLUMNS)].reset_index(drop=True)
    validate_submission(rows, interactions, vocabulary, k=k)
    return Submission(rows, filled_users=len(short))


def check_unseen(interactions: pd.DataFrame, vocabulary: Vocabulary, k: int = K) -> None:
    """Raise DataError, before any training, where a user has seen too many movies to be given ``k`` others."""
    seen = np.bincount(vocabulary.user_ix(interactions[USER].to_numpy()), minlength=vocabulary.n_user_ix)
    unseen = len(vocabulary.items) - seen[1:]
    if len(unseen) and unseen.min() < k:
        user = vocabulary.user_ids(np.array([unseen.argmin() + 1]))[0]
        raise _too_few_unseen(user, int(unseen.min()), vocabulary, k)


def _too_few_unseen(user: object, unseen: int, vocabulary: Vocabulary, k: int) -> DataError:
    expected = f"at least {k} among the {len(vocabulary.items):,} movies"
    step = "leave such users out of the ratings file, or convert again with every movie in titles.tsv"
    return problem(f"user {user}", f"has only {unseen} unseen movies", expected, step)


def _popular_unseen(
    user_ix: np.ndarray, ranked: pd.DataFrame, interactions: pd.DataFrame, vocabulary: Vocabulary, k: int
) -> pd.DataFrame:
    """The ``k`` most popular movies that each user has neither seen nor been given, ties by movie id."""
    # ranking brings torch, which reading, checking and scoring submissions do without
    from movierec_bench.ranking.top_k import top_k, topk_frame

    seen = _matrix(interactions, vocabulary)
    popularity = np.asarray(seen.sum(axis=0), dtype=np.float32).ravel()
    given = _matrix(ranked, vocabulary)
    topk = top_k(lambda block: np.tile(popularity, (len(block), 1)), user_ix, seen + given, k)
    found = (topk.item_ix > 0).sum(axis=1) + np.diff(given.indptr)[user_ix]
    if (found < k).any():
        raise _too_few_unseen(vocabulary.user_ids(user_ix[found.argmin()]), int(found.min()), vocabulary, k)
    return topk_frame(topk, vocabulary)[[USER, ITEM, RANK]].astype({RANK: np.int64})


def _matrix(rows: pd.DataFrame, vocabulary: Vocabulary) -> sp.csr_matrix:
    user_ix = vocabulary.user_ix(rows[USER].to_numpy())
    item_ix = vocabulary.item_ix(rows[ITEM].to_numpy())
    shape = (vocabulary.n_user_ix, vocabulary.n_item_ix)
    return sp.csr_matrix((np.ones(len(rows), dtype=np.float32), (user_ix, item_ix)), shape=shape)


def validate_submission(
    submission: pd.DataFrame,
    interactions: Optional[pd.DataFrame],
    vocabulary: Optional[Vocabulary],
    *,
    where: Optional[Callable[[int], str]] = None,
    any_order: bool = False,
    k: int = K,
) -> None:
    """Raise unless ``submission`` is one: exactly ``k`` different known unseen movies for every user, by user.

    Args:
        submission: [user, item], integers.
        interactions: [user, item, ...], every row of the ratings file; None leaves out what needs it.
        vocabulary: every user and movie; None leaves out what needs it.
        where: names the place of a row, given its position from 0; None for its line in a file.
        any_order: accept the users in any order.
        k: movies a user.

    Raises:
        DataError: one line for each kind of problem, with the first row that has it and how many do.
    """
    where = where or (lambda row: f"submission line {row + 2}")
    problems = [] if any_order else _order_problems(submission, where)
    problems += _repeat_problems(submission, where)
    problems += _length_problems(submission, where, k)
    if vocabulary is not None:
        problems += _unknown_problems(submission, vocabulary, where)
        problems += _absent_problems(submission, vocabulary, where, k)
    if vocabulary is not None and interactions is not None:
        problems += _seen_problems(submission, interactions, vocabulary, where)
    if problems:
        raise DataError("\n".join(problems))


def _order_problems(rows: pd.DataFrame, where: Callable[[int], str]) -> list[str]:
    users = rows[USER].to_numpy()
    falling = np.flatnonzero(users[1:] < users[:-1]) + 1
    if not len(falling):
        return []
    row = falling[0]
    found = f"user {users[row]} comes after user {users[row - 1]}{_count(len(falling))}"
    return [_message(where(row), found, "users in ascending order", "sort the rows by user, keeping the rank order")]


def _repeat_problems(rows: pd.DataFrame, where: Callable[[int], str]) -> list[str]:
    repeated = np.flatnonzero(rows.duplicated([USER, ITEM]).to_numpy())
    if not len(repeated):
        return []
    user, item = rows[USER].iat[repeated[0]], rows[ITEM].iat[repeated[0]]
    found = f"movie {item} is given to user {user} again{_count(len(repeated))}"
    return [_message(where(repeated[0]), found, "different movies for a user", "replace it with another movie")]


def _length_problems(rows: pd.DataFrame, where: Callable[[int], str], k: int) -> list[str]:
    users, first_rows, lengths = np.unique(rows[USER].to_numpy(), return_index=True, return_counts=True)
    wrong = np.flatnonzero(lengths != k)
    if not len(wrong):
        return []
    first = wrong[first_rows[wrong].argmin()]
    found = f"user {users[first]} has {lengths[first]} rows{_count(len(wrong), 'users')}"
    step = "keep the best" if lengths[first] > k else "complete the user, for example with popular unseen movies"
    return [_message(where(first_rows[first]), found, f"exactly {k}", step)]


def _unknown_problems(rows: pd.DataFrame, vocabulary: Vocabulary, where: Callable[[int], str]) -> list[str]:
    problems = []
    for column, known, kind in ((USER, vocabulary.users, "user"), (ITEM, vocabulary.items, "movie")):
        unknown = np.flatnonzero(~np.isin(rows[column].to_numpy(), known))
        if len(unknown):
            found = f"{kind} {rows[column].iat[unknown[0]]} is not in the data set{_count(len(unknown))}"
            step = "check that the submission was made from this data set"
            problems.append(_message(where(unknown[0]), found, f"one of its {len(known):,} {kind}s", step))
    return problems


def _absent_problems(rows: pd.DataFrame, vocabulary: Vocabulary, where: Callable[[int], str], k: int) -> list[str]:
    absent = np.setdiff1d(vocabulary.users, rows[USER].to_numpy())
    if not len(absent):
        return []
    found = f"after the last row, user {absent[0]} has none{_count(len(absent), 'users')}"
    step = "complete the users, for example with popular unseen movies"
    return [_message(where(len(rows)), found, f"{k} rows for every user of the ratings file", step)]


def _seen_problems(
    rows: pd.DataFrame, interactions: pd.DataFrame, vocabulary: Vocabulary, where: Callable[[int], str]
) -> list[str]:
    known = rows[USER].isin(vocabulary.users) & rows[ITEM].isin(vocabulary.items)
    known_rows = np.flatnonzero(known)
    given = pd.Index(_pair_keys(rows.iloc[known_rows], vocabulary))
    seen = known_rows[given.isin(_pair_keys(interactions, vocabulary))]  # hashed: np.isin would sort 5M keys
    if not len(seen):
        return []
    user, item = rows[USER].iat[seen[0]], rows[ITEM].iat[seen[0]]
    found = f"user {user} has already seen movie {item}{_count(len(seen))}"
    expected = "a movie that the user has no row for in the ratings file"
    return [_message(where(seen[0]), found, expected, "mask what users have seen")]


def _pair_keys(rows: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    """One int64 for each pair of a user and a movie of ``vocabulary``."""
    user_ix = vocabulary.user_ix(rows[USER].to_numpy())
    return user_ix * vocabulary.n_item_ix + vocabulary.item_ix(rows[ITEM].to_numpy())


def _count(found: int, what: str = "rows") -> str:
    return "" if found == 1 else f" (the first of {found:,} such {what})"


def _message(where: str, found: str, expected: str, next_step: str) -> str:
    return str(problem(where, found, expected, next_step))
