"""A wheel holds everything: installed into an empty folder of its own, it converts and runs."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from support.markdown_blocks import blocks_of
from support.planted import ROOT

BUILT_OF = ("setup.py", "setup.cfg", "requirements-dev.txt", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.xdist_group("packaging")  # one process, so that the wheel is built once


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return built_wheel(copied_source(folder / "source"), folder)


def copied_source(folder: Path) -> Path:
    """What a wheel is built of. A copy: pip builds inside the source tree, where another build may be at work."""
    folder.mkdir()
    for name in BUILT_OF:
        shutil.copy(ROOT / name, folder)
    for name in ("movierec_bench", "recbole_configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def built_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a source tree, in ``folder``."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_ships_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    folders = {"movierec_bench": "movierec_bench", "recbole_configs": "movierec_bench/recbole_configs"}
    expected = {
        f"{inside}/{path.relative_to(ROOT / name).as_posix()}"
        for name, inside in folders.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == expected


def test_a_new_subpackage_is_shipped_though_nothing_lists_it(tmp_path: Path) -> None:
    """Also one two folders deep, which a list in setup.cfg lacked once."""
    source = copied_source(tmp_path / "source")
    added = ["movierec_bench/reports/new/deep/thing.py", "recbole_configs/new/Thing.yaml"]
    for name in added:
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text("# new", encoding="utf-8")
    shipped = zipfile.ZipFile(built_wheel(source, tmp_path)).namelist()
    assert {added[0], f"movierec_bench/{added[1]}"} <= set(shipped)


def test_the_docker_image_gets_what_a_wheel_is_built_of() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}
    assert copied == {*BUILT_OF, "constraints.txt", "movierec_bench", "recbole_configs"}
    assert all((ROOT / source).exists() for source in copied)
    assert any("--no-deps recbole==1.2.1" in line for line in lines)


def test_numpy2s_requirements_are_setup_cfgs_for_python_3_12() -> None:
    settings = configparser.ConfigParser(inline_comment_prefixes=("#",))
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    stated = [Requirement(line) for line in settings["options"]["install_requires"].split("\n") if line]
    linux = {"python_version": "3.12", "sys_platform": "linux"}
    needed = {(each.name, str(each.specifier)) for each in stated if not each.marker or each.marker.evaluate(linux)}
    lines = (ROOT / "requirements-numpy2.txt").read_text(encoding="utf-8").splitlines()
    listed = [Requirement(line) for line in lines if not line.startswith("#")]
    assert needed == {
        (each.name, str(each.specifier)) for each in listed if not each.marker or each.marker.evaluate(linux)
    }


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
    skipped = board.loc[board["status"] == "skipped", "error"]  # ml-100k has no directors and writers
    assert skipped.str.startswith("needs ").all()
    assert (board["status"] == "done").sum() == len(board) - len(skipped) >= 4
    models = folder / "mine" / "models"
    models.mkdir(parents=True)
    for block in blocks_of(ROOT / "docs" / "how-to" / "add-a-model.md"):
        if block.file.startswith("my_models/models/Shortest."):
            (models / Path(block.file).name).write_text(block.text, encoding="utf-8")
    (models / "Shorter.yaml").write_text("base: Shortest\nweight: 2.0\n", encoding="utf-8")
    run("-m", "movierec_bench", "run", "--models", "Shortest,Shorter", "--configs", "mine")
    board = pd.read_csv(folder / "runs" / "ml-100k" / "leaderboard.csv").set_index("model")
    assert board.loc[["Shortest", "Shorter"], "status"].eq("done").all()
    assert (folder / "runs" / "ml-100k" / "submissions" / "Shortest.csv").is_file()
