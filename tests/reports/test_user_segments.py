"""Segments: worked out by hand, from training and validation rows alone; and the board by segment."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.mix_runs import Oracle, write_run

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.statistics import bootstrap_interval
from movierec_bench.reports.segment_board import board_by_segment
from movierec_bench.reports.user_segments import (
    BY,
    NAMES,
    best_on_validation,
    read_data,
    run_segments,
    segment_of,
    segment_users,
)
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import METRICS

DAY = 86_400


def rows(*users: tuple[int, list[tuple[int, int]]]) -> pd.DataFrame:
    """[user, item, time] from (user, [(item, time), ...])."""
    listed = [(user, item, time) for user, log in users for item, time in log]
    return pd.DataFrame(listed, columns=["user", "item", "time"], dtype=np.int64)


def as_dict(segments: pd.DataFrame) -> dict[int, str]:
    assert list(segments.columns) == ["user", "segment"]
    return dict(zip(segments["user"].tolist(), segments["segment"].tolist()))


def test_length_in_thirds_of_the_users() -> None:
    train = rows(*[(user, [(item, 0) for item in range(user)]) for user in (9, 1, 2, 3, 4, 5)])
    assert as_dict(segment_users("length", train)) == {
        1: "short",
        2: "short",
        3: "medium",
        4: "medium",
        5: "long",
        9: "long",
    }


def test_equal_users_are_in_equal_segments() -> None:
    train = rows(*[(user, [(item, 0) for item in range(3)]) for user in range(7)], (8, [(1, 0)]))
    found = as_dict(segment_users("length", train))
    assert {found[user] for user in range(7)} == {found[0]}


def test_span_has_days_for_limits() -> None:
    train = rows(
        (1, [(1, 500)]),
        (2, [(1, 0), (2, DAY)]),
        (3, [(1, DAY + 1), (2, 0)]),
        (4, [(1, 0), (2, 30 * DAY)]),
        (5, [(1, 0), (2, 5), (3, 30 * DAY + 1)]),
    )
    assert as_dict(segment_users("span", train)) == {
        1: "one-day",
        2: "one-day",
        3: "one-month",
        4: "one-month",
        5: "longer",
    }


def test_age_counts_from_the_newest_training_row() -> None:
    train = rows((1, [(1, 0), (2, 100)]), (2, [(1, 900)]), (3, [(1, 1), (2, 1000)]))
    assert as_dict(segment_users("age", train)) == {1: "old", 2: "middle", 3: "recent"}


def test_focus_is_the_concentration_of_genres() -> None:
    movies = pd.DataFrame({"item": [1, 2, 3, 4], "genre": [("A",), ("B",), ("A", "B"), ()]})
    train = rows(
        (1, [(1, 0), (1, 0)]),  # all A: 1
        (2, [(1, 0), (2, 0)]),  # half and half: 1/2
        (3, [(1, 0), (3, 0)]),  # A 3/4, B 1/4: 10/16
        (4, [(4, 0)]),  # no genre at all
        (5, [(99, 0), (1, 0), (4, 0), (2, 0)]),  # a movie without side information: half and half
    )
    assert as_dict(segment_users("focus", train, movies)) == {
        1: "focused",
        2: "broad",
        3: "mixed",
        4: "unknown",
        5: "broad",
    }


def test_good_users_are_above_the_mean() -> None:
    train = rows(*[(user, [(1, 0)]) for user in (1, 2, 3, 4)])
    recall = pd.Series({1: 0.1, 2: 0.3, 3: 0.2})
    assert as_dict(segment_users("good", train, valid_recall=recall)) == {
        1: "bad",
        2: "good",
        3: "bad",
        4: "unknown",
    }


def test_segments_are_looked_up_by_user() -> None:
    segments = pd.DataFrame({"user": [3, 5], "segment": ["long", "short"]})
    assert segment_of(segments, np.array([5, 4, 3])).tolist() == ["short", "unknown", "long"]


@pytest.mark.parametrize(
    ("by", "message"),
    [("lenght", "did you mean length"), ("focus", "need movies"), ("good", "need valid_recall")],
)
def test_what_cannot_be_is_refused(by: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        segment_users(by, rows((1, [(1, 0)])))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("segments"))


@pytest.mark.parametrize("by", BY)
def test_test_rows_have_no_part_in_segments(run: RunFolder, by: str, tmp_path: Path) -> None:
    """Without the test rows and everything made from them, every segment is the same."""
    blind = RunFolder(tmp_path / "blind")
    shutil.copytree(run.path, blind.path)
    (blind.split / "test.parquet").unlink()
    for folder in blind.models():
        for path in (folder.topk("test"), folder.topk("full"), folder.per_user):
            path.unlink()
    pd.testing.assert_frame_equal(run_segments(blind.path, by), run_segments(run.path, by))


@pytest.mark.parametrize(("by", "expected"), [("length", 3), ("span", 1), ("age", 3), ("focus", 3), ("good", 2)])
def test_every_user_has_a_segment(run: RunFolder, by: str, expected: int) -> None:
    segments = run_segments(run.path, by)
    assert segments["user"].tolist() == sorted(read_data(run).vocabulary.users.tolist())
    assert set(segments["segment"]) <= {*NAMES[by], "unknown"}
    assert segments["segment"].nunique() == expected


def test_the_judges_are_the_best_on_validation_or_those_named(run: RunFolder) -> None:
    assert best_on_validation(run, 2) == ["Even", "Odd"]
    everyone = run_segments(run.path, "good")
    pd.testing.assert_frame_equal(run_segments(run.path, "good", ["Even", "Odd", "Weak", "Noise"]), everyone)
    assert not run_segments(run.path, "good", ["Noise"]).equals(everyone)
    with pytest.raises(ConfigError, match="ask no models"):
        run_segments(run.path, "length", ["Even"])
    with pytest.raises(ConfigError, match="no model or ensemble 'Evn'"):
        run_segments(run.path, "good", ["Evn"])


def test_the_board_by_segment_is_the_board_taken_apart(run: RunFolder) -> None:
    board = board_by_segment(run.path, "length")
    assert list(board.columns) == ["model", "segment", "users", *METRICS, "ci_low", "ci_high"]
    assert board["model"].drop_duplicates().tolist() == ["Even", "Odd", "Weak", "Noise"]
    assert board["segment"].tolist() == ["short", "medium", "long"] * 4
    segments = run_segments(run.path, "length")
    scored = run.model("Odd").read_per_user().merge(segments, on="user")
    inside = scored[scored["segment"] == "medium"]
    row = board[(board["model"] == "Odd") & (board["segment"] == "medium")].iloc[0]
    assert row["users"] == len(inside)
    for metric in METRICS:
        assert row[metric] == inside[metric].mean()
    assert (row["ci_low"], row["ci_high"]) == bootstrap_interval(inside["recall@10"].to_numpy(), 42)


def test_the_board_leaves_out_what_was_not_scored_and_says_so_when_nothing_was(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"One": Oracle(1.0), "Two": Oracle(0.5)}, users=40)
    run.model("Two").status.unlink()
    assert set(board_by_segment(run.path, "good", judges="One")["model"]) == {"One"}
    run.model("One").status.unlink()
    with pytest.raises(DataError, match="no scored model"):
        board_by_segment(run.path, "length")


def test_other_data_than_the_run_s_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"One": Oracle(1.0)}, users=40)
    write_run(tmp_path / "other", {"One": Oracle(1.0)}, users=41)
    with pytest.raises(DataError, match="give the folder of that data with --atomic"):
        run_segments(run.path, "focus", atomic=tmp_path / "other" / "atomic")
