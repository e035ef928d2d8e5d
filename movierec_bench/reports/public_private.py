"""Public and private boards, and how much of a score or of a gain is the luck of the split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.errors import ConfigError
from movierec_bench.notebook import text_html
from movierec_bench.reports.submission_files import recall_by_user, score_submission
from movierec_bench.schema import MAIN_METRIC, PathLike

PUBLIC, PRIVATE, SPLIT = "public", "private", "split"
GAIN_PUBLIC, GAIN_PRIVATE = "gain_public", "gain_private"

_LEVEL = (0.025, 0.975)


@dataclass(frozen=True)
class Boards:
    """A submission's public and private scores, in many random splits of the users with answers.

    Args:
        submission: the file.
        against: the file it is compared with; None for none.
        users: users with answers.
        public_users: those of them who make the public board.
        recall: Recall@10 over all of them.
        table: DataFrame [split, public, private] and, where it is compared, [gain_public, gain_private], the
            submission's Recall@10 less the other's; a row for each split, numbered from 1. The first split is
            the one that is shown as the board, the others tell how it might have been.
    """

    submission: str
    against: Optional[str]
    users: int
    public_users: int
    recall: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The scores in each split, as a DataFrame of its own."""
        return self.table.copy()

    def _repr_html_(self) -> str:
        return text_html(self.describe())

    @property
    def agreement(self) -> float:
        """Share of the splits in which both boards name the same better one. Only where it is compared."""
        public, private = np.sign(self.table[GAIN_PUBLIC]), np.sign(self.table[GAIN_PRIVATE])
        return float((public == private).mean())

    def describe(self) -> str:
        """The boards and their spread in a few lines of plain text."""
        first = self.table.iloc[0]
        lines = [
            f"{self.submission}: {MAIN_METRIC} {self.recall:.4f} over all {self.users:,} users with answers",
            f"public {first[PUBLIC]:.4f} ({self.public_users:,} users), "
            f"private {first[PRIVATE]:.4f} ({self.users - self.public_users:,} users)",
            f"over {len(self.table)} random splits of the users: {self._spread(PUBLIC)}, {self._spread(PRIVATE)}; "
            f"private less public has a standard deviation of {self._gap():.4f}",
        ]
        if self.against is not None:
            lines.append(
                f"against {self.against}: public {first[GAIN_PUBLIC]:+.4f}, private {first[GAIN_PRIVATE]:+.4f}; "
                f"over the splits {self._spread(GAIN_PUBLIC)}, {self._spread(GAIN_PRIVATE)}; "
                f"in {self.agreement:.0%} of them both boards name the same better one"
            )
        return "\n".join(lines)

    def _spread(self, column: str) -> str:
        low, high = self.table[column].quantile(list(_LEVEL))
        return f"{column.replace('_', ' ')} {low:.4f} to {high:.4f} in 95 %"

    def _gap(self) -> float:
        return float((self.table[PRIVATE] - self.table[PUBLIC]).std(ddof=0))


def score_boards(
    submission: PathLike,
    answers: PathLike,
    public_share: float = 0.5,
    splits: int = 200,
    seed: int = 42,
    against: Optional[PathLike] = None,
    dataset: Optional[str] = None,
    atomic: PathLike = "atomic_data",
) -> Boards:
    """Score a submission as competitions do: some users' answers make the public board, the others' the private.

    Args:
        submission: CSV file ``user,item``, a user's movies from the best.
        answers: CSV file of the held-out rows, columns ``user`` and ``item`` at least.
        public_share: share of the users with answers who make the public board.
        splits: random splits to look at.
        seed: of the splits.
        against: another submission to compare with, in the same splits.
        dataset: name of the converted data set that the submission is for, to check it against; None for no such check.
        atomic: folder that holds the data set's folder.

    Raises:
        ConfigError: a share that leaves one board without users, or no splits.
        DataError: not a submission, or a file that cannot be read.
    """
    if splits < 1:
        raise ConfigError(f"splits is {splits}; expected at least 1, such as 200")
    for path in (submission, against):
        if path is not None:
            score_submission(path, answers, dataset, atomic, seed)  # refuses what is no valid submission
    recall = recall_by_user(submission, answers)
    public_users = _public_users(public_share, len(recall))
    values, columns = [recall], [PUBLIC, PRIVATE]
    if against is not None:
        values.append(recall - recall_by_user(against, answers))
        columns += [GAIN_PUBLIC, GAIN_PRIVATE]
    means = _split_means(np.column_stack(values), public_users, splits, seed)
    table = pd.DataFrame(means, columns=columns)
    table.insert(0, SPLIT, np.arange(1, splits + 1))
    name = None if against is None else str(against)
    return Boards(str(submission), name, len(recall), public_users, float(recall.mean()), table)


def _public_users(share: float, users: int) -> int:
    public = int(np.floor(share * users + 0.5)) if 0 < share < 1 else 0
    if not 0 < public < users:
        raise ConfigError(
            f"public_share is {share}, which leaves one board without any of {users} users; "
            "expected a share between 0 and 1, such as 0.5"
        )
    return public


def _split_means(values: np.ndarray, public_users: int, splits: int, seed: int) -> np.ndarray:
    """Means over the public and over the other users: of each column of ``values``, float64 [splits, 2 C]."""
    rng = np.random.default_rng(seed)
    users, columns = values.shape
    means = np.empty((splits, columns, 2))
    for split in range(splits):
        shuffled = values[rng.permutation(users)]
        means[split, :, 0] = shuffled[:public_users].mean(axis=0)
        means[split, :, 1] = shuffled[public_users:].mean(axis=0)
    return means.reshape(splits, 2 * columns)
