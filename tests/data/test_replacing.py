"""A folder is replaced whole, wherever the process that does it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.competition_files import write_competition
from support.planted import planted_competition

from movierec_bench.data.atomic import read_atomic, write_atomic
from movierec_bench.data.convert import convert
from movierec_bench.data.replacing import recover, recover_all, replaced_when_complete
from movierec_bench.errors import ConfigError
from movierec_bench.runs.opening import find_dataset

PROGRAM = """
import os, pathlib, shutil, signal, sys
from movierec_bench.data import replacing
target, kill_at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def counted(call):
    def counting(*args, **kwargs):
        global calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return counting
for owner, name in ((pathlib.Path, "rename"), (pathlib.Path, "mkdir"), (os, "fsync"), (os, "unlink"), (os, "rmdir")):
    setattr(owner, name, counted(getattr(owner, name)))
with replacing.replaced_when_complete(target) as folder:
    for name in "ab":
        (folder / name).write_text("new")
print(calls)
"""


def replace(target: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(target), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_old(target: Path) -> None:
    target.mkdir(parents=True)
    for name in "ab":
        (target / name).write_text("old")


def test_killed_at_any_call_the_folder_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    write_old(tmp_path / "whole" / "target")
    calls = int(replace(tmp_path / "whole" / "target", 0).stdout)
    found = set()
    for kill_at in range(1, calls + 1):
        target = tmp_path / str(kill_at) / "target"
        write_old(target)
        assert replace(target, kill_at).returncode == -signal.SIGKILL
        recover(target)
        assert os.listdir(target.parent) == ["target"]
        texts = {path.name: path.read_text() for path in target.iterdir()}
        assert texts in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"})
        found.add(texts["a"])
    assert calls > 8 and found == {"old", "new"}


def test_what_a_living_process_is_at_is_left_alone(tmp_path: Path) -> None:
    write_old(tmp_path / "target")
    with replaced_when_complete(tmp_path / "target") as fresh:
        (fresh / "a").write_text("new")
        recover_all(tmp_path)
        assert (fresh / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_of_a_link_the_folder_it_leads_to_is_replaced(tmp_path: Path) -> None:
    write_old(tmp_path / "disk" / "target")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "target")
    with replaced_when_complete(tmp_path / "link") as fresh:
        (fresh / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert [path.read_text() for path in (tmp_path / "disk" / "target").iterdir()] == ["new"]
    assert os.listdir(tmp_path / "disk") == ["target"]


@pytest.mark.parametrize("stamp", [f"{2**22 + 1}-0123456789ab", "0" * 32])
@pytest.mark.parametrize("read", [find_dataset, lambda out, name: read_atomic(out / name).folder])
def test_a_data_set_whose_conversion_was_killed_between_its_renames_is_found(
    tmp_path: Path, stamp: str, read: object
) -> None:
    folder = write_atomic(planted_competition(), tmp_path, "planted")
    data_hash = read_atomic(folder).data_hash
    folder.rename(tmp_path / f".planted.{stamp}.old")
    write_atomic(planted_competition(seed=1), tmp_path, "other").rename(tmp_path / f".other.{stamp}.new")
    assert read_atomic(read(tmp_path, "planted")).data_hash == data_hash  # type: ignore[operator]
    find_dataset(tmp_path, "planted")
    assert os.listdir(tmp_path) == ["planted"]


def test_convert_never_takes_the_place_of_a_run(tmp_path: Path) -> None:
    data = write_competition(tmp_path / "tiny")
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "manifest.json").write_text('{"dataset": "tiny", "run_id": "0"}')
    with pytest.raises(ConfigError, match="was not made by convert"):
        convert(data=data, out=tmp_path / "runs")
    assert (tmp_path / "runs" / "tiny" / "manifest.json").is_file()


def test_a_conversion_among_whose_files_somebody_has_put_one_is_not_replaced(tmp_path: Path) -> None:
    data = write_competition(tmp_path / "tiny")
    folder = convert(data=data, out=tmp_path / "atomic")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="atomic/tiny holds notes.txt, which was not made by convert"):
        convert(data=data, out=tmp_path / "atomic")
    (folder / "notes.txt").unlink()
    assert convert(data=data, out=tmp_path / "atomic") == folder
