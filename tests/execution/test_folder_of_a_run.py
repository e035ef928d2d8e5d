"""The folder of a run: opened, deleted by ``--fresh``, killed while that goes on, linked, locked and swept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.finished_runs import atomic, go, killed_at, one_job, run_folder

from movierec_bench.data.atomic import read_atomic
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import only_run, open_run
from movierec_bench.runs.trials import DEFAULT, Trial, TrialFolder, best_config
from movierec_bench.settings.protocol import protocol_of


def test_fresh_deletes_a_run_and_nothing_else(copied: Path) -> None:
    there = run_folder(copied)
    (there.path / "thesis.txt").write_text("years of work")
    (there.path / "training").mkdir()
    (there.path / "training" / "BPR.npz").write_bytes(b"half trained")
    go(copied, "Pop", fresh=True)
    assert not (there.path / "training").exists()
    assert (there.path / "thesis.txt").read_text() == "years of work"
    assert [folder.name for folder in there.models()] == ["Pop"]
    assert [path.name for path in (there.path / "submissions").iterdir()] == ["Pop.csv"]


def test_fresh_never_deletes_the_data_or_a_foreign_folder(tmp_path: Path) -> None:
    data = atomic(tmp_path) / "planted"
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    with pytest.raises(DataError, match="no run of ours"):
        go(tmp_path, "Pop", out=tmp_path / "atomic_data", fresh=True)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    (tmp_path / "runs" / "planted").mkdir(parents=True)
    (tmp_path / "runs" / "planted" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no run of ours"):
        go(tmp_path, "Pop", fresh=True)
    assert os.listdir(tmp_path / "runs" / "planted") == ["thesis.txt"]


def add_search(there: RunFolder) -> None:
    folder = TrialFolder.of(there, "EASE")
    folder.write(Trial(DEFAULT, "done", {"reg_weight": 500.0}, "0123456789abcdef", recall=0.2, seconds=1.0))
    folder.write_tables(folder.read())
    write_text(best_config(there, "EASE"), "reg_weight: 500.0\n")


def files_of_searches(there: RunFolder) -> dict[str, bytes]:
    places = [path for name in ("trials", "configs") for path in (there.path / name).rglob("*")]
    return {path.relative_to(there.path).as_posix(): path.read_bytes() for path in places if path.is_file()}


def test_fresh_keeps_the_searches_of_these_data(copied: Path) -> None:
    there = run_folder(copied)
    add_search(there)
    before = files_of_searches(there)
    assert len(before) == 4
    go(copied, "Pop", fresh=True)
    assert [folder.name for folder in there.models()] == ["Pop"]
    assert files_of_searches(there) == before


@pytest.mark.parametrize("other", ["data", "protocol"])
def test_fresh_on_other_data_is_refused_where_it_would_delete_searches(copied: Path, other: str) -> None:
    there = run_folder(copied)
    add_search(there)
    before = {path: path.read_bytes() for path in there.path.rglob("*") if path.is_file()}
    if other == "data":
        atomic(copied, seed=1)
    with pytest.raises(ConfigError, match=f"holds searches of `tune` .*other {other}.*--fresh would delete: EASE"):
        go(copied, "Pop", fresh=True, protocol="last" if other == "protocol" else None)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("how", ["fresh", "new"])
def test_killed_at_any_call_of_opening_the_same_command_is_never_refused(
    copied: Path, tmp_path: Path, how: str
) -> None:
    if how == "new":
        shutil.rmtree(copied / "runs")
    shutil.copytree(copied, tmp_path / "whole")

    def open_it(folder: Path) -> None:
        there, dataset = run_folder(folder), folder / "atomic_data" / "planted"
        with only_run(there):
            open_run(there, read_atomic(dataset), protocol_of(None, None), 42, fresh=how == "fresh", command="")

    calls = killed_at(0, lambda: open_it(tmp_path / "whole"))
    for kill_at in range(1, calls + 1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(copied, folder)
        killed_at(kill_at, lambda: open_it(folder))  # noqa: B023
        there = run_folder(folder)
        if there.manifest.is_file():  # whatever is called finished is whole
            states = set(build_board(there).to_frame()["status"])
            assert states <= {"done"}, f"killed at call {kill_at}"
        open_it(folder)
        assert there.models() == []
        assert {path.name for path in there.path.iterdir()} <= {"manifest.json", "split"}
        assert there.read_manifest().split == run_folder(tmp_path / "whole").read_manifest().split


def test_a_damaged_split_is_made_again(copied: Path) -> None:
    there = run_folder(copied)
    before = (there.split / "test.parquet").read_bytes()
    os.truncate(there.split / "test.parquet", 100)
    go(copied, "Pop,YearPop")
    assert (there.split / "test.parquet").read_bytes() == before


def test_a_linked_run_folder_is_a_run_folder(copied: Path, tmp_path: Path) -> None:
    there = run_folder(copied)
    (tmp_path / "disk").mkdir()
    there.path.rename(tmp_path / "disk" / "planted")
    there.path.symlink_to(tmp_path / "disk" / "planted")
    with only_run(RunFolder(tmp_path / "disk" / "planted")), pytest.raises(ConfigError, match="another command"):
        go(copied, "Pop")
    go(copied, "Pop", fresh=True)
    assert there.path.is_symlink()
    assert [folder.name for folder in RunFolder(tmp_path / "disk" / "planted").models()] == ["Pop"]


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), PermissionError(13, "Permission denied")])
def test_a_disk_without_locks_is_told(tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("movierec_bench.runs.locks.FileLock.acquire", refuse)
    atomic(tmp_path)
    with pytest.raises(ConfigError, match=f"cannot be locked .{error.strerror}"):
        go(tmp_path, "Pop")


def test_temporary_files_of_processes_that_are_over_are_swept(copied: Path) -> None:
    there = run_folder(copied)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale = [
        there.path / f".manifest.json.{dead.stdout.strip()}.tmp",
        there.model("Pop").path / f".status.json.{dead.stdout.strip()}-0123456789ab.tmp",
        there.path / "submissions" / f".Pop.csv.{dead.stdout.strip()}-0123456789ab.tmp",
    ]
    alive = there.path / f".leaderboard.csv.{os.getpid()}-0123456789ab.tmp"
    for path in [*stale, alive]:
        path.write_text("half")
    one_job(copied, "Pop")
    assert not any(path.exists() for path in stale) and alive.exists()
