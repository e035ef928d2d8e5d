"""What a result's folder holds once it has taken its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import _delete
from movierec_bench.runs.publishing import publish, seal
from movierec_bench.runs.records import FAILED, Status


def test_what_a_killed_process_was_writing_does_not_come_along(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    folder = run.model("Pop")
    write_text(folder.staged.log, "killed\n")
    (folder.staged.path / f".status.json.{2**22 + 1}-0123456789ab.tmp").write_text("{")
    seal(folder.staged, Status("Pop", FAILED, "rule", "ours", error="in fit: killed"))
    publish(run, folder)
    assert sorted(path.name for path in folder.path.iterdir()) == ["log.txt", "status.json"]


def test_deleting_goes_on_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    write_text(run.leaderboard("csv"), "place,model\n")
    write_text(run.model("Pop").log, "trained\n")
    real = shutil.rmtree

    def interrupted(path: Path, ignore_errors: bool = False) -> None:
        monkeypatch.setattr(shutil, "rmtree", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _delete(run)
    assert list(tmp_path.iterdir()) == []
