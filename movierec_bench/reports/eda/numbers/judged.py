"""The users that every model does badly on, and those that every model does well on.

Only validation rows are judged, by rankings of models that saw the training rows alone; what is told of the users
comes from their training rows. Test rows are not so much as opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.split import read_part
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.reports.eda.numbers.bins import growing_steps, histogram, named_histogram
from movierec_bench.reports.eda.numbers.columns import (
    GROUP,
    INTERVAL,
    MEAN_SHARE_A_USER,
    SHARE,
    SO_FAR,
    USERS,
    VARIANCE_SHARE_A_USER,
)
from movierec_bench.reports.eda.numbers.genres import Membership, rows_of_users
from movierec_bench.reports.eda.numbers.histories import DAY, MONTH, Histories
from movierec_bench.reports.eda.numbers.users import spans
from movierec_bench.reports.user_segments import JUDGES, best_on_validation
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import GENRE, MAIN_METRIC, USER, K

BAD, MIXED, GOOD = "bad for every judge", "in between", "good for every judge"
GROUPS = (BAD, MIXED, GOOD)
BAD_BELOW, GOOD_FROM = 0.1, 0.2  # of a user's validation Recall@10
MEAN_RECALL, MEDIAN_ROWS, MEDIAN_MONTHS = "mean_valid_recall@10", "median_rows_a_user", "median_months_a_user"
SPANS = {
    "up to a day": DAY + 1,
    "up to a month": MONTH,
    "1-3 months": 3 * MONTH,
    "3-6 months": 6 * MONTH,
    "6-12 months": 12 * MONTH,
    "1-2 years": 24 * MONTH,
    "2-4 years": 48 * MONTH,
    "over 4 years": np.inf,
}  # name -> where it ends, in seconds, not included


@dataclass(frozen=True)
class Judgement:
    """What the judges found.

    Attributes:
        judges: the models that judged.
        bad_below: a user is bad where every judge's validation Recall@10 is below this.
        good_from: a user is good where every judge's is at least this.
        recall: float64 [users with validation rows, judges], indexed by user; columns are the judges.
        group: one of ``GROUPS`` for each of those users, indexed alike.
        histories: the training rows of the users that have any.
    """

    judges: tuple[str, ...]
    bad_below: float
    good_from: float
    recall: pd.DataFrame
    group: pd.Series
    histories: Histories

    def group_of_histories(self) -> np.ndarray:
        """The group of each user of ``histories``: str [users], or "" for one without validation rows."""
        return self.group.reindex(self.histories.user_ids).fillna("").to_numpy(dtype=str)


def judge(
    run: RunFolder,
    movies: pd.DataFrame,
    judges: Optional[Sequence[str]] = None,
    bad_below: float = BAD_BELOW,
    good_from: float = GOOD_FROM,
) -> Judgement:
    """Have models of a run judge its users.

    Args:
        run: the run; its training and validation rows are read, and the judges' rankings for the latter.
        movies: as in `AtomicData`, of the run's data set.
        judges: models or mixes of the run; None for the ``JUDGES`` models best on validation.
        bad_below: as in `Judgement`.
        good_from: as in `Judgement`.

    Raises:
        ConfigError: no such model, or thresholds that are none.
        DataError: the run has no scored model or no validation rows, or a file of it is missing.
    """
    check_thresholds(bad_below, good_from)
    valid = read_part(run.split, "valid")
    names = tuple(judges or best_on_validation(run, JUDGES))
    if not names or valid.empty:
        lacks = "scored model" if len(valid) else "validation row"
        raise DataError(
            f"{run.path} has no {lacks}, so nothing judges its users; expected one or more; train some with "
            "`python -m movierec_bench run`, or name another run with --run"
        )
    recall = valid_recall(run, names, valid)
    group = group_users(recall, bad_below, good_from)
    train = Histories.of_rows(read_part(run.split, "train"), movies)
    return Judgement(names, bad_below, good_from, recall, group, train)


def check_thresholds(bad_below: float, good_from: float) -> None:
    """Raise ConfigError unless 0 <= ``bad_below`` <= ``good_from`` <= 1."""
    if not 0 <= bad_below <= good_from <= 1:
        raise ConfigError(
            f"--bad-below is {bad_below} and --good-from is {good_from}; "
            "expected shares between 0 and 1, the first not above the second"
        )


def valid_recall(run: RunFolder, judges: Sequence[str], valid: pd.DataFrame) -> pd.DataFrame:
    """Recall@10 of each judge for each user with validation rows.

    Args:
        run: the run that holds the judges' rankings.
        judges: models or mixes of the run.
        valid: [user, item, ...], the run's validation rows.

    Returns:
        float64 DataFrame, users ascending as the index, one column a judge. A user whom a judge cannot rank has 0.

    Raises:
        ConfigError: no such model.
        DataError: a ranking was not stored.
    """
    return pd.DataFrame(
        {judge: per_user(run.find(judge).read_topk("valid", K), valid).set_index(USER)[MAIN_METRIC] for judge in judges}
    )


def group_users(recall: pd.DataFrame, bad_below: float = BAD_BELOW, good_from: float = GOOD_FROM) -> pd.Series:
    """The group of each user: bad where all columns are below ``bad_below``, good where all reach ``good_from``."""
    bad, good = (recall < bad_below).all(axis=1), (recall >= good_from).all(axis=1)
    return pd.Series(np.select([bad, good], [BAD, GOOD], MIXED), index=recall.index, name=GROUP)


def group_summary(judgement: Judgement) -> pd.DataFrame:
    """How many users each group has, and what is typical of them.

    Returns:
        DataFrame [group, users, share, mean_valid_recall@10, median_rows_a_user, median_months_a_user]; the recall is
        the mean over the judges and users. NaN in a group without users, and for the months without times.
    """
    histories, member = judgement.histories, judgement.group_of_histories()
    months = spans(histories) / MONTH if histories.has_times else np.full(histories.users, np.nan)
    table = []
    for group in GROUPS:
        chosen = judgement.group == group
        recall = judgement.recall[chosen].to_numpy().mean() if chosen.any() else np.nan
        there = member == group
        typical = [np.median(values[there]) if there.any() else np.nan for values in (histories.lengths, months)]
        table.append((group, int(chosen.sum()), chosen.mean(), recall, *typical))
    return pd.DataFrame(table, columns=[GROUP, USERS, SHARE, MEAN_RECALL, MEDIAN_ROWS, MEDIAN_MONTHS])


def group_lengths(judgement: Judgement) -> pd.DataFrame:
    """Users of each group by training rows: DataFrame [group, from, below, users, share], of the group's users."""
    lengths = judgement.histories.lengths
    edges = growing_steps(lengths.min(), lengths.max(), 5)
    return _by_group(judgement, lambda users: histogram(lengths[users], edges, USERS))


