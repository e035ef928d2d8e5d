"""The board by segment: worked out by hand, with filters and mixes, and from the shell."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any, Union

import pandas as pd
import pytest
from rich.console import Console
from support.mix_runs import write_run

import movierec_bench as mb
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.board import Board
from movierec_bench.reports.leaderboard import build_board, leaderboard
from movierec_bench.reports.segment_board import SegmentBoard
from movierec_bench.reports.user_segments import run_segments
from movierec_bench.runs.files import write_parquet
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.records import STATUS_METRICS, RunManifest, Status
from movierec_bench.schema import METRICS

# Users 1 to 6 have 1 to 6 training rows, so that 1 and 2 are short, 3 and 4 medium, 5 and 6 long; 7 has none.
RECALLS = {
    "EASE": [1.0, 1.0, 0.5, 0.5, 0.0, 0.0],
    "BPR": [0.25, 0.25, 0.5, 0.5, 0.5, 0.5],
    "Pop": [0.0, 0.0, 0.0, 0.0, 0.25, 0.25],
    "Best": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
}
LENGTHS = """\
segment,users,model,recall@10,ci_low,ci_high
short,2,EASE,1.0,1.0,1.0
short,2,BPR,0.25,0.25,0.25
short,2,Pop,0.0,0.0,0.0
medium,2,EASE,0.5,0.5,0.5
medium,2,BPR,0.5,0.5,0.5
medium,2,Pop,0.0,0.0,0.0
long,2,EASE,0.0,0.0,0.0
long,2,BPR,0.5,0.5,0.5
long,2,Pop,0.25,0.25,0.25
"""


def _add(folder: ModelFolder, state: str = "done", **changes: Any) -> None:
    recalls = pd.Series(RECALLS[folder.name])
    metrics = dict.fromkeys(STATUS_METRICS, float(recalls.mean()))
    folder.write_status(Status(folder.name, state, "general", "ours", metrics=metrics, users=len(recalls), **changes))
    write_parquet(folder.per_user, pd.DataFrame({"user": recalls.index + 1, **dict.fromkeys(METRICS, recalls)}))


@pytest.fixture
def small(tmp_path: Path) -> RunFolder:
    """Six users, three models with a place, one that failed after it was scored, one that was skipped."""
    run = RunFolder(tmp_path / "small")
    run.write_manifest(RunManifest("small", "atomic_data", "1", "competition", "2", 42, {}, "made up"))
    rows = [(user, item, 0) for user in range(1, 7) for item in range(user)]
    write_parquet(run.split / "train.parquet", pd.DataFrame(rows, columns=["user", "item", "time"]))
    for name in ("EASE", "BPR", "Pop"):
        _add(run.model(name))
    _add(run.model("Best"), "failed", error="refit: out of memory")
    run.model("Abc").write_status(Status("Abc", "skipped", "tree", "ours", error="needs lightgbm"))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Four models and a mix of two."""
    run = write_run(tmp_path_factory.mktemp("segment_board"))
    ensemble(run.path, method="vote", models="Even,Odd", no_track=True)
    return run


def printed(board: Union[Board, SegmentBoard], width: int = 100) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(board.to_rich())
    return output.getvalue().splitlines()


def test_the_table_worked_out_by_hand(small: RunFolder) -> None:
    frame = leaderboard(small.path, by="length").to_frame()
    assert frame.to_csv(index=False, lineterminator="\n") == LENGTHS
    assert small.leaderboard_by("length").read_bytes() == LENGTHS.encode()
    assert small.leaderboard_by("length") == small.path / "leaderboard_by_length.csv"


def test_a_segment_s_interval_is_around_its_mean(small: RunFolder) -> None:
    """All six are one-day users: every mean is the overall one, and the users of EASE and BPR differ."""
    frame = leaderboard(small.path, by="span").to_frame().set_index("model")
    assert frame["segment"].unique().tolist() == ["one-day"]
    assert frame["users"].tolist() == [6, 6, 6]
    assert frame["recall@10"].tolist() == pytest.approx([3 / 6, 2.5 / 6, 0.5 / 6])
    for name in ("EASE", "BPR"):
        row, recalls = frame.loc[name], RECALLS[name]
        assert min(recalls) <= row["ci_low"] < row["recall@10"] < row["ci_high"] <= max(recalls)


def test_a_user_without_training_rows_counts_as_unknown(small: RunFolder) -> None:
    for name in ("EASE", "BPR", "Pop"):
        there = small.model(name).read_per_user()
        newcomer = pd.DataFrame({"user": [7], **dict.fromkeys(METRICS, [0.5])})
        write_parquet(small.model(name).per_user, pd.concat([there, newcomer]))
    frame = leaderboard(small.path, by="length").to_frame()
    unknown = frame[frame["segment"] == "unknown"]
    assert unknown[["users", "recall@10"]].values.tolist() == [[1, 0.5]] * 3
    assert frame["segment"].unique().tolist() == ["short", "medium", "long", "unknown"]


