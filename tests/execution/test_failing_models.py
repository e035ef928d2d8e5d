"""Models that fail, are killed or are stopped: each is a row, and the rest are complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from support.signals import heed_signals
from support.small_runs import BPR_HEAD, CRASHING, atomic, go, small_configs

from movierec_bench.runs.folder import RunFolder


def failing_run(folder: Path, what: str) -> pd.DataFrame:
    """Run a model of a plugged-in module that fails as told, between two that work."""
    plugin = folder / "plugin"
    plugin.mkdir()
    (plugin / "sitecustomize.py").write_text(
        "import movierec_bench.models, pathlib\n"
        "movierec_bench.models.__path__.append(str(pathlib.Path(__file__).parent))\n"
    )
    (plugin / "crashing.py").write_text(CRASHING.format(what=what))
    atomic(folder)
    configs = small_configs(
        folder,
        Crashing="catalog: {family: general, source: ours, trainer: closed_form, batches: none, history: rows}\n",
    )
    script = folder / "script.py"
    script.write_text(
        "import movierec_bench as mb\n"
        f"mb.run('Pop,Crashing,Random', atomic={str(folder / 'atomic_data')!r}, out={str(folder / 'runs')!r},"
        f" configs={str(configs)!r}, quiet=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(plugin)}
    subprocess.run([sys.executable, script], env=environment, check=True, capture_output=True)
    return pd.read_csv(folder / "runs" / "planted" / "leaderboard.csv").set_index("model")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raise MemoryError('no more')", "in fit: MemoryError: no more"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "in fit: its process was killed by SIGKILL"),
        ("import os; os._exit(3)", "in fit: its process ended with exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "in fit: its process was killed by SIGSEGV"),
    ],
)
def test_a_failing_model_is_a_row_and_the_rest_are_complete(tmp_path: Path, what: str, reason: str) -> None:
    board = failing_run(tmp_path, what)
    assert board.loc["Crashing", "status"] == "failed"
    assert board.loc["Crashing", "error"].startswith(reason)
    assert board.loc[["Pop", "Random"], "status"].tolist() == ["done", "done"]
    assert (tmp_path / "runs" / "planted" / "models" / "Crashing" / "log.txt").is_file()


def test_killed_while_a_model_trains_it_goes_on_from_there(tmp_path: Path) -> None:
    """kill -9 of the whole command: what was finished stays, the rest is done by running again."""
    atomic(tmp_path)
    configs = small_configs(tmp_path)
    (configs / "models" / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 100000\nstopping_step: 100000\n")
    command = [sys.executable, "-m", "movierec_bench", "run", "--models", "BPR,Pop", "--configs", str(configs)]
    process = subprocess.Popen(
        [*command, "--workers", "2"], cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    run_folder = RunFolder(tmp_path / "runs" / "planted")
    wait_for(lambda: run_folder.leaderboard("csv").is_file() and run_folder.submission("Pop").is_file())
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    before = ended_at_or_none(run_folder, "Pop")
    go(tmp_path, "Pop,BPR")
    assert ended_at_or_none(run_folder, "Pop") == before
    assert run_folder.model("BPR").read_status().state == "done"


def ended_at_or_none(run_folder: RunFolder, model: str) -> float:
    return run_folder.model(model).per_user.stat().st_mtime_ns


def wait_for(condition: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    atomic(tmp_path)
    configs = small_configs(tmp_path)
    (configs / "models" / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 100000\nstopping_step: 100000\n")
    command = [sys.executable, "-m", "movierec_bench", "run", "--models", "BPR", "--configs", str(configs)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    )
    assert process.stderr is not None
    while "epoch 2" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "running again goes on from there" in output
    assert "Traceback" not in errors
