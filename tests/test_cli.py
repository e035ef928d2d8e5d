"""The command line as a user runs it: a subprocess in an empty folder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from support.planted import SHARED

COMMANDS = ("convert", "models", "run", "leaderboard", "submit", "ensemble", "score", "track")


def bench(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "movierec_bench", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ml-100k converted, and a first run on it."""
    folder = tmp_path_factory.mktemp("user")
    bench(folder, "convert")
    bench(folder, "run", "--models", "Pop,EASE")
    return folder


def test_nothing_but_the_two_folders_is_written(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"atomic_data", "runs"}
    assert sorted(path.name for path in (folder / "runs").iterdir()) == [".ml-100k.lock", "ml-100k"]


def test_convert_says_what_it_found(tmp_path: Path) -> None:
    done = bench(tmp_path, "convert")
    assert "100,000 interactions, 943 users, 1,682 movies" in done.stdout
    assert "run --models" in done.stdout, "the next step"


def test_run_again_keeps_everything_and_prints_the_board(folder: Path) -> None:
    started = time.monotonic()
    done = bench(folder, "run", "--models", "Pop,EASE")
    assert time.monotonic() - started < 30
    assert "EASE" in done.stdout
    assert "fit" not in done.stderr


def test_leaderboard_sorts_and_filters(folder: Path) -> None:
    lines = bench(folder, "leaderboard", "runs/ml-100k", "--family", "rule").stdout
    assert "Pop" in lines
    assert "EASE" not in lines
    bench(folder, "leaderboard", "runs/ml-100k", "--sort", "goodness", code=2)


def test_submit_and_score(folder: Path, tmp_path: Path) -> None:
    submission = folder / "runs" / "ml-100k" / "submissions" / "EASE.csv"
    before = submission.read_bytes()
    submission.unlink()
    bench(folder, "submit", "runs/ml-100k", "--model", "EASE")
    assert submission.read_bytes() == before
    assert "valid" in bench(folder, "score", "--submission", str(submission)).stdout
    answers = tmp_path / "answers.csv"
    pd.read_csv(submission).groupby("user").head(5).to_csv(answers, index=False)
    assert "1.0000" in bench(folder, "score", "--submission", str(submission), "--answers", str(answers)).stdout


def test_a_mix_joins_the_board_and_boards_show_the_luck(folder: Path) -> None:
    done = bench(folder, "ensemble", "runs/ml-100k", "--method", "linear", "--models", "Pop,EASE", "--weights", "1,5")
    assert "in a paired test" in done.stdout
    board = pd.read_csv(folder / "runs" / "ml-100k" / "leaderboard.csv").set_index("model")
    assert board.loc["linear", "family"] == "ensemble"
    mixed, single = (folder / "runs" / "ml-100k" / "submissions" / f"{name}.csv" for name in ("linear", "EASE"))
    answers = folder / "runs" / "answers.csv"
    pd.read_csv(single).groupby("user").head(3).to_csv(answers, index=False)
    arguments = ["score", "--submission", str(mixed), "--answers", str(answers), "--boards", "--against", str(single)]
    assert "over 200 random splits" in bench(folder, *arguments).stdout
    answers.unlink()
    bench(folder, "score", "--submission", str(mixed), "--boards", code=2)


def test_a_wrong_submission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("user,item\n1,2\n1,2\n")
    assert "error: " in bench(tmp_path, "score", "--submission", "bad.csv", code=2).stderr


def test_models_lists_the_catalogue(tmp_path: Path) -> None:
    listing = bench(tmp_path, "models").stdout
    for name in ("EASE", "MultiVAE", "SASRec", "ours", "recbole"):
        assert name in listing
    assert "BPR" not in bench(tmp_path, "models", "--models", "rule").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "convert` first"),
        (["run", "--models", "EASY"], "did you mean EASE"),
        (["run", "--modells", "EASE"], "--modells"),
        (["run", "--budget", "soon"], "--budget"),
        (["leaderboard", "nowhere"], "nowhere"),
        (["convert", "--data", "nowhere"], "nowhere"),
        (["submit", "nowhere", "--model", "EASE"], "nowhere"),
        (["fly"], "fly"),
    ],
)
def test_bad_usage_is_code_2_and_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = bench(tmp_path, *arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_failed_models_are_code_1(tmp_path: Path) -> None:
    bench(tmp_path, "convert")
    models = tmp_path / "recbole_configs" / "models"
    models.mkdir(parents=True)
    text = (Path(__file__).parents[1] / "recbole_configs" / "models" / "BPR.yaml").read_text()
    (models / "BPR.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30") + "learner: sgd\n")
    done = bench(tmp_path, "run", "--models", "BPR,Pop", "--budget", "20", code=1)
    assert "failed" in done.stdout
    board = pd.read_csv(tmp_path / "runs" / "ml-100k" / "leaderboard.csv").set_index("model")
    assert board.loc["Pop", "status"] == "done"
    assert "lower learning_rate" in board.loc["BPR", "error"]


def test_help_is_quick_and_names_every_command(tmp_path: Path) -> None:
    text = bench(tmp_path, "--help").stdout
    assert all(command in text for command in COMMANDS)
    for command in COMMANDS:
        bench(tmp_path, command, "--help")


def test_the_real_logs_convert_and_run(tmp_path: Path) -> None:
    data = SHARED / "data" / "ml_latest_small"
    if not data.is_dir():
        pytest.skip(f"the real logs are not beside this checkout ({data})")
    bench(tmp_path, "convert", "--data", str(data))
    bench(tmp_path, "run", "--models", "Pop,EASE", "--filter", "future")
    submission = pd.read_csv(tmp_path / "runs" / "ml_latest_small" / "submissions" / "EASE.csv")
    assert submission.groupby("user").size().eq(10).all()
    assert submission["user"].nunique() == 671
    board = pd.read_csv(tmp_path / "runs" / "ml_latest_small" / "leaderboard.csv").set_index("model")
    assert board.loc["EASE", "recall@10"] > board.loc["Pop", "recall@10"]
    assert board["filter"].tolist() == ["future:1", "future:1"]
