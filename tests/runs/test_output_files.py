"""Files that a user names for a command to write: never a folder, an input, a result of a run, or another kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.mix_runs import write_run

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.reports.report.build import report
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.output_files import check_output, has_columns

COLUMNS = ("user", "item", "rank")


def check(path: Path, *inputs: Path) -> None:
    check_output("--out", path, "table of recommendations", lambda file: has_columns(file, COLUMNS), inputs)


def test_nothing_there_an_earlier_one_or_an_empty_file_may_be_written(tmp_path: Path) -> None:
    check(tmp_path / "new.csv")
    check(tmp_path / "no such folder yet" / "new.csv")
    (tmp_path / "earlier.csv").write_text("user,item,rank\n1,2,1\n")
    check(tmp_path / "earlier.csv", tmp_path / "input.csv")
    (tmp_path / "earlier.csv").write_bytes(b"\xef\xbb\xbfuser,item,rank\r\n")
    check(tmp_path / "earlier.csv")
    (tmp_path / "empty.csv").touch()
    check(tmp_path / "empty.csv")


def test_folders_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ConfigError, match=f"--out {path} is no regular file; .*give another"):
            check(path)


@pytest.mark.parametrize("content", [b"title,year\nHeat,1995\n", b"user,item,rank,note\n", b"\x00\x01\xff" * 9, b"\n"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thesis.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"thesis\.csv is there and is no table of recommendations.*move it away"):
        check(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("how", ["same", "roundabout", "link", "hard link"])
def test_an_input_is_refused_by_whatever_name(tmp_path: Path, how: str) -> None:
    given, path = tmp_path / "a.csv", tmp_path / "other.csv"
    given.write_text("user,item,rank\n")
    if how == "same":
        path = given
    elif how == "roundabout":
        (tmp_path / "x").mkdir()
        path = tmp_path / "x" / ".." / "a.csv"
    elif how == "link":
        path.symlink_to(given)
    else:
        os.link(given, path)
    with pytest.raises(ConfigError, match="is an input of the same command, which would be overwritten"):
        check(path, given)


# -- the commands -------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path, users=30)


def test_a_mix_of_files_overwrites_neither_an_input_nor_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{user},{item}\n" for user in (1, 2) for item in range(10))
    for name in ("a", "b", "earlier"):
        (tmp_path / f"{name}.csv").write_text("user,item\n" + rows)
    (tmp_path / "answers.csv").write_text("user,item\n1,3\n1,4\n2,7\n")
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for options in ({"out": "a.csv"}, {"out": tmp_path / "b.csv"}, {"name": "a"}):
        with pytest.raises(ConfigError, match="is an input of the same command"):
            ensemble(files="a.csv,b.csv", **options)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"--out answers\.csv is there and is no submission"):
        ensemble(files="a.csv,b.csv", out="answers.csv")
    with pytest.raises(ConfigError, match="is no regular file"):
        ensemble(files="a.csv,b.csv", out=".")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    ensemble(files="a.csv,b.csv", out="earlier.csv")


def test_a_mix_of_files_takes_no_result_of_a_runs_place(run: RunFolder, tmp_path: Path) -> None:
    rows = "".join(f"{user},{item}\n" for user in (1, 2) for item in range(10))
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("user,item\n" + rows)
    name = run.models()[0].name
    run.submission(name).parent.mkdir(exist_ok=True)
    run.submission(name).write_text("user,item\n" + rows)
    with pytest.raises(ConfigError, match=f"is the submission of {name}, a model or mix of"):
        ensemble(files=f"{tmp_path}/a.csv,{tmp_path}/b.csv", out=run.submission(name))
    ensemble(files=f"{tmp_path}/a.csv,{tmp_path}/b.csv", out=run.submission("my mix"))


def test_a_list_of_users_overwrites_neither_the_one_it_was_told_by_nor_another_kind(
    run: RunFolder, tmp_path: Path
) -> None:
    leaderboard(run.path, by="length", users_out=tmp_path / "users.csv")
    leaderboard(run.path, by="length", users_out=tmp_path / "users.csv")
    before = (tmp_path / "users.csv").read_bytes()
    with pytest.raises(ConfigError, match="is an input of the same command"):
        leaderboard(run.path, by=str(tmp_path / "users.csv"), users_out=tmp_path / "users.csv")
    assert (tmp_path / "users.csv").read_bytes() == before
    board = run.leaderboard("csv")
    board.write_text("place,model\n")
    with pytest.raises(ConfigError, match=r"--users-out .*leaderboard\.csv is there and is no list of users"):
        leaderboard(run.path, by="length", users_out=board)
    assert board.read_text() == "place,model\n"
    leaderboard(run.path, by="good", users_out=tmp_path / "users.csv")


def test_a_report_overwrites_earlier_reports_alone(run: RunFolder, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text("1\n")
    for out in (users, tmp_path, tmp_path / "index.html"):
        (tmp_path / "index.html").write_text("<!DOCTYPE html>\n<title>My page</title>\n")
        with pytest.raises(ConfigError, match="--out"):
            report(run.path, out=out, users_file=users)
    assert users.read_text() == "1\n"
    page = report(run.path, out=tmp_path / "report.html")
    assert report(run.path, out=page) == page
