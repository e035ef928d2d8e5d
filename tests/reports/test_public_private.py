"""Public and private boards: what a split gives by hand, and what many of them say about luck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.public_private import score_boards
from movierec_bench.reports.submission_files import score_submission as score

USERS = 60


def write_rows(path: Path, rows: list[tuple[int, int]]) -> Path:
    pd.DataFrame(rows, columns=["user", "item"]).to_csv(path, index=False)
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Movies 1 and 2 for every user."""
    return write_rows(tmp_path / "answers.csv", [(user, item) for user in range(USERS) for item in (1, 2)])


def submission(path: Path, hits: list[int]) -> Path:
    """Ten movies a user, ``hits`` (0 to 2) of them right."""
    rows = []
    for user, right in enumerate(hits):
        rows += [(user, item) for item in [*range(1, right + 1), *range(100, 110 - right)]]
    return write_rows(path, rows)


def some_hits(seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 3, USERS).tolist()


def test_both_boards_together_are_all_users(tmp_path: Path, answers: Path) -> None:
    mine = submission(tmp_path / "mine.csv", some_hits())
    boards = score_boards(mine, answers, public_share=0.3)
    assert (boards.users, boards.public_users) == (60, 18)
    assert boards.recall == score(mine, answers).recall
    table = boards.to_frame()
    assert list(table.columns) == ["split", "public", "private"]
    assert table["split"].tolist() == list(range(1, 201))
    np.testing.assert_allclose((18 * table["public"] + 42 * table["private"]) / 60, boards.recall)


def test_each_board_counts_whole_users(tmp_path: Path, answers: Path) -> None:
    mine = submission(tmp_path / "mine.csv", [2] * 59 + [0])
    table = score_boards(mine, answers, splits=50).to_frame()
    # the one user without a hit is on one board in every split, and costs it a thirtieth
    assert set(table["public"].round(6)) == {1.0, round(29 / 30, 6)}
    np.testing.assert_allclose(table["public"] + table["private"], 1 + 29 / 30)


def test_a_submission_that_is_right_for_all_alike_has_no_luck(tmp_path: Path, answers: Path) -> None:
    boards = score_boards(submission(tmp_path / "even.csv", [1] * USERS), answers, splits=20)
    assert (boards.to_frame()[["public", "private"]] == 0.5).all(axis=None)
    assert "standard deviation of 0.0000" in boards.describe()


def test_the_spread_is_that_of_sampling_without_replacement(tmp_path: Path, answers: Path) -> None:
    hits = some_hits()
    table = score_boards(submission(tmp_path / "mine.csv", hits), answers, splits=4000).to_frame()
    # the variance of the mean of n of N users: s^2 / n (1 - n / N)
    expected = np.std(np.array(hits) / 2, ddof=1) / np.sqrt(30) * np.sqrt(1 - 30 / 60)
    assert table["public"].std() == pytest.approx(expected, rel=0.05)
    assert table["public"].mean() == pytest.approx(np.mean(hits) / 2, abs=4 * expected / np.sqrt(4000))


def test_the_same_seed_splits_alike_and_another_does_not(tmp_path: Path, answers: Path) -> None:
    mine = submission(tmp_path / "mine.csv", some_hits())
    first = score_boards(mine, answers, splits=5, seed=1).to_frame()
    pd.testing.assert_frame_equal(score_boards(mine, answers, splits=5, seed=1).to_frame(), first)
    assert not score_boards(mine, answers, splits=5, seed=2).to_frame().equals(first)


def test_a_gain_is_measured_in_the_same_splits(tmp_path: Path, answers: Path) -> None:
    mine, other = submission(tmp_path / "a.csv", some_hits(0)), submission(tmp_path / "b.csv", some_hits(1))
    boards = score_boards(mine, answers, against=other)
    theirs = score_boards(other, answers).to_frame()
    table = boards.to_frame()
    for board in ("public", "private"):
        np.testing.assert_allclose(table[f"gain_{board}"], table[board] - theirs[board], atol=1e-12)
    agree = np.sign(table["gain_public"]) == np.sign(table["gain_private"])
    assert boards.agreement == agree.mean()
    assert 0 < boards.agreement < 1  # two submissions of the same worth: the boards often disagree
    assert f"in {boards.agreement:.0%} of them both boards name the same better one" in boards.describe()


def test_a_clear_gain_shows_on_both_boards(tmp_path: Path, answers: Path) -> None:
    mine, other = submission(tmp_path / "a.csv", [2] * USERS), submission(tmp_path / "b.csv", some_hits())
    assert score_boards(mine, answers, against=other).agreement == 1


def test_users_missing_from_the_submission_count_as_nothing(tmp_path: Path, answers: Path) -> None:
    half = submission(tmp_path / "half.csv", [2] * 30)
    assert score_boards(half, answers, splits=3).recall == 0.5


def test_the_description_names_the_first_split(tmp_path: Path, answers: Path) -> None:
    boards = score_boards(submission(tmp_path / "mine.csv", some_hits()), answers)
    first = boards.to_frame().iloc[0]
    assert f"public {first['public']:.4f} (30 users), private {first['private']:.4f} (30 users)" in boards.describe()
    assert "over 200 random splits" in boards.describe()


def test_the_table_handed_out_is_a_copy(tmp_path: Path, answers: Path) -> None:
    boards = score_boards(submission(tmp_path / "mine.csv", some_hits()), answers, splits=2)
    boards.to_frame().loc[0, "public"] = 9
    assert boards.to_frame().loc[0, "public"] != 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_share": 0.0}, "leaves one board without any of 60 users"),
        ({"public_share": 1.0}, "leaves one board"),
        ({"public_share": 0.001}, "leaves one board"),
        ({"public_share": float("nan")}, "leaves one board"),
        ({"splits": 0}, "splits is 0"),
    ],
)
def test_splits_that_cannot_be_are_refused(
    tmp_path: Path, answers: Path, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        score_boards(submission(tmp_path / "mine.csv", some_hits()), answers, **options)  # type: ignore[arg-type]


def test_what_is_no_submission_is_refused(tmp_path: Path, answers: Path) -> None:
    mine = submission(tmp_path / "mine.csv", some_hits())
    nine = write_rows(tmp_path / "nine.csv", [(1, item) for item in range(9)])
    for arguments in ((nine, answers), (mine, answers, 0.5, 200, 42, nine)):
        with pytest.raises(DataError, match="user 1 has 9 rows"):
            score_boards(*arguments)
