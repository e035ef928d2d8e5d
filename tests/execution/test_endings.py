"""However a model or the whole command ends: a row of its own, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.planted import planted_competition
from support.signals import heed_signals

from movierec_bench.data.atomic import write_atomic
from movierec_bench.execution.scratch import scratch_folder, sweep_scratch

BPR_HEAD = "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\n"
OURS = "catalog: {family: general, source: ours, trainer: closed_form, batches: none, history: rows}\n"
NEVER_DONE = """
import ctypes
import signal

from movierec_bench.recbole_backend.model_contract import HistoryModel


class NeverDone(HistoryModel):
    def fit_closed_form(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("in compiled code", flush=True)
        ctypes.PyDLL(None).sleep(600)
"""
# As RecBole ends the process for a loss that GRU4RecCPR does not know; the catalogue refuses that one beforehand.
LEAVES = """
import sys

from movierec_bench.recbole_backend.model_contract import HistoryModel


class Leaves(HistoryModel):
    def fit_closed_form(self):
        sys.exit(0)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a data set, a model whose fit never ends, and one that ends its process."""
    write_atomic(planted_competition(), tmp_path / "atomic_data", "planted")
    models = tmp_path / "configs" / "models"
    models.mkdir(parents=True)
    (models / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 100000\nstopping_step: 100000\nembedding_size: 8\n")
    (models / "NeverDone.yaml").write_text(OURS)
    (models / "Leaves.yaml").write_text(OURS)
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "neverdone.py").write_text(NEVER_DONE)
    (plugin / "leaves.py").write_text(LEAVES)
    (plugin / "sitecustomize.py").write_text(
        "import movierec_bench.models, pathlib\n"
        "movierec_bench.models.__path__.append(str(pathlib.Path(__file__).parent))\n"
    )
    (tmp_path / "tmp").mkdir()
    return tmp_path


def command(place: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(place / "plugin"), "TMPDIR": str(place / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-m", "movierec_bench", "run", "--configs", "configs", "--quiet", "--no-track", *arguments],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_signals,
    )


def board(place: Path) -> pd.DataFrame:
    return pd.read_csv(place / "runs" / "planted" / "leaderboard.csv").set_index("model")


def wait_until(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def log_says(place: Path, model: str, text: str) -> bool:
    return any(text in log.read_text(errors="replace") for log in (place / "runs").rglob(f"*{model}*/log.txt"))


def scratch_of(place: Path) -> list[str]:
    return [path.name for path in (place / "tmp").iterdir() if path.name.startswith(("movierec_bench-", "pymp-"))]


def processes_of(place: Path) -> Iterator[int]:
    """Processes with the place's TMPDIR in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={place / 'tmp'}".encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:
            continue


def test_a_model_that_ends_its_process_is_a_row_and_the_rest_are_complete(place: Path) -> None:
    running = command(place, "--models", "Leaves,Pop")
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 1, output
    rows = board(place)
    assert rows.loc["Leaves", "status"] == "failed"
    assert "SystemExit" in rows.loc["Leaves", "error"]
    assert rows.loc["Pop", "status"] == "done"


def test_a_model_whose_time_is_up_is_a_row_and_the_rest_are_complete(place: Path) -> None:
    running = command(place, "--models", "NeverDone,Pop", "--timeout", "5")
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 1, output
    rows = board(place)
    expected = "in fit: it was stopped after the 5 seconds that --timeout or --hours gave it"
    assert rows.loc["NeverDone", "error"].startswith(expected)
    assert rows.loc["Pop", "status"] == "done"
    assert not scratch_of(place)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc, which is Linux's")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGKILL, -9)],
)
def test_nothing_is_left_of_a_command_that_a_signal_ends(place: Path, number: int, code: int) -> None:
    running = command(place, "--models", "Pop,NeverDone")
    wait_until(lambda: log_says(place, "NeverDone", "in compiled code"))
    running.send_signal(number)
    output, _ = running.communicate(timeout=20)
    assert running.returncode == code, output
    assert "Traceback" not in output, output
    wait_until(lambda: not list(processes_of(place)), seconds=10)
    if number == signal.SIGKILL:
        again = command(place, "--models", "Pop")
        assert again.communicate(timeout=300) and again.returncode == 0
    assert not scratch_of(place)


def test_a_folder_for_temporary_files_may_be_deeper_than_a_sockets_path_may_be_long(place: Path) -> None:
    (place / "tmp").rename(place / ("deep" * 40))
    (place / "tmp").symlink_to("deep" * 40)
    deep = (place / "tmp").resolve()
    running = subprocess.run(
        [sys.executable, "-m", "movierec_bench", "run", "--models", "Pop", "--quiet", "--no-track", "--no-refit"],
        cwd=place,
        env={**os.environ, "TMPDIR": str(deep)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert running.returncode == 0, running.stdout + running.stderr
    assert not scratch_of(place)


def test_only_folders_of_processes_that_are_over_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as mine:
        (mine / "file").write_text("in use")
        host, process, began, _ = mine.name.removeprefix("movierec_bench-").split("-")
        dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
        swept = [
            f"movierec_bench-{host}-{int(dead.stdout)}-{began}-abc",
            f"movierec_bench-{host}-{process}-{int(began) - 5000}-abc",  # a process of before, with the same id
        ]
        left = ["movierec_bench-else_where-1-1-abc", "movierec_bench-short", "other", mine.name]
        for name in [*swept, *left[:-1]]:
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").touch()
        target = tmp_path / "target"
        target.mkdir()
        trap = tmp_path / swept[0].replace("abc", "link")
        trap.symlink_to(target)
        sweep_scratch()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*left, target.name, trap.name])
    assert not mine.exists()


def test_peak_memory_is_in_mebibytes_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from movierec_bench.execution import model_process

    class Usage:
        ru_maxrss = 3 * 2**20

    monkeypatch.setattr(resource, "getrusage", lambda who: Usage())
    monkeypatch.setattr(sys, "platform", "linux")
    assert model_process.peak_rss_mb() == 3 * 2**10
    monkeypatch.setattr(sys, "platform", "darwin")
    assert model_process.peak_rss_mb() == 3
