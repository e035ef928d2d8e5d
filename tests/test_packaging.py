"""A wheel holds everything: installed into an empty folder of its own, it converts and runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from support.planted import ROOT

pytestmark = pytest.mark.xdist_group("packaging")  # one process, so that the wheel is built once


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: pip builds inside the source tree, where another build may have left files or be at work."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("movierec_bench", "recbole_configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    return next(built.glob("*.whl"))


def test_the_wheel_ships_every_configuration_and_template(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for path in [*(ROOT / "recbole_configs").rglob("*.yaml"), *(ROOT / "movierec_bench").rglob("*.py")]:
        assert path.relative_to(ROOT).as_posix().replace("recbole_configs", "movierec_bench/recbole_configs") in shipped
    for path in (ROOT / "movierec_bench").glob("*/templates/*.*"):
        assert path.relative_to(ROOT).as_posix() in shipped


def test_it_runs_from_an_installed_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import movierec_bench.settings.catalog as c; print(c.__file__); print(c.packaged_configs())")
    assert all(line.startswith(str(site)) for line in where.splitlines()), "the installed package is the one tested"
    run("-m", "movierec_bench", "convert")
    run("-m", "movierec_bench", "run", "--models", "rule")
    board = pd.read_csv(folder / "runs" / "ml-100k" / "leaderboard.csv")
    assert (board["status"] == "done").all()
    assert len(board) >= 4
