"""Scores any submission against any answers, on one board or on a public and a private one."""

from __future__ import annotations

from typing import Literal, Optional, Union, overload

from movierec_bench.errors import ConfigError
from movierec_bench.reports.public_private import Boards, score_boards
from movierec_bench.reports.submission_files import ScoreResult, score_submission
from movierec_bench.schema import PathLike


@overload
def score(
    submission: PathLike,
    answers: Optional[PathLike] = None,
    dataset: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    boards: Literal[False] = False,
    against: Optional[PathLike] = None,
    seed: int = 42,
) -> ScoreResult: ...


@overload
def score(
    submission: PathLike,
    answers: Optional[PathLike] = None,
    dataset: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    *,
    boards: Literal[True],
    against: Optional[PathLike] = None,
    seed: int = 42,
) -> Boards: ...


def score(
    submission: PathLike,
    answers: Optional[PathLike] = None,
    dataset: Optional[str] = None,
    atomic: PathLike = "atomic_data",
    boards: bool = False,
    against: Optional[PathLike] = None,
    seed: int = 42,
) -> Union[ScoreResult, Boards]:
    """Check any submission, and score it against any answers by the competition's Recall@10.

    Args:
        submission: the submission, a CSV file ``user,item``: ten rows a user, the best first.
        answers: the hidden rows, a CSV file with columns ``user`` and ``item`` at least. None: only check.
        dataset: also check against this converted data set: which users there are and what they have seen.
        atomic: folder of the converted data sets.
        boards: public and private boards in 200 random splits of the users.
        against: with ``boards``, another submission to compare with in the same splits.
        seed: seed of the interval or of the splits.

    Returns:
        A ScoreResult, or with ``boards`` the Boards.

    Raises:
        ConfigError: ``boards`` without answers, or ``against`` without ``boards``.
        DataError: the submission is not one, or a file cannot be read; the message names line and next step.
    """
    if not boards:
        if against is not None:
            raise ConfigError("--against compares on boards; add --boards, or leave it out")
        return score_submission(submission, answers, dataset, atomic, seed)
    if answers is None:
        raise ConfigError("--boards splits the users of an answers file; give it with --answers FILE")
    return score_boards(submission, answers, seed=seed, against=against, dataset=dataset, atomic=atomic)
