"""What is called finished is whole; a damaged result is told, and redone."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.finished_runs import bytes_of, go, run_folder

from movierec_bench.errors import DataError
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.runs.records import SUBMISSION


def test_a_status_vouches_for_every_file(finished: Path) -> None:
    there = run_folder(finished)
    for name in ("Pop", "EASE", "Random"):
        folder = there.model(name)
        status = folder.read_status()
        paths = {file: folder.path / file for file in status.files if file != SUBMISSION}
        paths[SUBMISSION] = there.submission(name)
        assert set(status.files) == set(paths) and len(paths) == 7
        for file, path in paths.items():
            content = path.read_bytes()
            assert (status.files[file].size, status.files[file].sha256) == (
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
        assert status.seed == 42 and status.threads and status.code_hash
        assert {"python", "torch", "recbole", "movierec_bench"} <= set(status.versions)


@pytest.mark.parametrize(
    ("lost", "harm"),
    [
        ("topk_test.parquet", lambda path: path.write_bytes(b"")),
        ("per_user.parquet", lambda path: os.truncate(path, 9)),
        ("params.yaml", Path.unlink),
        ("topk_full.parquet", lambda path: os.truncate(path, 9)),
        (SUBMISSION, lambda path: path.write_bytes(b"")),
    ],
)
def test_a_damaged_result_is_no_result_and_is_redone(copied: Path, lost: str, harm: Any) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    path = there.submission("Pop") if lost == SUBMISSION else there.model("Pop").path / lost
    fitted = there.model("Pop").topk("valid").stat().st_mtime_ns
    harm(path)
    board = build_board(there).to_frame().set_index("model")
    assert board.loc["Pop", "status"] == "damaged" and lost in board.loc["Pop", "error"]
    assert board.loc[["EASE", "Random"], "place"].tolist() == [1, 2]
    go(copied, "Pop")
    assert build_board(there).to_frame()["status"].tolist() == ["done"] * 3
    after = bytes_of(there.path)
    same = [name for name in before if not name.endswith(("status.json", "log.txt", "leaderboard.csv"))]
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    only_refit = lost in ("topk_full.parquet", SUBMISSION)
    assert (there.model("Pop").topk("valid").stat().st_mtime_ns == fitted) == only_refit


def test_other_content_of_the_same_size_is_found_when_it_is_used(copied: Path) -> None:
    there = run_folder(copied)
    path = there.model("EASE").per_user
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"per_user\.parquet has other content.*run the command that made it again"):
        there.model("EASE").read_per_user()
    board = build_board(there).to_frame().set_index("model")
    assert board.loc["EASE", "status"] == "damaged"
    assert board.loc[["Pop", "Random"], "place"].notna().all()


def test_a_copied_or_renamed_folder_is_told_and_counts_for_nothing(copied: Path) -> None:
    there = run_folder(copied)
    shutil.copytree(there.model("Pop").path, there.model("Pop_old").path)
    there.model("Random").path.rename(there.model("Chance").path)
    board = build_board(there).to_frame().set_index("model")
    assert sorted(board.index) == ["Chance", "EASE", "Pop", "Pop_old"]
    assert board.loc["Pop_old", "error"].startswith("holds the result of Pop: ")
    assert board.loc["Chance", "error"].startswith("holds the result of Random: ")
    assert board.loc[["Chance", "Pop_old"], "place"].isna().all()
    assert not go(copied, "Pop,EASE,Random").failed


def test_a_board_that_cannot_be_written_costs_no_result(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    there = run_folder(copied)
    there.leaderboard("csv").unlink()
    there.leaderboard("csv").mkdir()
    board = go(copied, "EASE,Pop,Random,YearPop")
    assert board.to_frame()["status"].tolist() == ["done"] * 4
    assert "leaderboard.csv cannot be written" in caplog.text
