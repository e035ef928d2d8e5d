"""Mixes of submission files: votes and concatenations by hand, and files that are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.mix_runs import write_run

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.mixing.files import FileMix
from movierec_bench.reports.score import score

A = {1: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2: [30, 29, 28, 27, 26, 25, 24, 23, 22, 21]}
B = {1: [11, 2, 13, 4, 15, 6, 17, 8, 19, 20], 2: [30, 31, 32, 33, 34, 35, 36, 37, 38, 39]}
C = {1: [2, 11, 21, 22, 23, 24, 25, 26, 27, 28], 2: [39, 38, 37, 36, 35, 34, 33, 32, 31, 30]}


def write(path: Path, lists: dict[Any, list[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{user},{item}" for user, items in lists.items() for item in items]
    path.write_text("user,item\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{name}.csv", lists) for name, lists in (("a", A), ("b", B), ("c", C))]


def mixed(files: list[Path], out: Path, **options: Any) -> dict[Any, list[Any]]:
    made = ensemble(files=files, out=out, **options)
    assert isinstance(made, FileMix) and made.submission == out
    return pd.read_csv(out).groupby("user")["item"].apply(list).to_dict()


def test_a_vote_by_hand(files: list[Path], tmp_path: Path) -> None:
    """Movie 2 has three votes, 4, 6, 8 and 11 have two; of equal votes the better rank, then the smaller id."""
    found = mixed(files, tmp_path / "out.csv", method="vote")
    assert found[1] == [2, 11, 4, 6, 8, 1, 3, 13, 21, 22]
    assert found[2][0] == 30  # three votes
    assert set(found[2][1:]) == {*range(31, 40)}  # two votes each


def test_rank_weights_by_hand(files: list[Path], tmp_path: Path) -> None:
    """Points (20 - rank) / 20, the first file's twice: of user 1, movie 2 has 2 * .9 + .9 + .95."""
    points = dict.fromkeys(range(1, 40), 0.0)
    for weight, lists in ((2, A), (1, B), (1, C)):
        for rank, item in enumerate(lists[1], start=1):
            points[item] += weight * (20 - rank) / 20
    expected = sorted(points, key=lambda item: (-round(points[item], 9), item))[:10]
    assert mixed(files, tmp_path / "out.csv", weights="2,1,1")[1] == expected
    assert mixed(files, tmp_path / "out.csv", weights="a=2,b=1,c=1", rule="linear")[1] == expected
    assert expected[0] == 2


def test_a_concatenation_by_hand(files: list[Path], tmp_path: Path) -> None:
    found = mixed(files[:2], tmp_path / "out.csv", method="concat", firsts="3,4")
    assert found == {1: [1, 2, 3, 11, 13, 4, 15, 5, 6, 7], 2: [30, 29, 28, 31, 32, 33, 34, 27, 26, 25]}


def test_users_may_come_in_any_order_and_ids_may_be_texts(tmp_path: Path) -> None:
    one = {f"u{user}": [f"m{item}" for item in items] for user, items in A.items()}
    other = {f"u{user}": [f"m{item}" for item in B[user]] for user in (2, 1)}
    paths = [write(tmp_path / "x" / "s.csv", one), write(tmp_path / "y" / "s.csv", other)]
    made = ensemble(files=",".join(map(str, paths)), rule="vote", out=tmp_path / "out.csv")
    assert isinstance(made, FileMix)
    assert made.users == 2 and made.shared == (4 + 1) / 2
    rows = pd.read_csv(tmp_path / "out.csv")
    assert rows["user"].tolist() == ["u1"] * 10 + ["u2"] * 10
    assert set(rows["item"][:4]) == {"m2", "m4", "m6", "m8"}
    assert str(paths[0]) in made.describe() and "not checked without a run" in made.describe()
    assert score(tmp_path / "out.csv").users == 2


def test_with_a_run_files_are_checked_against_its_data_and_join_its_submissions(tmp_path: Path) -> None:
    run = write_run(tmp_path, users=40)
    ensemble(run.path, method="vote", name="one")
    ensemble(run.path, method="rrf", models="Weak,Odd", name="two")
    ours = [run.submission("one"), run.submission("two")]
    made = ensemble(run.path, files=ours, rule="rrf")
    assert isinstance(made, FileMix)
    assert made.submission == run.submission("files")
    assert "not checked" not in made.describe()
    assert score(made.submission, dataset="planted", atomic=tmp_path / "atomic").unchecked == ()
    assert not run.ensemble("files").path.exists()

    rows = pd.read_csv(ours[0])
    user = int(rows["user"].iat[0])
    seen = pd.read_parquet(run.split / "train.parquet").query("user == @user")["item"]
    rows.loc[0, "item"] = next(item for item in seen if item not in set(rows["item"][:10]))
    spoiled = tmp_path / "spoiled.csv"
    rows.to_csv(spoiled, index=False)
    with pytest.raises(DataError, match=f"spoiled.csv line 2: user {user} has already seen"):
        ensemble(run.path, files=[spoiled, ours[1]])
    with pytest.raises(ConfigError, match="one is a model or mix of"):
        ensemble(run.path, files=ours, name="one")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({1: A[1]}, "user 2 is in a.csv and not in d.csv"),
        ({**A, 3: A[1]}, "user 3 is in d.csv and not in a.csv"),
        ({1: A[1], 2: A[2][:9]}, "d.csv line .*user 2"),
        ({1: A[1], 2: [*A[2][:9], 30]}, "d.csv line .*30"),
        ({"x": A[1], "y": A[2]}, "users are such as 'x'"),
    ],
)
def test_files_that_are_no_submissions_of_the_same_data(
    files: list[Path], tmp_path: Path, changes: dict[Any, list[Any]], message: str
) -> None:
    odd = write(tmp_path / "d.csv", changes)
    with pytest.raises(DataError, match=message):
        ensemble(files=[files[0], odd], out=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": "a.csv"}, "expected at least two different"),
        ({"files": "a.csv,./a.csv"}, "expected at least two different"),
        ({"method": "minmax"}, "method is 'minmax'; expected one of vote, linear, tail, log2, rrf, concat"),
        ({"method": "auto"}, "method is 'auto'"),
        ({"method": "vote", "rule": "rrf"}, "expected one of them"),
        ({"method": "vote", "firsts": "5,5"}, "firsts means nothing for method 'vote'"),
        ({"rule": "vote", "rrf_k": 10}, "rrf_k means nothing"),
        ({"weights": "1,2"}, "there are 2 weights for 3 models"),
        ({"models": "EASE"}, "models mean nothing with files"),
        ({"name": "a/b"}, "name is 'a/b'"),
        ({"files": None, "out": None}, "no run was given"),
        ({"files": None, "run": "runs/x"}, "--out says where a mix of files goes"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        ensemble(**{"files": files, "out": "out.csv", **options})
    assert not Path("out.csv").exists()


def test_the_command(files: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "movierec_bench", "ensemble", "--files", "a.csv,b.csv,c.csv", "--rule", "rrf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "submission: files.csv" in done.stdout
    assert len(pd.read_csv(tmp_path / "files.csv")) == 20
    assert np.isin(pd.read_csv(tmp_path / "files.csv")["item"][:10], range(1, 30)).all()
