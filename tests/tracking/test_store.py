"""A database of MLflow's is whole or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.mix_runs import ORACLES, write_run

from movierec_bench.runs.files import made_once
from movierec_bench.tracking.tracker import track

KILLED = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from movierec_bench.runs.folder import RunFolder
from movierec_bench.tracking.upload import upload

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):  # in the middle of MLflow's migrations
    if "CREATE TABLE entity_associations" in statement:
        os._exit(9)

upload(RunFolder(Path(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.xdist_group("mlflow")
def test_a_store_whose_making_was_killed_is_made_by_the_next_upload(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    database = run.path.parent / "mlflow.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, run.path, f"sqlite:///{database}"], check=False)
    assert killed.returncode == 9
    assert set(track(run.path).uploaded) == set(ORACLES)
    assert [path.name for path in run.path.parent.iterdir() if "mlflow.db" in path.name] == ["mlflow.db"]


def test_a_file_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with made_once(tmp_path / "store") as begun:
            begun.write_text(text)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("store", "first")]


def test_a_disk_without_links_gets_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(source))

    monkeypatch.setattr("os.link", refuse)
    for text in ("first", "second"):
        with made_once(tmp_path / "store") as begun:
            begun.write_text(text)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("store", "first")]


def test_nothing_is_left_of_what_broke_off(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), made_once(tmp_path / "store") as begun:
        begun.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
