"""`eda` as a user runs it: a subprocess in an empty folder; what it leaves there, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.mix_runs import add_model, make_run

import movierec_bench as mb
from movierec_bench.data.atomic import AtomicData
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.eda.numbers import judged


def bench(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "movierec_bench", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done
