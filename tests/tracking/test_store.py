"""A database of MLflow's is whole or not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.mix_runs import ORACLES, write_run

from movierec_bench.runs.files import sweep
from movierec_bench.tracking import store
from movierec_bench.tracking.store import open_store
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
    made = {path.name for path in run.path.parent.iterdir() if "mlflow.db" in path.name}
    assert made == {"mlflow.db", ".mlflow.db.lock"}


@pytest.mark.xdist_group("mlflow")
def test_a_store_that_another_process_made_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, theirs = tmp_path / "mlflow.db", tmp_path / "theirs.db"
    uri = f"sqlite:///{path}"
    made = open_store(f"sqlite:///{theirs}").create_experiment("theirs")

    @contextmanager
    def waiting(*args: object) -> Iterator[None]:
        theirs.rename(path)
        yield

    monkeypatch.setattr(store, "locked", waiting)
    assert open_store(uri).get_experiment(made).name == "theirs"


def test_what_an_ended_process_was_making_is_swept_with_sqlites_journal(tmp_path: Path) -> None:
    stamp = f"{2**22 + 1}-0123456789ab"  # the number of no process
    for name in (f".mlflow.db.{stamp}.tmp", f".mlflow.db.{stamp}.tmp-journal", "mlflow.db"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
