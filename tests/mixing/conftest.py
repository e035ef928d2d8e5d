"""Fixtures of the tests of mixes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.mix_runs import write_run

from movierec_bench.runs.folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("ensemble"))


@pytest.fixture
def copy(run: RunFolder, tmp_path: Path) -> RunFolder:
    """The run without mixes, to be spoiled."""
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("ensembles", "submissions"))
    return RunFolder(tmp_path / "run")
