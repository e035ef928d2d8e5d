"""What `make faults` tries, as much of it as fits here: everything killed at every change of a file, and odd files.

Each runs in a process of its own, which forks the library's commands from one that has imported everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the harness forks, which Windows cannot")
pytestmark = [
    pytest.mark.xdist_group("faults"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds what is left running in /proc, Linux's"),
]
ROOT = Path(__file__).parents[1]


def faults(report: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "faults", "--workers", "1", "--report", str(report), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},  # a fork loses kernels' threads
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("scene", "every"),
    [("convert", 1), ("run-fresh", 8), pytest.param("run-fresh", 1, marks=pytest.mark.slow)],  # all take minutes
)
def test_killed_at_any_moment_the_same_command_completes_it(scene: str, every: int, tmp_path: Path) -> None:
    text = faults(tmp_path / "table.md", "--kills", str(every), "--scenes", scene)
    assert "kill-all-before" in text


def test_changed_files_are_read_or_refused(tmp_path: Path) -> None:
    text = faults(tmp_path / "table.md", "--scenes", "fuzz", "--inputs", "700", "--seed", "3")
    assert "| all " in text


def test_a_case_is_repeated_by_its_seed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faults", "--workers", "1", "--repeat", "fuzz:status/0/0/3"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},  # a fork loses kernels' threads
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "fuzz:status/0/0/3: nothing is wrong", done.stderr[-2000:]
