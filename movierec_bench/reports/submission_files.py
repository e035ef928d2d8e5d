"""Submission files: read, checked, and scored against answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
import pyarrow as pa

from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.delimited import Column, DelimitedText, NumberColumn, problem
from movierec_bench.data.log import as_ids
from movierec_bench.data.log_columns import IdColumn
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.evaluation.statistics import bootstrap_interval
from movierec_bench.notebook import text_html
from movierec_bench.reports.submission import SUBMISSION_COLUMNS, validate_submission
from movierec_bench.schema import ITEM, MAIN_METRIC, RANK, USER, K, PathLike

_ID_COLUMNS = (
    NumberColumn(heading=USER, label=USER, meaning="the integer id of a user", example=138493),
    NumberColumn(heading=ITEM, label=ITEM, meaning="the integer id of a movie", example=2571),
)


@dataclass(frozen=True)
class ScoreResult:
    """What was found out about a submission.

    Args:
        submission: the file.
        users: users in it.
        rows: rows in it.
        unchecked: what could not be checked for want of the data set, in words.
        recall: the competition's Recall@10; None without answers.
        ci_low, ci_high: its 95 % bootstrap interval over users; None without answers.
        answer_users: users with answers; None without answers.
        missing_users: users with answers and no row in the submission, who score 0; None without answers.
        answers: the file of answers; None without.
    """

    submission: str
    users: int
    rows: int
    unchecked: tuple[str, ...]
    recall: Optional[float] = None
    ci_low: Optional[float] = None
    ci_high: Optional[float] = None
    answer_users: Optional[int] = None
    missing_users: Optional[int] = None
    answers: Optional[str] = field(default=None, compare=False)  # its name is no part of what was found out

    def _repr_html_(self) -> str:
        return text_html(self.describe())

    def describe(self) -> str:
        """The result in a few lines of plain text."""
        lines = [f"{self.submission}: valid, {K} different movies for each of {self.users:,} users"]
        if self.recall is not None:
            lines.append(
                f"{MAIN_METRIC} {self.recall:.4f} (95 % interval {self.ci_low:.4f} to {self.ci_high:.4f}), "
                f"{self.answer_users:,} users with answers, {self.missing_users:,} of them without a row"
            )
        if self.unchecked:
            lines.append(f"not checked without --dataset: {', '.join(self.unchecked)}")
        return "\n".join(lines)


def score_submission(
    submission: PathLike,
    answers: Optional[PathLike] = None,
    dataset: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    seed: int = 42,
) -> ScoreResult:
    """What a submission is worth: checked and, given answers, scored with the competition's Recall@10.

    Without ``dataset`` only the form is checked: which users and movies exist and who saw what is not known.
    Recall@10 takes no account of the order of the rows, so with answers the users may come in any order.

    Args:
        submission: CSV file ``user,item``, a user's movies from the best.
        answers: CSV file of the held-out rows, columns ``user`` and ``item`` at least; None checks only.
        dataset: name of the converted data set that the submission is for.
        atomic: folder that holds the data set's folder.
        seed: seed of the bootstrap interval.

    Raises:
        DataError: the submission is not one, or a file cannot be read; the message names line and next step.
    """
    path = Path(submission)
    data = read_atomic(Path(atomic) / dataset) if dataset is not None else None
    rows = read_submission(path, data, any_order=answers is not None)
    unchecked = () if data else ("known users and movies", "a row for every user", "seen movies")
    result = ScoreResult(str(path), rows[USER].nunique(), len(rows), unchecked)
    return result if answers is None else _scored(result, rows, Path(answers), seed)


def read_submission(path: Path, data: Optional[AtomicData] = None, any_order: bool = False) -> pd.DataFrame:
    """The rows [user, item] of a file that is a submission.

    Args:
        path: CSV file ``user,item``, a user's movies from the best.
        data: the data set that it is for; None leaves out what needs it.
        any_order: accept the users in any order.

    Raises:
        DataError: it is none, or cannot be read; the message names line and next step.
    """
    text = _open(path)
    if text.headings != list(SUBMISSION_COLUMNS):
        found = f"the columns are {','.join(text.headings)!r}"
        raise problem(f"{path.name} line 1", found, "'user,item'", "write these two columns and no index")
    rows = _read_ids(text, _id_columns(text, data.vocabulary if data else None))
    validate_submission(
        rows,
        data.interactions if data else None,
        data.vocabulary if data else None,
        where=lambda row: _line(text, row),
        any_order=any_order,
    )
    return rows


def _id_columns(text: DelimitedText, vocabulary: Optional[Vocabulary]) -> list[Column]:
    """The columns of ids, numbers or strings: as in the data set, or without one as in the first row."""
    _, first = next(text.rows(SUBMISSION_COLUMNS))
    numbers = [as_ids([value.strip()]).dtype == np.int64 or not value.strip() for value in first]
    if vocabulary is not None:
        numbers = [ids.dtype == np.int64 for ids in (vocabulary.users, vocabulary.items)]
    return [
        column if number else IdColumn(column.heading, column.label) for column, number in zip(_ID_COLUMNS, numbers)
    ]


def _read_ids(text: DelimitedText, columns: Sequence[Column]) -> pd.DataFrame:
    """The rows [user, item] of a file, int64 or str."""
    table = text.table(columns)
    ids = {}
    for column, values in zip(columns, table.columns):
        if isinstance(column, IdColumn):
            ids[column.label] = np.array(
                [value.strip() for value in values.cast(pa.string()).to_pylist()], dtype=object
            )
        else:
            ids[column.label] = values.to_numpy()
    return pd.DataFrame(ids)


def _open(path: Path) -> DelimitedText:
    if not path.exists():
        raise problem(str(path), "is not there", "a CSV file with the columns user,item", "correct the path")
    return DelimitedText.open(path, ",", SUBMISSION_COLUMNS)


def _line(text: DelimitedText, row: int) -> str:
    """The place of data row ``row``, found by walking the file, for empty lines hold no row."""
    places = (where for where, _ in text.rows(SUBMISSION_COLUMNS))
    return next(islice(places, row, None), text.path.name)


def recall_by_user(submission: PathLike, answers: PathLike) -> pd.Series:
    """Recall@10 of every user with answers, by user, of a submission that `score` has found valid.

    Raises:
        DataError: a file cannot be read, or the answers are about none of the submission's users.
    """
    text = _open(Path(submission))
    return _recall_by_user(Path(submission), _read_ids(text, _id_columns(text, None)), Path(answers))


def _recall_by_user(submission: Path, rows: pd.DataFrame, answers: Path) -> pd.Series:
    text = _open(answers)
    kinds = zip(_ID_COLUMNS, (rows[USER], rows[ITEM]))
    columns = [column if ids.dtype == np.int64 else IdColumn(column.heading, column.label) for column, ids in kinds]
    held_out = _read_ids(text, columns).drop_duplicates()
    if not held_out[USER].isin(rows[USER]).any():
        found = f"none of its {held_out[USER].nunique():,} users is in {submission}"
        raise problem(answers.name, found, "answers for users of the submission", "give the answers of the same data")
    topk = rows.assign(**{RANK: rows.groupby(USER).cumcount() + 1})
    return per_user(topk, held_out).set_index(USER)[MAIN_METRIC]


def _scored(result: ScoreResult, rows: pd.DataFrame, answers: Path, seed: int) -> ScoreResult:
    recall = _recall_by_user(Path(result.submission), rows, answers)
    low, high = bootstrap_interval(recall.to_numpy(), seed)
    return replace(
        result,
        recall=float(recall.mean()),
        ci_low=low,
        ci_high=high,
        answer_users=len(recall),
        missing_users=int((~recall.index.isin(rows[USER])).sum()),
        answers=str(answers),
    )
