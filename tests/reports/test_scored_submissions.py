"""Submissions scored against answers: the competition's recall, and answers that are faulty or missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.submission_lines import replace_line, valid_lines, write_lines

from movierec_bench.errors import DataError
from movierec_bench.reports.submission_files import score_submission as score

# Scores, by hand: user 7 has 3 answers of which 2 are given; user 11 has 12 of which 10 are given, and ten
# is all anybody could give; user 40 has 2, none given; user 50 is not in the submission.
ANSWERS = {7: [110, 119, 105], 11: range(118, 130), 40: [101, 102]}


def _answers(path: Path, answers: dict[int, list[int]]) -> Path:
    return write_lines(path, ["user,item", *(f"{u},{item}" for u, items in answers.items() for item in items)])


def test_recall_is_the_competitions(tmp_path: Path) -> None:
    result = score(write_lines(tmp_path / "sub.csv", valid_lines()), _answers(tmp_path / "answers.csv", ANSWERS))
    assert result.recall == pytest.approx((2 / 3 + 10 / 10 + 0) / 3)
    assert result.ci_low <= result.recall <= result.ci_high
    assert (result.answer_users, result.missing_users) == (3, 0)
    assert "recall@10 0.5556 (95 % interval" in result.describe()


def test_a_user_with_answers_but_no_row_scores_zero_and_is_counted(tmp_path: Path) -> None:
    answers = _answers(tmp_path / "answers.csv", {**ANSWERS, 50: [101]})
    result = score(write_lines(tmp_path / "sub.csv", valid_lines()), answers)
    assert result.recall == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert (result.answer_users, result.missing_users) == (4, 1)


def test_answers_may_have_more_columns_repeats_and_any_order(tmp_path: Path) -> None:
    submission = write_lines(tmp_path / "sub.csv", valid_lines())
    rows = [(user, item) for user, items in ANSWERS.items() for item in items]
    lines = ["time,item,user", *(f"12,{item},{user}" for user, item in [*rows[::-1], rows[0]])]
    result = score(submission, write_lines(tmp_path / "answers.csv", lines))
    assert result == score(submission, _answers(tmp_path / "plain.csv", ANSWERS))


def test_with_answers_the_users_may_come_in_any_order(tmp_path: Path) -> None:
    answers = _answers(tmp_path / "answers.csv", ANSWERS)
    lines = valid_lines()
    shuffled = write_lines(tmp_path / "sub.csv", [lines[0], *np.random.default_rng(0).permutation(lines[1:])])
    assert score(shuffled, answers).recall == pytest.approx(5 / 9)
    with pytest.raises(DataError, match="ascending order"):
        score(shuffled)


def test_an_invalid_submission_is_not_scored(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sub.csv", replace_line(5, "7,110")(valid_lines()))
    with pytest.raises(DataError, match="line 5"):
        score(path, _answers(tmp_path / "answers.csv", ANSWERS))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["user,item", "99,110"], "none of its 1 users is in .*sub.csv; expected answers for users"),
        (["user,movie", "7,110"], "answers.csv line 1.*item"),
        (["user,item"], "answers.csv.*no rows"),
        (["user,item", "7,x"], "answers.csv line 2: item 'x'"),
    ],
)
def test_faulty_answers_are_named(tmp_path: Path, answers: list[str], message: str) -> None:
    submission = write_lines(tmp_path / "sub.csv", valid_lines())
    with pytest.raises(DataError, match=message):
        score(submission, write_lines(tmp_path / "answers.csv", answers))


@pytest.mark.parametrize("missing", ["submission", "answers", "dataset"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    there = write_lines(tmp_path / "sub.csv", valid_lines())
    paths = {"submission": there, "answers": None, "dataset": None, missing: tmp_path / "gone"}
    paths["dataset"] = "gone" if missing == "dataset" else None
    with pytest.raises(DataError, match="gone"):
        score(**paths, atomic=str(tmp_path))
