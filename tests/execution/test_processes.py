"""Whatever happens in one process stays in its own row."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, Optional

import psutil
import pytest

from movierec_bench.execution import processes
from movierec_bench.execution.capped_log import HEAD_BYTES, TAIL_BYTES
from movierec_bench.execution.processes import Ended, Task, run_tasks

UNNAMED_SIGNAL = 40


def descriptor_of(send: Any) -> int:
    return send.__self__.fileno()


def crash_when_sent(send: Any) -> None:
    while not send.__self__.closed:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGSEGV)


def work(argument: str, send: Any) -> None:
    """What the tasks of these tests do."""
    print(f"doing {argument}", flush=True)
    if argument == "raise":
        raise ValueError("no such luck")
    if argument == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "exit":
        os._exit(7)
    if argument == "exit unnoticed":
        os._exit(0)
    if argument == "sys.exit":
        sys.exit(0)
    if argument == "signal":
        os.kill(os.getpid(), UNNAMED_SIGNAL)
    if argument == "half a message":
        os.write(descriptor_of(send), struct.pack("!i", 1000) + b"the first few of them")
        os._exit(0)
    if argument == "no message":
        os.write(descriptor_of(send), struct.pack("!i", 4) + b"what")
    if argument == "crash after the end":
        threading.Thread(target=crash_when_sent, args=(send,), daemon=False).start()
    if argument == "never exit":
        threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    if argument == "helper":  # which holds every pipe of the process that started it
        helper = subprocess.Popen(["sleep", "600"], close_fds=False)
        send(helper.pid)
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "kill the fork server":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1)
    if argument == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(os.getpid())
        time.sleep(600)
    if argument == "compiled":  # holds the interpreter's lock for a minute
        send(os.getpid())
        ctypes.PyDLL(None).sleep(60)
    if argument == "print":
        for number in range(400_000):
            print(f"line {number} of a model that says everything")
    if argument == "long error":
        raise ValueError("\x1b[31m" + "what a long story " * 1_000_000)
    if argument == "semaphores":
        send([name for name in os.listdir("/dev/shm") if name.startswith("sem.") and f"-{os.getpid()}-" in name])
    if argument == "signals that the fork server does not hear":
        status = Path(f"/proc/{os.getppid()}/status").read_text().split()
        blocked = int(status[status.index("SigBlk:") + 1], 16)
        send([number.name for number in (signal.SIGINT, signal.SIGTERM) if blocked >> (number - 1) & 1])
    if argument == "sleep":
        send(os.getpid())
        time.sleep(60)
    send(f"{argument} sent")


def tasks(folder: Path, *arguments: str) -> list[Task]:
    return [
        Task(f"{number}-{argument}", argument, folder / f"{number}.txt") for number, argument in enumerate(arguments)
    ]


def outcomes(folder: Path, *arguments: str, workers: int = 1, timeout: Optional[float] = None) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for task, message in run_tasks(tasks(folder, *arguments), work, workers, 1, timeout):
        found.setdefault(task.argument, []).append(message)
    return found


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="named semaphores are files there on Linux alone")
def test_no_named_semaphore_would_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "semaphores")["semaphores"][0] == []


@pytest.mark.parametrize("workers", [1, 3])
def test_each_end_is_told_and_the_rest_go_on(tmp_path: Path, workers: int) -> None:
    found = outcomes(tmp_path, "raise", "kill", "exit", "fine", workers=workers)
    assert found["raise"] == [Ended("ValueError: no such luck")]
    assert found["kill"][0].error.startswith("its process was killed by SIGKILL (out of memory, or killed by hand)")
    assert found["exit"][0].error.startswith("its process ended with exit code 7")
    assert found["fine"] == ["fine sent", Ended(None)]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("sys.exit", "SystemExit: the model ended its process with exit code 0; the log says where"),
        ("exit unnoticed", "its process ended with exit code 0 before its work was done"),
        ("signal", f"its process was killed by signal {UNNAMED_SIGNAL}"),
        ("half a message", "its process ended with exit code 0 before its work was done"),
        ("no message", "it sent a message that cannot be read (UnpicklingError"),
    ],
)
def test_a_process_that_ends_without_having_done_its_work_has_failed(tmp_path: Path, what: str, error: str) -> None:
    found = outcomes(tmp_path, what, "fine")
    assert found[what][-1].error.startswith(error)
    assert found["fine"] == ["fine sent", Ended(None)]


@pytest.mark.parametrize("what", ["crash after the end", "never exit"])
def test_what_a_process_does_after_its_work_takes_nothing_from_it(tmp_path: Path, what: str) -> None:
    started = time.monotonic()
    assert outcomes(tmp_path, what, "fine", timeout=60) == {
        what: [f"{what} sent", Ended(None)],
        "fine": ["fine sent", Ended(None)],
    }
    assert time.monotonic() - started < 30


def test_a_helper_that_outlives_its_process_holds_nothing_up(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "helper", "fine")
    os.kill(found["helper"][0], signal.SIGKILL)
    assert found["helper"][1].error.startswith("its process was killed by SIGKILL")
    assert found["fine"] == ["fine sent", Ended(None)]


def test_a_killed_fork_server_costs_no_result_and_the_next_starts(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "kill the fork server", "fine")
    assert found["kill the fork server"] == ["kill the fork server sent", Ended(None)]
    assert found["fine"] == ["fine sent", Ended(None)]


@pytest.mark.parametrize("what", ["sleep", "deaf", "compiled"])
def test_a_process_is_ended_when_its_time_is_up(tmp_path: Path, what: str) -> None:
    started = time.monotonic()
    found = outcomes(tmp_path, what, "fine", timeout=8)
    assert found[what][1] == Ended("it was stopped after the 8 seconds that --timeout or --hours gave it")
    assert found["fine"] == ["fine sent", Ended(None)]
    assert gone(found[what][0])
    assert time.monotonic() - started < 50


def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    outcomes(tmp_path, "print")
    log = tmp_path / "0.txt"
    text = log.read_text()
    assert log.stat().st_size < HEAD_BYTES + TAIL_BYTES + 1000
    assert text.startswith("doing print\nline 0 of")
    assert text.endswith("line 399999 of a model that says everything\n")
    assert "bytes left out ...]" in text


def test_an_error_is_short_and_commands_no_terminal(tmp_path: Path) -> None:
    error = outcomes(tmp_path, "long error")["long error"][0].error
    assert error.startswith("ValueError: \\x1b[31mwhat a long story")
    assert len(error) < 1000


def test_output_and_traceback_are_in_the_log(tmp_path: Path) -> None:
    outcomes(tmp_path, "raise")
    log = (tmp_path / "0.txt").read_text()
    assert "doing raise" in log
    assert "Traceback" in log


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("what", ["sleep", "deaf", "compiled"])
def test_closing_stops_what_runs(tmp_path: Path, what: str) -> None:
    running = run_tasks(tasks(tmp_path, what), work, 1, threads=1)
    _, pid = next(running)
    assert psutil.pid_exists(pid)
    started = time.monotonic()
    running.close()
    assert gone(pid)
    assert time.monotonic() - started < 5


def test_a_second_interrupt_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_TERM_SECONDS", 60.0)
    running = run_tasks(tasks(tmp_path, "deaf"), work, 1, threads=1)
    _, pid = next(running)
    started = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        running.close()
    assert time.monotonic() - started < 20
    assert gone(pid)


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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what a process blocks")
def test_an_interrupt_does_not_reach_a_fork_server_that_is_starting(tmp_path: Path) -> None:
    argument = "signals that the fork server does not hear"
    done = subprocess.run([sys.executable, script(tmp_path, argument)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "['SIGINT']"


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script(tmp_path, "fine")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["script runs", "fine sent", "Ended(error=None)"]


@pytest.mark.parametrize("what", ["sleep", "compiled"])
def test_a_process_does_not_outlive_a_killed_parent(tmp_path: Path, what: str) -> None:
    parent = subprocess.Popen([sys.executable, script(tmp_path, what)], stdout=subprocess.PIPE, text=True)
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
