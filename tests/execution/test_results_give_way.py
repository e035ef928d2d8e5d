"""A result gives way only to a complete one, whatever ends the command and whenever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.finished_runs import atomic, bytes_of, go, killed_at, one_job, run_folder
from support.signals import heed_signals

from movierec_bench.execution.jobs import Job
from movierec_bench.execution.model_process import Phase, bench_model
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.runs.publishing import publish


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "movierec_bench", "run", "--atomic", str(folder / "atomic_data"), *words]


def test_ctrl_c_right_after_a_mistyped_flag_loses_nothing(copied: Path) -> None:
    before = bytes_of(run_folder(copied).path)
    process = subprocess.Popen(
        command(copied, "--models", "EASE,Pop,Random", "--seed", "7"),
        cwd=copied,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    assert process.stderr is not None
    lines = []
    while not lines or "load" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert any("3 finished models will be redone (seed 42 before, 7 now): EASE, Pop, Random" in line for line in lines)
    assert {path.name for path in (run_folder(copied).path / "models").iterdir()} == {"EASE", "Pop", "Random"}
    after = bytes_of(run_folder(copied).path)
    assert {name: after.get(name) for name in before} == before
    go(copied, "Pop,EASE,Random")
    kept = bytes_of(run_folder(copied).path)
    assert kept == before, "the old command has nothing to do"


@pytest.mark.parametrize("place", ["fit", "refit", "submit"])
def test_killed_in_any_phase_the_earlier_result_stays_and_the_next_run_is_as_undisturbed(
    copied: Path, place: str
) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    job = one_job(copied, "Random", seed=7)
    killed_in(job, place)
    assert {name: content for name, content in bytes_of(there.path).items() if "/." not in name} == before
    board = go(copied, "Random", seed=7).to_frame().set_index("model")
    assert board.loc["Random", "status"] == "done" and board.loc["Random", "seed"] == 7
    assert {path.name for path in (there.path / "models").iterdir()} == {"EASE", "Pop", "Random"}
    undisturbed = copied.parent / "undisturbed"
    atomic(undisturbed)
    go(undisturbed, "Random", seed=7)
    assert there.submission("Random").read_bytes() == run_folder(undisturbed).submission("Random").read_bytes()
    assert there.model("Random").read_status().result_hash == (
        run_folder(undisturbed).model("Random").read_status().result_hash
    )


def killed_in(job: Job, place: str) -> None:
    """Do what the model's process does, killed when it enters a phase."""
    child = os.fork()
    if child == 0:
        try:
            bench_model(job, lambda message: os.kill(os.getpid(), signal.SIGKILL) if message == Phase(place) else None)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_a_fit_that_was_stored_before_the_kill_is_not_done_again(copied: Path) -> None:
    killed_in(one_job(copied, "Random", seed=7), "refit")
    staged = run_folder(copied).model("Random").staged
    fitted = staged.topk("test").stat().st_mtime_ns
    go(copied, "Random", seed=7)
    assert run_folder(copied).model("Random").topk("test").stat().st_mtime_ns == fitted


def test_killed_at_any_call_of_the_swap_the_next_command_has_one_result_or_the_other(
    copied: Path, tmp_path: Path
) -> None:
    old = bytes_of(run_folder(copied).path)
    job = one_job(copied, "Random", seed=7)
    bench_model(job, lambda message: None)
    shutil.copytree(copied, tmp_path / "whole")

    def swap(folder: Path) -> None:
        publish(run_folder(folder), run_folder(folder).model("Random"))

    calls = killed_at(0, lambda: swap(tmp_path / "whole"))
    new = bytes_of(run_folder(tmp_path / "whole").path)
    assert new != old and calls > 10
    for kill_at in range(1, calls + 1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(copied, folder)
        killed_at(kill_at, lambda: swap(folder))  # noqa: B023
        one_job(folder, "Pop")  # any command that holds the folder
        assert bytes_of(run_folder(folder).path) == new, f"killed at call {kill_at}"
        assert build_board(run_folder(folder)).to_frame()["status"].tolist() == ["done"] * 3


def test_a_failed_attempt_leaves_the_result_of_before(copied: Path) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    board = go(copied, "EASE", seed=7, timeout=0.01)
    assert board.failed and "its earlier result stays" in board.not_replaced["EASE"]
    assert board.to_frame().set_index("model").loc["EASE", "status"] == "done"
    after = bytes_of(there.path)
    after.pop("models/EASE/failed_log.txt", None)  # where it had come to writing one
    assert after == before
