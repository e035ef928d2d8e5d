"""Fixtures of the tests of runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.finished_runs import atomic, go


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    atomic(folder)
    go(folder, "Pop,EASE,Random")
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"