def group_spans(judgement: Judgement) -> pd.DataFrame:
    """Users of each group by time from first to last training row: DataFrame [group, interval, users, share]."""
    seconds = spans(judgement.histories)
    return _by_group(judgement, lambda users: named_histogram(seconds[users], SPANS, USERS, INTERVAL))


def group_genres(judgement: Judgement) -> pd.DataFrame:
    """What part of its users' training rows each genre has in each group, mean and variance over the users.

    Returns:
        DataFrame [group, genre, mean_share_a_user, variance_share_a_user]; sample variance (n - 1), NaN for one user.
    """
    histories = judgement.histories
    genres = Membership.of(histories.movies, GENRE)
    shares = pd.DataFrame(rows_of_users(histories, genres), columns=genres.names).div(histories.lengths, axis=0)
    tables = []
    for group, users in members(judgement).items():
        chosen = shares[users]
        table = pd.DataFrame({MEAN_SHARE_A_USER: chosen.mean(), VARIANCE_SHARE_A_USER: chosen.var(ddof=1)})
        tables.append(table.rename_axis(GENRE).reset_index().assign(**{GROUP: group}))
    return pd.concat(tables, ignore_index=True)[[GROUP, GENRE, MEAN_SHARE_A_USER, VARIANCE_SHARE_A_USER]]


def members(judgement: Judgement) -> dict[str, np.ndarray]:
    """Which users of the histories are in each group that has any: group -> bool [users]."""
    member = judgement.group_of_histories()
    return {group: member == group for group in GROUPS if (member == group).any()}


def _by_group(judgement: Judgement, counted: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
    """What ``counted`` makes of each group's users, bool [users], one table below the other."""
    tables = []
    for group, users in members(judgement).items():
        table = counted(users).drop(columns=SO_FAR)
        table.insert(0, GROUP, group)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
