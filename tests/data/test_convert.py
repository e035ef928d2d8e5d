"""Any log of users and items converts: every format by a tiny file, with the tables it must give."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.competition_files import write_competition

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.convert import convert
from movierec_bench.errors import BenchError, ConfigError, DataError
from movierec_bench.schema import GENRE, ITEM, TITLE, YEAR

RATINGS = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,9,3.0,1260759179\n2,31,4.0,835355493\n"
ROWS = [[1, 31, 1260759144], [1, 9, 1260759179], [2, 31, 835355493]]


def converted(folder: Path, name: str, content: Any, **wishes: Any) -> tuple[list[list[Any]], dict[str, Any]]:
    """The rows and the manifest that a file of this content converts to."""
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    out = convert(data=path, name="x", out=folder / "out", **wishes)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return read_atomic(out).interactions.to_numpy().tolist(), manifest


@pytest.mark.parametrize(
    ("name", "content", "columns", "rows", "times"),
    [
        ("a.csv", RATINGS, None, ROWS, "dates"),
        ("a.tsv", RATINGS.replace(",", "\t"), None, ROWS, "dates"),
        ("a.csv", RATINGS.replace(",", ";"), None, ROWS, "dates"),
        ("a.csv", b"\xef\xbb\xbf" + RATINGS.replace("\n", "\r\n").encode(), None, ROWS, "dates"),
        ("a.csv.gz", gzip.compress(RATINGS.encode(), mtime=0), None, ROWS, "dates"),
        ("a.csv", RATINGS.replace("userId", "USER-ID").replace("movieId", "Item"), None, ROWS, "dates"),
        ("a.csv", RATINGS.replace("9,3.0,1260759179", "9,3.0,1260759179.9"), None, ROWS, "dates"),
        (
            "a.csv",
            "user,item,time\n1,2,1230782529000\n1,3,1230782530999\n",
            None,
            [[1, 2, 1230782529], [1, 3, 1230782530]],
            "dates",
        ),
        (
            "a.csv",
            "who,what,when\na,b,2009-01-01\nb,c,2009-01-02 03:04:05\nc,d,2010-01-01T00:00:00.25\n",
            "user=who,item=what,time=when",
            [["a", "b", 1230768000], ["b", "c", 1230865445], ["c", "d", 1262304000]],
            "dates",
        ),
        (
            "a.csv",
            "user,item,date\na,b,2009-01-01T00:00:00Z\na,c,2009-01-01T00:00:00+02:00\n",
            None,
            [["a", "b", 1230768000], ["a", "c", 1230760800]],
            "dates",
        ),
        ("a.csv", "user,item\n1,2\n2,2\n", None, [[1, 2, 0], [2, 2, 0]], "none"),
        ("a.csv", "user,item,time\n1,2,5\n", "time=", [[1, 2, 0]], "none"),
        ("a.csv", "user,item,time\n1,2,1\n1,3,2\n", None, [[1, 2, 1], [1, 3, 2]], "positions"),
        ("a.csv", "A1,B0,5.0,1230782529\nA2,0001,1.0,1230782530\n", None, None, "dates"),
        ("a.csv", "1,2\n2,2\n", None, [[1, 2, 0], [2, 2, 0]], "none"),
        ("a.csv", "1,2,4.5\n2,2,3\n", None, [[1, 2, 0], [2, 2, 0]], "none"),
        ("a.csv", "1,2,1230782529\n", None, [[1, 2, 1230782529]], "dates"),
        ("a.csv", "1230782529,7,8\n", "user=3,item=2,time=1", [[8, 7, 1230782529]], "dates"),
        ("ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n", None, None, "dates"),
        ("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n", None, None, "dates"),
        ("s.txt", "u1 a b c\n\nu2 b\nu3\nu1 d\n", None, None, "positions"),
        ("s.txt", "1 5 4\n2 4\n", "time=", [[1, 5, 0], [1, 4, 0], [2, 4, 0]], "none"),
        ("p.txt", "1 1\n1 2\n2 1\n", None, [[1, 1, 0], [1, 2, 0], [2, 1, 0]], "none"),
    ],
)
def test_a_file_of_rows(
    tmp_path: Path, name: str, content: Any, columns: Optional[str], rows: Optional[list[list[Any]]], times: str
) -> None:
    expected = {
        "ratings.dat": [[1, 1193, 978300760], [1, 661, 978302109]],
        "u.data": [[196, 242, 881250949], [186, 302, 891717742]],
        "s.txt": [["u1", "a", 1], ["u1", "b", 2], ["u1", "c", 3], ["u2", "b", 1], ["u1", "d", 4]],
        "a.csv": [["A1", "B0", 1230782529], ["A2", "0001", 1230782530]],
    }
    found, manifest = converted(tmp_path, name, content, columns=columns)
    assert found == (rows or expected[name])
    assert manifest["times"] == times


def test_a_file_of_sequences_may_begin_with_users_without_items(tmp_path: Path) -> None:
    rows, manifest = converted(tmp_path, "test.txt", "7\n3\n0 4 5\n1\n2 5\n")
    assert [row[:2] for row in rows] == [[0, 4], [0, 5], [2, 5]]
    assert manifest["counts"]["lines_of_users_without_items"] == 3


def test_a_zip_of_one_file_and_of_a_release(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("notes.md", "read me")
        archive.writestr("deep/log.csv", RATINGS)
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("__MACOSX/._ratings.csv", "junk")
        archive.writestr("ml/ratings.csv", RATINGS)
        archive.writestr(
            "ml/movies.csv", 'movieId,title,genres\n31,"Dangerous Minds, (1995)",Drama|Action\n9,X,Drama\n'
        )
    one = read_atomic(convert(data=tmp_path / "one.zip", out=tmp_path / "out"))
    release = read_atomic(convert(data=tmp_path / "ml.zip", out=tmp_path / "out"))
    assert one.name == "one" and one.interactions.to_numpy().tolist() == ROWS
    assert release.movies[TITLE].tolist() == ["X", "Dangerous Minds, (1995)"]
    assert release.movies[GENRE].tolist() == [("Drama",), ("Action", "Drama")]


def test_a_zip_of_a_recbole_folder_has_its_movies(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.inter").write_text(
        "timestamp:float\titem_id:token\tuser_id:token\n1230782529\tm1\tu1\n1230782530\tm2\tu1\n"
    )
    (tmp_path / "shop" / "shop.item").write_text(
        "class:token_seq\titem_id:token\tmovie_title:token_seq\nDrama Comedy\tm1\tHeat\n\tm2\tAmélie\n",
        encoding="utf-8",
    )
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        for path in (tmp_path / "shop").iterdir():
            archive.write(path, f"download/{path.name}")
    folder = convert(data=tmp_path / "shop", out=tmp_path / "of_folder")
    packed = convert(data=tmp_path / "shop.zip", out=tmp_path / "of_zip")
    movies = read_atomic(packed).movies
    assert movies[TITLE].tolist() == ["Heat", "Amélie"] and movies[GENRE].tolist() == [("Comedy", "Drama"), ()]
    assert (packed / "shop.item").read_bytes() == (folder / "shop.item").read_bytes()
    assert (packed / "shop.inter").read_bytes() == (folder / "shop.inter").read_bytes()


def test_an_empty_zip_is_told(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with pytest.raises(DataError, match=r"empty\.zip: holds no file; expected one file of rows"):
        convert(data=tmp_path / "empty.zip", out=tmp_path / "out")


def test_movielens_releases(tmp_path: Path) -> None:
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n9,Sudden Death (1995),Action\n31,Amélie (2001),(no genres listed)\n"
        '50,"Never, Rated (1999)",Comedy|Drama\n',
        encoding="utf-8",
    )
    data = read_atomic(convert(data=folder, out=tmp_path / "out"))
    assert data.interactions.to_numpy().tolist() == ROWS
    assert data.movies[ITEM].tolist() == [9, 31, 50]
    assert data.movies[YEAR].tolist() == [1995, 2001, 1999]
    assert data.movies[GENRE].tolist() == [("Action",), (), ("Comedy", "Drama")]
    assert data.lacking == ("creators",)

    old = tmp_path / "old"
    old.mkdir()
    (old / "ratings.dat").write_text("1::9::5::978300760\n")
    (old / "movies.dat").write_bytes("9::Am\xe9lie (2001)::Comedy|Romance\n".encode("latin-1"))
    movies = read_atomic(convert(data=old, out=tmp_path / "out")).movies
    assert movies[TITLE].tolist() == ["Amélie (2001)"] and movies[GENRE].tolist() == [("Comedy", "Romance")]

    oldest = tmp_path / "oldest"
    oldest.mkdir()
    flags = ["0"] * 19
    flags[1] = flags[5] = "1"
    (oldest / "u.data").write_text("1\t9\t5\t881250949\n")
    (oldest / "u.item").write_bytes(f"9|GoldenEye (1995)|01-Jan-1995||http://x|{'|'.join(flags)}\n".encode("latin-1"))
    movies = read_atomic(convert(data=oldest, out=tmp_path / "out")).movies
    assert movies[GENRE].tolist() == [("Action", "Comedy")] and movies[YEAR].tolist() == [1995]


def test_a_recbole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu%1\tB0\t5\t8.8e8\nu2\tB1\t1\t881250949\n"
    )
    (folder / "shop.item").write_text("item_id:token\ttitle:token_seq\tyear:float\nB0\tA thing\t1999\n")
    data = read_atomic(convert(data=folder, out=tmp_path / "out", min_rating=2))
    assert data.interactions.to_numpy().tolist() == [["u%1", "B0", 880000000]]
    assert data.movies[TITLE].tolist() == ["A thing"]


def test_thresholds_in_their_order(tmp_path: Path) -> None:
    # a and b have two rows of 3 or more each only with item y, which has two; c's row of 1 goes first
    log = "user,item,rating\na,x,4\na,x,5\na,y,3\nb,y,4\nb,z,1\nb,x,5\nc,x,1\nc,y,5\nd,w,5\nd,q,5\n"
    found, manifest = converted(tmp_path, "a.csv", log, min_rating=3, min_rows=2, min_item_rows=2)
    assert [row[:2] for row in found] == [["a", "x"], ["a", "y"], ["b", "y"], ["b", "x"]]
    counts = manifest["counts"]
    assert counts["rows_rated_too_low"] == 2 and counts["rating_rows_repeated"] == 1
    assert (counts["rows_below_thresholds"], counts["users_below_thresholds"], counts["movies_below_thresholds"]) == (
        3,
        2,
        2,
    )
    assert manifest["found"]["thresholds"] == {"min_rating": 3, "min_rows": 2, "min_item_rows": 2}


def test_thresholds_on_a_competition_and_on_recboles_own_data(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "tiny")
    data = read_atomic(convert(data=folder, out=tmp_path / "out", min_item_rows=2))
    assert sorted(set(data.interactions[ITEM])) == data.movies[ITEM].tolist() == [3, 5, 9]
    with pytest.raises(ConfigError, match="--min-rating: tiny holds no ratings"):
        convert(data=folder, out=tmp_path / "out", min_rating=3)
    liked = convert(out=tmp_path / "out", min_rating=4)
    assert len(read_atomic(liked).interactions) == 55_375  # of 100,000 rows those of 4 and 5


def test_a_given_split(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item\n1,5\n2,5\n1,6\n")
    (tmp_path / "test.csv").write_text("user,item\n1,7\n3,5\n1,5\n")
    out = convert(train=tmp_path / "train.csv", test=tmp_path / "test.csv", name="g", out=tmp_path / "out")
    assert (out / "g.train.inter").read_text() == "user_id:token\titem_id:token\n1\t5\n2\t5\n1\t6\n"
    assert (out / "g.test.inter").read_text() == "user_id:token\titem_id:token\n1\t7\n3\t5\n"
    assert not (out / "g.valid.inter").exists()
    data = read_atomic(out)
    assert data.parts is not None and data.parts.tolist() == [0, 0, 0, 2, 2]
    assert data.vocabulary.users.tolist() == [1, 2, 3] and data.vocabulary.items.tolist() == [5, 6, 7]
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts["rating_rows_repeated"] == 1
    assert counts["test_users_without_training_rows"] == counts["test_movies_without_training_rows"] == 1


def test_a_recbole_folder_that_came_split(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    for part, row in (("train", "a\tx"), ("valid", "a\ty"), ("test", "a\tz")):
        (folder / f"b.{part}.inter").write_text(f"user_id:token\titem_id:token\n{row}\n")
    data = read_atomic(convert(data=folder, out=tmp_path / "out"))
    assert data.interactions.to_numpy().tolist() == [["a", "x", 0], ["a", "y", 0], ["a", "z", 0]]
    assert data.parts is not None and data.parts.tolist() == [0, 1, 2]


IDS = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n"), min_size=1, max_size=8).filter(
        lambda text: text == text.strip()
    )
    | st.sampled_from(["NA", "null", "None", 'a "b"', "a\tb", "a,b", "%41", "007", "-1", "1e3", "é"]),
    min_size=1,
    max_size=12,
    unique=True,
)


@settings(max_examples=40, deadline=None)
@given(IDS)
def test_ids_stay_themselves(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    folder = tmp_path_factory.mktemp("ids")
    quoted = ['"{}"'.format(text.replace('"', '""')) for text in ids]
    log = "user,item\n" + "".join(f"{user},{item}\n" for user, item in zip(quoted, reversed(quoted)))
    (folder / "log.csv").write_text(log, encoding="utf-8", newline="")
    data = read_atomic(convert(data=folder / "log.csv", out=folder / "out"))
    assert list(map(str, data.interactions["user"])) == ids
    assert list(map(str, data.interactions["item"])) == ids[::-1]
    ascending = sorted(map(int, ids)) if data.vocabulary.users.dtype == np.int64 else sorted(ids)
    assert data.vocabulary.users.tolist() == ascending


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(RATINGS.replace("31", "B31"))
    first, second = (convert(data=tmp_path / "log.csv", out=tmp_path / out) for out in ("a", "b"))
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


@pytest.mark.parametrize(
    ("content", "wishes", "kind", "message"),
    [
        ("", {}, DataError, "log.csv: is empty"),
        ("user,item\n", {}, DataError, "log.csv: has column names but no rows"),
        ("a,b\nc,d\n", {}, DataError, "line 1: no column has a usual name of the user.*--columns user=NAME"),
        ("user,item,movieId\n1,2,3\n", {}, DataError, "line 1: item and movieId may both be the item"),
        ("user,item\n1,2\n1\n", {}, DataError, "log.csv line 3: has 1 field .'1'.; expected 2 separated by commas"),
        ("user,item\n1,2\n, 3\n", {}, DataError, "log.csv line 3: user is missing"),
        ("user,item,time\n1,2,1230782529\n1,3,soon\n", {}, DataError, "line 3: time 'soon' is not a unix time in sec"),
        ("user,item,time\n1,2,soon\n", {}, DataError, "line 2: time 'soon' is neither a unix time nor a date"),
        ("user,item,date\n1,2,2009-01-01\n1,3,2009-13-01\n", {}, DataError, "line 3: time '2009-13-01'"),
        ("user,item,date\n1,2,2009-01-01\n1,3,1930-01-01\n", {}, DataError, "line 3: .*in the year 1930"),
        ("user,item,rating\n1,2,5\n1,3,good\n", {"min_rating": 3}, DataError, "line 3: rating 'good' is not a number"),
        ("user,item\n1,2\n", {"min_rating": 3}, DataError, "no column of ratings is known"),
        ("user,item,rating\n1,2,1\n", {"min_rating": 3}, DataError, "--min-rating 3: no row passes; .*; lower it"),
        (
            "user,item\n1,2\n",
            {"min_rows": 3, "min_item_rows": 2},
            DataError,
            "--min-rows 3 and --min-item-rows 2: no row",
        ),
        (
            "who,what\n1,2\n",
            {"columns": "user=who"},
            DataError,
            "of the item.*; expected columns such as user, item, time;",
        ),
        ("user,item\n1,2\n", {"min_rows": 0}, ConfigError, "--min-rows is 0; expected at least 1"),
        ("user,item\n1,2\n", {"columns": "who=user"}, ConfigError, "--columns names 'who'; expected user, item, time"),
        ("user,item\n1,2\n", {"columns": "user"}, ConfigError, "holds 'user'; expected role=name"),
        ("user,item\n1,2\n", {"columns": "user="}, ConfigError, "leaves out the users"),
        ("user,item\n1,2\n", {"columns": "time=when"}, DataError, "no column is called 'when'"),
        ("1,2,3,4,5,6\n", {}, DataError, "has no column names, and 6 fields that are none of the usual"),
        ("word\n", {}, DataError, "line 1: is one word"),
        ("user,item\n1,2\n", {"test": "x"}, ConfigError, "--data and --test were both given"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, content: str, wishes: dict[str, Any], kind: type[BenchError], message: str
) -> None:
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(kind, match=message):
        convert(data=tmp_path / "log.csv", out=tmp_path / "out", **wishes)
    assert os.listdir(tmp_path) == ["log.csv"]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"train": "log.csv"}, "--train came without --test"),
        ({"train": "log.csv", "test": "log.csv", "min_rows": 2}, "would change a split"),
    ],
)
def test_a_split_that_cannot_be_made(tmp_path: Path, wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(out=tmp_path / "out", **wishes)
    (tmp_path / "log.csv").write_text("user,item\n1,2\n")
    with pytest.raises(DataError, match="log.csv: has no row that is not in an earlier file"):
        convert(train=tmp_path / "log.csv", test=tmp_path / "log.csv", out=tmp_path / "out")
