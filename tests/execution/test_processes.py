"""Whatever happens in one process stays in its own row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from movierec_bench.execution.processes import Ended, Task, run_tasks


def work(argument: str, send: Any) -> None:
    """What the tasks of these tests do."""
    print(f"doing {argument}", flush=True)
    if argument == "raise":
        raise ValueError("no such luck")
    if argument == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "exit":
        os._exit(7)
    if argument == "sleep":
        send(os.getpid())
        time.sleep(60)
    send(f"{argument} sent")


def tasks(folder: Path, *arguments: str) -> list[Task]:
    return [
        Task(f"{number}-{argument}", argument, folder / f"{number}.txt") for number, argument in enumerate(arguments)
    ]


def outcomes(folder: Path, *arguments: str, workers: int = 1) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for task, message in run_tasks(tasks(folder, *arguments), work, workers, threads=1):
        found.setdefault(task.argument, []).append(message)
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_each_end_is_told_and_the_rest_go_on(tmp_path: Path, workers: int) -> None:
    found = outcomes(tmp_path, "raise", "kill", "exit", "fine", workers=workers)
    assert found["raise"] == [Ended("ValueError: no such luck")]
    assert found["kill"][0].error.startswith("its process was killed by SIGKILL (out of memory, or killed by hand)")
    assert found["exit"][0].error.startswith("its process ended with exit code 7")
    assert found["fine"] == ["fine sent", Ended(None)]


def test_output_and_traceback_are_in_the_log(tmp_path: Path) -> None:
    outcomes(tmp_path, "raise")
    log = (tmp_path / "0.txt").read_text()
    assert "doing raise" in log
    assert "Traceback" in log


def test_closing_stops_what_runs(tmp_path: Path) -> None:
    running = run_tasks(tasks(tmp_path, "sleep"), work, 1, threads=1)
    _, pid = next(running)
    assert psutil.pid_exists(pid)
    running.close()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_processes import tasks, work
from movierec_bench.execution.processes import run_tasks

# No `if __name__ == "__main__"`: a notebook user's script has none.
print("script runs", flush=True)
for task, message in run_tasks(tasks(Path({folder!r}), {argument!r}), work, 1, threads=1):
    print(message, flush=True)
"""


def script(folder: Path, argument: str) -> Path:
    path = folder / "script.py"
    path.write_text(
        textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), folder=str(folder), argument=argument)
    )
    return path


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script(tmp_path, "fine")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["script runs", "fine sent", "Ended(error=None)"]


def test_a_process_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, script(tmp_path, "sleep")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = [parent.stdout.readline(), parent.stdout.readline()]
    pid = int(lines[1])
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process be bound to cores here")
def test_a_process_bound_to_one_core_counts_one() -> None:
    bound = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    counted = "from movierec_bench.execution.processes import usable_cpus; print(usable_cpus())"
    done = subprocess.run([sys.executable, "-c", bound + counted], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