def test_the_terminal_marks_the_best_of_each_segment_and_names_who_is_not_ranked(small: RunFolder) -> None:
    lines = printed(leaderboard(small.path, by="length"), width=80)
    assert max(map(len, lines)) <= 80
    cells = [line.split() for line in lines]
    heading = cells.index(["everyone", "short", "medium", "long"])
    assert cells[heading + 1] == ["#", "model", "6", "users", "2", "users", "2", "users", "2", "users"]
    assert cells[heading + 3 : heading + 6] == [
        ["1", "EASE", "0.5000*", "1.0000*", "0.5000*", "0.0000"],
        ["2", "BPR", "0.4167", "0.2500", "0.5000*", "0.5000*"],
        ["3", "Pop", "0.0833", "0.0000", "0.0000", "0.2500"],
    ]
    notes = [line.strip() for line in lines[heading + 6 :] if line.strip()]
    assert notes == ["* best of its column", "not ranked: Best (failed)", "not ranked: Abc (skipped)"]


def test_the_order_is_the_board_s_and_filters_leave_the_file_whole(run: RunFolder) -> None:
    def models(**choices: str) -> list[str]:
        return leaderboard(run.path, by="length", **choices).to_frame()["model"].drop_duplicates().tolist()

    everyone = build_board(run).to_frame()["model"].tolist()
    assert sorted(everyone) == ["Even", "Noise", "Odd", "Weak", "vote"]
    assert models() == everyone
    assert models(sort="model") == sorted(everyone)
    assert models(family="ensemble") == ["vote"]
    assert models(family="general", status="done") == [name for name in everyone if name in ("Even", "Weak")]
    assert models(status="failed") == []
    assert pd.read_csv(run.leaderboard_by("length"))["model"].drop_duplicates().tolist() == everyone


def test_places_stay_and_the_best_is_of_those_shown(run: RunFolder) -> None:
    shown = printed(leaderboard(run.path, by="length", family="rule"))
    place = build_board(run).to_frame().set_index("model").loc["Noise", "place"]
    (noise,) = [line.split() for line in shown if "Noise" in line]
    assert noise[:2] == [str(place), "Noise"]
    assert all(cell.endswith("*") for cell in noise[2:]) and len(noise) == 6
    assert not any("Even" in line for line in shown)


def test_the_segments_of_a_mix_average_to_its_place_on_the_board(run: RunFolder) -> None:
    overall = build_board(run).to_frame().set_index("model")["recall@10"]
    frame = leaderboard(run.path, by="focus").to_frame()
    assert set(frame["model"]) == set(overall.index)
    for model, rows in frame.groupby("model"):
        mean = (rows["recall@10"] * rows["users"]).sum() / rows["users"].sum()
        assert mean == pytest.approx(overall[model], abs=1e-12)


def test_judges_tell_good_users(run: RunFolder) -> None:
    """The users of each segment are those that `run_segments` finds with the same judges."""

    def users(judges: Any) -> dict[str, int]:
        frame = leaderboard(run.path, by="good", judges=judges).to_frame()
        return frame[frame["model"] == "Even"].set_index("segment")["users"].to_dict()

    noise = run_segments(run.path, "good", ["Noise"])["segment"].value_counts().to_dict()
    assert users("Noise") == users(["Noise"]) == noise
    assert users("Noise") != users("Even, Odd") == users(["Even", "Odd"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"by": "lenght"}, "did you mean length"),
        ({"by": "lenght", "judges": "Even"}, "did you mean length"),
        ({"by": "length", "judges": "Even,Odd"}, "only those by 'good' do; leave out the judges Even, Odd"),
        ({"judges": "Even"}, "add --by good"),
        ({"by": "good", "judges": "Evn"}, "no model or ensemble 'Evn'; .*Even"),
        ({"by": "length", "family": "generel"}, "did you mean general"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(run: RunFolder, choice: dict[str, str], message: str) -> None:
    written = {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()}
    with pytest.raises(ConfigError, match=message):
        leaderboard(run.path, **choice)
    assert {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()} == written


def test_a_run_without_a_scored_model_is_refused(small: RunFolder) -> None:
    for folder in small.models():
        folder.status.unlink()
    with pytest.raises(DataError, match="no scored model"):
        leaderboard(small.path, by="length")
    assert not small.leaderboard_by("length").exists()


def test_without_segments_the_board_is_the_board(run: RunFolder) -> None:
    board = mb.leaderboard(run.path)
    assert isinstance(board, Board)
    pd.testing.assert_frame_equal(board.to_frame(), build_board(run).to_frame())
    assert isinstance(mb.leaderboard(run.path, by="age"), SegmentBoard)


def test_the_command(small: RunFolder) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess:
        whole = [sys.executable, "-m", "movierec_bench", "leaderboard", "small", *arguments]
        return subprocess.run(whole, cwd=small.path.parent, capture_output=True, text=True, check=False)

    done = command("--by", "length", "--sort", "model", "--status", "done")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1] for row in rows if row and row[0].isdigit()] == ["BPR", "EASE", "Pop"]
    assert "small/leaderboard_by_length.csv" in done.stdout
    assert (small.path / "leaderboard_by_length.csv").read_text() == LENGTHS

    refused = command("--by", "lenght")
    assert refused.returncode == 2
    assert "error: segments by 'lenght' are not known" in refused.stderr and "did you mean length" in refused.stderr
    refused = command("--judges", "EASE")
    assert refused.returncode == 2 and "add --by good" in refused.stderr
