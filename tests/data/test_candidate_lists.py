"""Candidates that come with a split: the formats, what is stored of them, and what is refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.convert import convert
from movierec_bench.data.log_split import split_data
from movierec_bench.data.split import read_split, write_split
from movierec_bench.data.user_groups import UserGroup
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.settings.protocol import protocol_of

PLACES = [(0, 5), (0, 6), (0, 8), (1, 5), (1, 9), (1, 8)]
TRAIN = "".join(f"{user}\t{item}\t4\t{978300760 + n}\n" for n, (user, item) in enumerate(PLACES))
TEST = "0\t7\t5\t978300770\n1\t6\t4\t978300771\n"
NEGATIVE = "(0,7)\t9\t5\t9\n(1,6)\t7\n"
PAIRS = [(0, 5), (0, 7), (0, 9), (1, 6), (1, 7)]


def made(folder: Path, listed: str, name: str = "x.test.negative", train: str = TRAIN, test: str = TEST) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "x.train.rating").write_text(train)
    (folder / "x.test.rating").write_text(test)
    content = listed.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    files = {"train": folder / "x.train.rating", "test": folder / "x.test.rating", "candidates": folder / name}
    return convert(**files, name="x", out=folder / "out")


def pairs(rows: Any) -> list[tuple[Any, Any]]:
    return list(zip(rows["user"], rows["item"]))


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("x.test.negative", NEGATIVE),
        ("x.test.negative.gz", NEGATIVE),
        ("listed.csv", "user,item,label\n1,7,0\n0,9,0\n0,5,0\n0,7,1\n"),
        ("listed.tsv", "0\t9\n0\t5\n1\t7\n"),
        ("listed.txt", "0 9 5\n1 7 6\n"),
    ],
)
def test_formats(tmp_path: Path, name: str, listed: str) -> None:
    data = read_atomic(made(tmp_path, listed, name))
    assert data.candidates is not None and pairs(data.candidates) == PAIRS
    assert data.parts is not None and data.parts.tolist() == [0] * 6 + [2] * 2 and data.times == "dates"


def test_columns_are_named_for_every_file(tmp_path: Path) -> None:
    for name, rows in {"train": "a,5\na,6\nb,7", "test": "a,7", "listed": "a,5\na,7"}.items():
        (tmp_path / name).write_text(f"who,what\n{rows}\n")
    files = {"train": tmp_path / "train", "test": tmp_path / "test", "candidates": tmp_path / "listed"}
    data = read_atomic(convert(**files, columns="user=who,item=what", name="x", out=tmp_path / "out"))
    assert pairs(data.candidates) == [("a", 5), ("a", 7)]


def test_what_changes_nothing_or_cannot_rank_is_counted(tmp_path: Path) -> None:
    out = made(tmp_path, "user,item\n0,9\n0,9\n0,5\n1,7\n2,5\n", "listed.csv", train=TRAIN + "2\t5\t1\t978300766\n")
    assert pairs(read_atomic(out).candidates) == PAIRS
    manifest = json.loads((out / "manifest.json").read_text())
    assert {name: count for name, count in manifest["counts"].items() if name.startswith("candidates")} == {
        "candidates": 5,
        "candidates_repeated": 1,
        "candidates_of_users_without_test_rows": 1,
        "candidates_already_seen_and_so_never_ranked": 1,
    }
    assert manifest["found"]["files"]["candidates"] == "listed.csv"


def test_texts_and_numbers_of_one_file_are_one_kind(tmp_path: Path) -> None:
    train, test = (
        "user,item\nanna,5\nben,7\nanna,B9\nben,B9\nanna,8\nben,8\n1,5\n1,8\n1,B9\n",
        "user,item\n1,7\nanna,7\n",
    )
    data = read_atomic(made(tmp_path, "user,item\n1,5\n1,B9\nanna,5\n", "listed.csv", train, test))
    assert pairs(data.candidates) == [("1", "5"), ("1", "7"), ("1", "B9"), ("anna", "5"), ("anna", "7")]
    numbers = made(tmp_path / "n", "user,item\n1,5\n", "listed.csv", train, "user,item\n1,7\n")
    assert pairs(read_atomic(numbers).candidates) == [("1", "5"), ("1", "7")]


def test_the_split_has_them_under_given_alone(tmp_path: Path) -> None:
    data = read_atomic(made(tmp_path, NEGATIVE))
    split = split_data(data, replace(protocol_of(None, "given"), min_rows=1))
    write_split(split, tmp_path / "split")
    again = read_split(tmp_path / "split")
    assert pairs(again.candidates) == PAIRS
    assert pairs(again.only(UserGroup("one", data.vocabulary.users[1:])).candidates) == [(1, 6), (1, 7)]
    assert len(again.train) + len(again.valid) + len(again.test) == 8  # candidates are no rows
    assert split_data(data, replace(protocol_of(None, "random"), min_rows=1)).candidates is None
    pd.DataFrame({"user": [1]}).to_parquet(tmp_path / "split" / "candidates.parquet")
    with pytest.raises(DataError, match="candidates.parquet: found the columns user; expected user, item"):
        read_split(tmp_path / "split")


def test_other_candidates_are_other_data(tmp_path: Path) -> None:
    hashes = [read_atomic(made(tmp_path, listed)).data_hash for listed in (NEGATIVE, "(0,7)\t9\n(1,6)\t7\n")]
    assert hashes[0] != hashes[1]
    (tmp_path / "out" / "x" / "x.candidates").write_text("user_id:token\titem_id:token\n0\t5\n")
    with pytest.raises(DataError, match="x.candidates: is not what convert wrote"):
        read_atomic(tmp_path / "out" / "x")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("", "x.test.negative: is empty"),
        ("(0,7)\t9\n(1,6) 7\n", "x.test.negative line 2: is '.1,6. 7'; expected .user,item. and then items"),
        ("(0,7)\t9\n(1,6)\t7\t\t8\n", "x.test.negative line 2: is "),
        ("(0,7)\t9\n(1,5)\t7\n", r"\(1,5\) and 0 other pairs in brackets are not among the test rows"),
        ("(0,7)\t9\n", "lists no candidates of user 1, nor of 0 other users with test rows"),
        ("(0,7)\t99\n(1,6)\t7\n", r"item 99 is in no file of the split \(1 such candidates\); expected items"),
        ("(0,7)\tB9\n(1,6)\t7\n", "item B9 is in no file of the split"),
        ("(0,7)\t9\n(1,6)\t7\n(3,6)\t7\n", r"user 3 is in no file of the split \(2 such candidates\)"),
        ("user,film\n", "has column names but no rows"),
        ("who,what\n0,9\n", "line 1: no column has a usual name of the user"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, listed: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(tmp_path, listed)
    assert not (tmp_path / "out").exists()


def test_candidates_belong_to_a_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--candidates came without --train"):
        convert(candidates=tmp_path / "x", out=tmp_path)
    with pytest.raises(ConfigError, match="--data and --candidates were both given"):
        convert(data=tmp_path / "log", candidates=tmp_path / "x", out=tmp_path)
    (tmp_path / "log.csv").write_text("user,item\n1,2\n1,3\n")
    (tmp_path / "test.csv").write_text("user,item\n1,4\n")
    with pytest.raises(DataError, match=r"gone: cannot be read \(No such file"):
        convert(
            train=tmp_path / "log.csv", test=tmp_path / "test.csv", candidates=tmp_path / "gone", out=tmp_path / "out"
        )
