"""What a result's folder holds once it has taken its place."""

from __future__ import annotations

from pathlib import Path

from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
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
