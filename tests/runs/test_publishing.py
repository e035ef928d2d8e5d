"""What a result's folder holds once it has taken its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.mix_runs import write_run

from movierec_bench.runs import publishing
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import _delete, held_run
from movierec_bench.runs.publishing import publish, seal
from movierec_bench.runs.records import FAILED, SUBMISSION, Status


def test_what_a_killed_process_was_writing_does_not_come_along(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    folder = run.model("Pop")
    write_text(folder.staged.log, "killed\n")
    (folder.staged.path / f".status.json.{2**22 + 1}-0123456789ab.tmp").write_text("{")
    seal(folder.staged, Status("Pop", FAILED, "rule", "ours", error="in fit: killed"))
    publish(run, folder)
    assert sorted(path.name for path in folder.path.iterdir()) == ["log.txt", "status.json"]


@pytest.mark.parametrize("place, name", [(Path, "rename"), (shutil, "rmtree")])
def test_deleting_goes_on_after_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    run = RunFolder(tmp_path)
    write_text(run.leaderboard("csv"), "place,model\n")
    write_text(run.model("Pop").log, "trained\n")
    contents = run.contents()

    def interrupted(*args: object, **kwargs: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(place, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        _delete(contents, run)
    assert not run.deleted.exists()
    assert sorted(tmp_path.iterdir()) == (sorted(contents) if name == "rename" else [])


def test_whoever_holds_a_run_first_puts_right_what_a_killed_command_left(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    complete = run.model("Even")
    complete.path.rename(complete.staged.path)
    torn = run.path / f".leaderboard.csv.{2**22 + 1}.tmp"  # the number of no process
    torn.touch()
    with held_run(run):
        assert complete.finished()
        assert not torn.exists()


def test_a_power_cut_cannot_take_the_folder_of_submissions_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path)
    folder = run.model("Pop")
    write_text(folder.staged.path / SUBMISSION, "user,item\n")
    seal(folder.staged, Status("Pop", FAILED, "rule", "ours", error="in fit: killed"))
    on_disk: list[tuple[Path, list[Path]]] = []
    monkeypatch.setattr(publishing, "sync_folder", lambda path: on_disk.append((path, sorted(path.iterdir()))))
    publish(run, folder)
    submissions = run.submission("Pop").parent
    assert (run.path, [run.path / "models", submissions]) in on_disk[
        : on_disk.index((submissions, [run.submission("Pop")]))
    ]
