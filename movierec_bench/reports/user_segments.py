"""Segments of the users, and the board by segment.

A segment is what a user's training rows say about it, or how well models do on its validation rows. Test
rows and answers are never read to form one: a mix may be chosen by segment, and must not have seen them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional, Union

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.split import read_known, read_part
from movierec_bench.data.user_groups import OTHERS, SEGMENT, ids_like, read_user_segments
from movierec_bench.errors import ConfigError, DataError, did_you_mean
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.schema import GENRE, ITEM, MAIN_METRIC, TIME, USER, K, PathLike

LENGTH, SPAN, AGE, FOCUS, GOOD = "length", "span", "age", "focus", "good"
NAMES = {
    LENGTH: ("short", "medium", "long"),
    SPAN: ("one-day", "one-month", "longer"),
    AGE: ("recent", "middle", "old"),
    FOCUS: ("broad", "mixed", "focused"),
    GOOD: ("good", "bad"),
}
BY = tuple(NAMES)
UNKNOWN = "unknown"  # a user about whom there is nothing to tell
JUDGES = 4  # models that tell good users from bad ones, unless others are named; as many as the origin used

_DAY = 86_400  # seconds
_MONTH = 30 * _DAY


def segment_names(by: str) -> tuple[str, ...]:
    """The segments of a kind in their order: those of ``NAMES``, or those of a file of users and the others."""
    if by in NAMES:
        return NAMES[by]
    return (*read_user_segments(Path(by))[SEGMENT].unique(), OTHERS)


def segment_users(
    by: str,
    train: pd.DataFrame,
    movies: Optional[pd.DataFrame] = None,
    valid_recall: Optional[pd.Series] = None,
    threshold: Optional[float] = None,
) -> pd.DataFrame:
    """The segment of every user with training rows.

    Args:
        by: one of ``BY``. ``length``: training rows, in thirds of the users; ``span``: from a user's first
            training row to its last, up to a day, up to 30 days, longer; ``age``: from a user's last training
            row to the newest of all, in thirds; ``focus``: the sum of the squared shares of the genres in the
            training rows, in thirds; ``good``: validation Recall@10 above the mean of the users.
        train: [user, item, time], the training rows.
        movies: [item, genre, ...], genre a tuple of str; ``focus`` only.
        valid_recall: a user's mean validation Recall@10 over the judging models, by user; ``good`` only.
        threshold: above which a user is good; None for the mean of the users.

    Returns:
        DataFrame [user int64, segment str], users ascending. Equal users are in equal segments. ``UNKNOWN`` for
        a user without a genre or without validation rows.

    Raises:
        ConfigError: an unknown kind of segment.
    """
    _check_known(by)
    if by == LENGTH:
        segment = _thirds(train.groupby(USER).size().astype(float), NAMES[LENGTH])
    elif by == SPAN:
        times = train.groupby(USER)[TIME]
        segment = _between(times.max() - times.min(), (_DAY, _MONTH), NAMES[SPAN])
    elif by == AGE:
        segment = _thirds(train[TIME].max() - train.groupby(USER)[TIME].max(), NAMES[AGE])
    elif by == FOCUS:
        segment = _thirds(_concentration(train, _required(movies, by)), NAMES[FOCUS])
    else:
        return segment_good(np.unique(train[USER].to_numpy()), _required(valid_recall, by), threshold)
    return segment.rename_axis(USER).rename(SEGMENT).reset_index()


def segment_good(users: np.ndarray, recall: pd.Series, threshold: Optional[float] = None) -> pd.DataFrame:
    """The users above the mean of ``recall`` and those who are not, as ``segment_users`` returns them.

    Args:
        users: the users to tell about, ascending.
        recall: what the judging models have for a user, by user; who is not in it is ``UNKNOWN``.
        threshold: above which a user is good; None for the mean of ``recall``.
    """
    return _good_or_bad(users, recall, threshold).rename_axis(USER).rename(SEGMENT).reset_index()


def run_segments(
    run: PathLike,
    by: str,
    judges: Optional[Sequence[str]] = None,
    atomic: Optional[PathLike] = None,
    threshold: Optional[float] = None,
) -> pd.DataFrame:
    """The segments of a run's users, from its training rows, and for ``good`` its validation rows.

    Args:
        run: a run's folder, such as ``runs/ml-100k``.
        by: one of ``BY``, or a file of users (`read_user_segments`).
        judges: the models that tell good users from bad ones; None for the ``JUDGES`` best on validation.
        atomic: folder that holds the data set's folder, which ``focus`` reads; None for the run's own.
        threshold: of ``good``, as in ``segment_users``.

    Returns:
        As ``segment_users``.

    Raises:
        ConfigError: an unknown kind of segment or model, or judges where they have no say.
        DataError: no run there, or other data than the run's.
    """
    folder = RunFolder(Path(run))
    _check_known(by)
    if judges is not None and by != GOOD:
        raise ConfigError(
            f"segments by {by!r} ask no models, only those by {GOOD!r} do; leave out the judges {', '.join(judges)}"
        )
    if threshold is not None and by != GOOD:
        raise ConfigError(f"segments by {by!r} have no threshold, only those by {GOOD!r} do; leave out {threshold}")
    train = read_known(folder.split)
    if by not in BY:
        return _of_file(Path(by), np.unique(train[USER].to_numpy()))
    movies = read_data(folder, atomic).movies if by == FOCUS else None
    valid_recall = _judged(folder, judges or best_on_validation(folder, JUDGES)) if by == GOOD else None
    return segment_users(by, train, movies, valid_recall, threshold)


def _of_file(path: Path, users: np.ndarray) -> pd.DataFrame:
    """The segments that a file gives to ``users``, as ``segment_users`` returns them."""
    given = read_user_segments(path)
    ids = ids_like(given[USER].tolist(), users, path)
    strangers = ids[~np.isin(ids, users)]
    if len(strangers):
        raise DataError(f"{path} names user {strangers[0]}, who has no training rows in this run; leave them out")
    segments = pd.Series(given[SEGMENT].to_numpy(), index=ids).reindex(users).fillna(OTHERS)
    return segments.rename_axis(USER).rename(SEGMENT).reset_index()


def best_on_validation(run: RunFolder, models: int) -> list[str]:
    """The names of the ``models`` models of a run, mixes aside, with the highest mean validation Recall@10."""
    valid = read_part(run.split, "valid")
    recall = {folder.name: _valid_recall(folder, valid).mean() for folder in run.models() if folder.finished()}
    return sorted(recall, key=lambda name: (-recall[name], name))[:models]


def read_data(run: RunFolder, atomic: Optional[PathLike] = None) -> AtomicData:
    """The data set that a run was made from.

    Args:
        run: the run.
        atomic: folder that holds the data set's folder; None for the one that the run names.

    Raises:
        DataError: no run or no data set there, or another one.
    """
    manifest = run.read_manifest()
    data = read_atomic(Path(atomic or manifest.atomic) / manifest.dataset)
    if data.data_hash != manifest.data_hash:
        raise DataError(
            f"{data.folder} holds data {data.data_hash}; expected data {manifest.data_hash}, which {run.path} was "
            "made from; give the folder of that data with --atomic, or run again with --fresh"
        )
    return data


def segment_of(segments: pd.DataFrame, users: np.ndarray) -> np.ndarray:
    """The segment of each of ``users``, str [U], looked up in what ``segment_users`` returned."""
    return segments.set_index(USER)[SEGMENT].reindex(users).fillna(UNKNOWN).to_numpy(dtype=str)


def _check_known(by: str) -> None:
    if by in BY or Path(by).is_file():
        return
    hint = did_you_mean(by, BY)
    raise ConfigError(
        f"segments by {by!r} are not known; expected one of {', '.join(BY)}, or a file of users"
        f"{'; ' if hint else ''}{hint}"
    )


def _thirds(values: pd.Series, names: Sequence[str]) -> pd.Series:
    """Names for the low, middle and high third of ``values``; equal values get equal names."""
    low, high = values.quantile([1 / 3, 2 / 3])
    return _between(values, (low, high), names)


def _between(values: pd.Series, edges: Sequence[float], names: Sequence[str]) -> pd.Series:
    """The name of the interval that each value is in: up to the first edge, up to the second, above."""
    named = np.array(names, dtype=object)[np.searchsorted(edges, values.to_numpy(), side="left").clip(max=2)]
    return pd.Series(named, index=values.index).where(values.notna(), UNKNOWN)


def _concentration(train: pd.DataFrame, movies: pd.DataFrame) -> pd.Series:
    """The sum of the squared shares of the genres in each user's rows, by user; NaN without any genre.

    A movie's genres share one row evenly. 1 is a user of one genre alone.

    Source:
        ours; the Herfindahl-Hirschman index.
    """
    users, row = np.unique(train[USER].to_numpy(), return_inverse=True)
    place = pd.Index(movies[ITEM]).get_indexer(train[ITEM])
    known = place >= 0
    watched = csr_matrix((np.ones(known.sum()), (row[known], place[known])), shape=(len(users), len(movies)))
    rows = np.asarray((watched @ _genre_shares(movies)).todense())
    with np.errstate(invalid="ignore"):  # 0 / 0: a user without any genre
        shares = rows / rows.sum(axis=1, keepdims=True)
    return pd.Series((shares**2).sum(axis=1), index=users)


def _genre_shares(movies: pd.DataFrame) -> csr_matrix:
    """float64 [movies, genres]: 1 / the number of a movie's genres, at each of them."""
    number = {genre: place for place, genre in enumerate(sorted(set().union(*movies[GENRE])))}
    counts = movies[GENRE].map(len).to_numpy()
    movie = np.repeat(np.arange(len(movies)), counts)
    genre = np.array([number[name] for names in movies[GENRE] for name in names], dtype=np.int64)
    return csr_matrix((1 / counts[movie], (movie, genre)), shape=(len(movies), max(1, len(number))))


def _good_or_bad(users: np.ndarray, valid_recall: pd.Series, threshold: Optional[float]) -> pd.Series:
    recall = valid_recall.reindex(users)
    good, bad = NAMES[GOOD]
    named = np.where(recall > (valid_recall.mean() if threshold is None else threshold), good, bad)
    return pd.Series(named, index=users, dtype=object).where(recall.notna(), UNKNOWN)


def _judged(run: RunFolder, judges: Iterable[str]) -> pd.Series:
    """Mean validation Recall@10 over ``judges``, by user."""
    valid = read_part(run.split, "valid")
    return pd.concat([_valid_recall(run.find(name), valid) for name in judges], axis=1).mean(axis=1)


def _valid_recall(folder: ModelFolder, valid: pd.DataFrame) -> pd.Series:
    return per_user(folder.read_topk("valid", K), valid).set_index(USER)[MAIN_METRIC]


def _required(given: Optional[Union[pd.DataFrame, pd.Series]], by: str) -> Union[pd.DataFrame, pd.Series]:
    if given is None:
        needed = "movies" if by == FOCUS else "valid_recall"
        raise ConfigError(f"segments by {by!r} need {needed}; expected it as an argument")
    return given
