"""Every bad input ends in one clear message, and leaves nothing half-written."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from typing import Callable, Union

import pytest
from support.competition_files import FILES, RATINGS, TITLES, write_competition

from movierec_bench.data.convert import convert
from movierec_bench.errors import BenchError, ConfigError, DataError

RATINGS_FILE = "train_ratings.csv"


def put(name: str, content: Union[str, bytes]) -> Callable[[Path], None]:
    """Write another file in the place of ``name``."""

    def swap(folder: Path) -> None:
        (folder / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)

    return swap


def ratings(*rows: str) -> Callable[[Path], None]:
    """Add rows to the ratings, which have 9 lines: the first is line 10."""
    return put(RATINGS_FILE, RATINGS + "".join(f"{row}\n" for row in rows))


def side(name: str, *rows: str) -> Callable[[Path], None]:
    return put(name, FILES[name] + "".join(f"{row}\n" for row in rows))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def make_folder(name: str) -> Callable[[Path], None]:
    def swap(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return swap


# what is wrong -> (how it is made so, what the message must say, in this order: where, found, expected, next step)
BAD = {
    # files
    "no ratings": (
        remove(RATINGS_FILE),
        ["train_ratings.csv is missing", "expected train_ratings.csv", "copy it from"],
    ),
    "no titles": (remove("titles.tsv"), ["titles.tsv is missing", "expected", "copy it from the competition's data"]),
    "no genres": (remove("genres.tsv"), ["genres.tsv is missing", "expected", "copy it"]),
    "no years": (remove("years.tsv"), ["years.tsv is missing", "expected", "copy it"]),
    "no directors": (remove("directors.tsv"), ["directors.tsv is missing", "expected", "copy it"]),
    "no writers": (remove("writers.tsv"), ["writers.tsv is missing", "expected", "copy it"]),
    "ratings are a folder": (make_folder(RATINGS_FILE), [RATINGS_FILE, "is a folder", "expected a file", "put"]),
    "titles are a folder": (make_folder("titles.tsv"), ["titles.tsv", "is a folder", "expected a file"]),
    "empty ratings": (
        put(RATINGS_FILE, ""),
        ["train_ratings.csv: is empty", "'user,item,time'", "copy the file again"],
    ),
    "only empty lines": (put(RATINGS_FILE, "\n \n\r\n"), ["train_ratings.csv: is empty", "expected", "copy"]),
    "empty titles": (put("titles.tsv", ""), ["titles.tsv: is empty", "expected a first line", "copy the file again"]),
    "ratings without rows": (
        put(RATINGS_FILE, "user,item,time\n\n"),
        ["train_ratings.csv: has column names but no rows", "expected rows from line 2 on", "copy the file again"],
    ),
    "titles without rows": (
        put("titles.tsv", "item\ttitle\n"),
        ["titles.tsv: has column names but no rows", "expected"],
    ),
    # columns
    "a column is missing": (
        put(RATINGS_FILE, RATINGS.replace("time", "timestamp")),
        ["train_ratings.csv line 1: column time is missing", "'user,item,timestamp'", "expected the columns", "rename"],
    ),
    "a side column is missing": (
        put("genres.tsv", "item\tgenres\n1\tDrama\n"),
        ["genres.tsv line 1: column genre is missing", "item, genre separated by tabs", "rename or add"],
    ),
    "a column twice": (
        put(RATINGS_FILE, "user,item,time,user\n1,2,3,4\n"),
        ["train_ratings.csv line 1: column user stands there twice", "expected", "rename or remove"],
    ),
    "no column names": (
        put(RATINGS_FILE, RATINGS.partition("\n")[2]),
        ["train_ratings.csv line 1: found values ('20,5,1230782529')", "expected the columns user, item, time", "add"],
    ),
    "semicolons": (
        put(RATINGS_FILE, RATINGS.replace(",", ";")),
        [
            "train_ratings.csv line 1: the columns are separated by semicolons",
            "separated by commas",
            "save the file again",
        ],
    ),
    "tabs in the ratings": (
        put(RATINGS_FILE, RATINGS.replace(",", "\t")),
        ["train_ratings.csv line 1: the columns are separated by tabs", "separated by commas", "save the file again"],
    ),
    "commas in the titles": (
        put("titles.tsv", TITLES.replace("\t", ",")),
        ["titles.tsv line 1: the columns are separated by commas", "separated by tabs", "save the file again"],
    ),
    "commas from the second line on": (
        put("writers.tsv", "item\twriter\n1,nm1\n"),
        ["writers.tsv line 2: has 1 field ('1,nm1')", "expected 2 separated by tabs", "correct or remove"],
    ),
    # numbers
    "user is a word": (
        ratings("anna,5,1230782529"),
        ["train_ratings.csv line 10: user 'anna' is not a user id", "expected an integer such as", "correct or remove"],
    ),
    "item is a float": (
        ratings("20,5.0,1230782529"),
        [
            "train_ratings.csv line 10: item '5.0' is not a movie id",
            "expected an integer such as",
            "write whole numbers",
        ],
    ),
    "user in floating-point notation": (
        ratings("1e3,5,1230782529"),
        ["train_ratings.csv line 10: user '1e3' is not a user id", "expected an integer", "write whole numbers"],
    ),
    "time of the day": (
        ratings("20,9,12:30"),
        ["train_ratings.csv line 10: time '12:30' is not a unix time in seconds", "an integer such as 1230782529"],
    ),
    "date": (
        ratings("20,9,2009-01-01"),
        ["train_ratings.csv line 10: time '2009-01-01' is not a unix time in seconds"],
    ),
    "user is missing": (
        ratings(",9,1230782529"),
        ["train_ratings.csv line 10: user is missing", "expected", "fill it in"],
    ),
    "time is missing": (ratings("20,9,"), ["train_ratings.csv line 10: time is missing", "expected", "fill it in"]),
    "item is NA": (ratings("20,NA,1230782529"), ["train_ratings.csv line 10: item 'NA' is not a movie id", "expected"]),
    "negative time": (ratings("20,9,-5"), ["train_ratings.csv line 10: time -5 is negative", "expected", "correct"]),
    "negative user": (ratings("-20,9,5"), ["train_ratings.csv line 10: user -20 is negative", "expected", "correct"]),
    "milliseconds": (
        ratings("20,9,1230782529000"),
        [
            "train_ratings.csv line 10: time 1230782529000 is above 4102444800",
            "expected",
            "divide milliseconds by 1000",
        ],
    ),
    "more than 64 bits": (
        ratings("9223372036854775808,9,1230782529"),
        ["train_ratings.csv line 10: user 9223372036854775808 is above 9223372036854775807", "expected", "correct"],
    ),
    "the first of two bad lines": (ratings("20,9,-5", "x,9,5"), ["train_ratings.csv line 10: time -5 is negative"]),
    "hexadecimal": (ratings("0x14,9,5"), ["train_ratings.csv line 10: user '0x14' is not a user id", "expected"]),
    # lines
    "too few fields": (
        ratings("20,9"),
        ["train_ratings.csv line 10: has 2 fields ('20,9')", "expected 3 separated by commas", "correct or remove"],
    ),
    "too many fields": (
        ratings("20,9,1230782529,4.5"),
        ["train_ratings.csv line 10: has 4 fields", "expected 3 separated by commas", "correct or remove"],
    ),
    "cut off in the middle": (put(RATINGS_FILE, RATINGS[:-12]), ["train_ratings.csv line 9: has 2 fields ('7,9')"]),
    "a line of blanks": (ratings("   "), ["train_ratings.csv line 10: has 1 field ('   ')", "expected 3"]),
    "a bad line after empty ones": (ratings("", "", "20,9"), ["train_ratings.csv line 12: has 2 fields"]),
    # side information
    "movie id is a word": (
        side("titles.tsv", "abc\tTitle"),
        ["titles.tsv line 9: item 'abc' is not a movie id", "expected an integer such as", "correct or remove"],
    ),
    "movie id is a float": (side("genres.tsv", "5.0\tDrama"), ["genres.tsv line 10: item '5.0' is not a movie id"]),
    "no title": (
        side("titles.tsv", "77\t "),
        ["titles.tsv line 9: title is missing", "expected a title", "fill it in"],
    ),
    "no director after the tab": (
        side("directors.tsv", "5\t"),
        ["directors.tsv line 4: director is missing", "expected"],
    ),
    "year is a float": (side("years.tsv", "1\t1998.0"), ["years.tsv line 7: year '1998.0' is not a release year"]),
    "year is missing": (side("years.tsv", "1\t"), ["years.tsv line 7: year is missing", "such as 1994", "fill it in"]),
    "year of the wrong century": (
        side("years.tsv", "1\t198"),
        ["years.tsv line 7: year 198 is below 1870", "expected"],
    ),
    "tab inside a title": (side("titles.tsv", "77\tA\tB"), ["titles.tsv line 9: has 3 fields", "2 separated by tabs"]),
    # encodings and containers
    "latin-1 titles": (
        put("titles.tsv", TITLES.encode("latin-1")),
        ["titles.tsv line 4: byte 0xE9 at position 5 is not UTF-8", "expected UTF-8 text", "convert the file to UTF-8"],
    ),
    "latin-1 column names": (put(RATINGS_FILE, b"us\xe9r,item,time\n1,2,3\n"), ["train_ratings.csv line 1: byte 0xE9"]),
    "UTF-16": (put("titles.tsv", TITLES.encode("utf-16")), ["titles.tsv: is UTF-16 or binary", "UTF-8 text", "save"]),
    "binary": (put(RATINGS_FILE, b"\x00\x01\x02"), ["train_ratings.csv: is UTF-16 or binary", "expected UTF-8 text"]),
    "a zip archive": (
        put(RATINGS_FILE, b"PK\x03\x04...."),
        ["train_ratings.csv: is a zip archive", "plain text", "unpack"],
    ),
    "half a gzip file": (
        put(RATINGS_FILE, gzip.compress(RATINGS.encode())[:-12]),
        ["train_ratings.csv: is a damaged gzip file", "expected a complete one", "copy it again"],
    ),
    # genre numbers
    "broken JSON": (
        put("Ml_item2attributes.json", '{"1": [7],\n "3": [2'),
        [
            "Ml_item2attributes.json line 2: is not JSON",
            "expected an object such as",
            "copy the file again or remove it",
        ],
    ),
    "a JSON list": (put("Ml_item2attributes.json", "[1, 2]"), ["Ml_item2attributes.json: holds a list", "expected an"]),
    "genre names for numbers": (
        put("Ml_item2attributes.json", '{"3": ["Comedy"]}'),
        ["Ml_item2attributes.json: movie 3 has ['Comedy']", "expected a list of integers", "copy the file again"],
    ),
    "a movie's name for its number": (
        put("Ml_item2attributes.json", '{"Amelie": [2]}'),
        ["Ml_item2attributes.json: item 'Amelie' is not a movie id", "expected an integer"],
    ),
    "JSON in latin-1": (put("Ml_item2attributes.json", b'{"\xe9": [2]}'), ["Ml_item2attributes.json: is not UTF-8"]),
}


@pytest.mark.parametrize("spoil, parts", BAD.values(), ids=list(BAD))
def test_bad_data(tmp_path: Path, spoil: Callable[[Path], None], parts: list[str]) -> None:
    folder = write_competition(tmp_path / "tiny")
    spoil(folder)
    assert_refused(DataError, parts, tmp_path, data=folder)


@pytest.mark.parametrize("spoil, parts", BAD.values(), ids=list(BAD))
def test_bad_data_leaves_an_earlier_conversion_alone(
    tmp_path: Path, spoil: Callable[[Path], None], parts: list[str]
) -> None:
    folder = write_competition(tmp_path / "tiny")
    out = convert(data=folder, out=tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    spoil(folder)
    with pytest.raises(DataError):
        convert(data=folder, out=tmp_path / "out")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert os.listdir(tmp_path / "out") == ["tiny"]


def assert_refused(kind: type[BenchError], parts: list[str], tmp_path: Path, **arguments: object) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind) as caught:
        convert(**{"out": tmp_path / "out", **arguments})  # type: ignore[arg-type]
    message = str(caught.value)
    assert re.search(".*".join(map(re.escape, parts)), message), message
    assert "\n" not in message
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_does_not_exist(tmp_path: Path) -> None:
    parts = ["nowhere", "does not exist", "expected a folder with train_ratings.csv", "--data"]
    assert_refused(DataError, parts, tmp_path, data=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "", "a b", "-x", "a\n", "a\\b"])
def test_a_name_that_cannot_be_one(tmp_path: Path, name: str) -> None:
    folder = write_competition(tmp_path / "tiny")
    parts = [repr(name), "cannot name a data set", "expected letters", "give another with --name"]
    assert_refused(ConfigError, parts, tmp_path, data=folder, name=name)
    assert_refused(ConfigError, parts, tmp_path, name=name)


def test_a_folder_whose_name_cannot_be_one_needs_a_name(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "my data")
    assert_refused(ConfigError, ["'my data' cannot name a data set", "--name"], tmp_path, data=folder)
    assert convert(data=folder, name="data", out=tmp_path / "out").is_dir()


def test_the_name_of_recboles_own_data_is_taken(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "tiny")
    parts = ["ml-100k is taken", "expected another name", "--name"]
    assert_refused(ConfigError, parts, tmp_path, data=folder, name="ml-100k")


def test_out_is_a_file(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "tiny")
    (tmp_path / "out").write_text("mine")
    assert_refused(ConfigError, ["out is a file", "expected a folder", "--out"], tmp_path, data=folder)
    assert_refused(ConfigError, ["out is a file"], tmp_path, data=folder, out=tmp_path / "out" / "deeper")
    assert (tmp_path / "out").read_text() == "mine"


def test_out_would_replace_the_competitions_own_files(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "tiny")
    parts = ["tiny is there and was not made by convert", "expected nothing", "--out"]
    assert_refused(ConfigError, parts, tmp_path, data=folder, out=tmp_path)
    assert (folder / RATINGS_FILE).read_text() == RATINGS


def test_out_has_a_file_of_that_name(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "data" / "tiny")
    (tmp_path / "tiny").write_text("mine")
    assert_refused(ConfigError, ["tiny is there and was not made by convert"], tmp_path, data=folder, out=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
@pytest.mark.parametrize("name", [".", RATINGS_FILE, "titles.tsv"])
def test_data_that_may_not_be_read(tmp_path: Path, name: str) -> None:
    folder = write_competition(tmp_path / "tiny")
    (folder / name).chmod(0)
    try:
        with pytest.raises(DataError, match="may not be read|cannot be read .Permission denied.") as caught:
            convert(data=folder, out=tmp_path / "out")
    finally:
        (folder / name).chmod(0o700)
    assert (folder / name).name in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_out_may_not_be_written(tmp_path: Path) -> None:
    folder = write_competition(tmp_path / "tiny")
    (tmp_path / "out").mkdir(mode=0o500)
    assert_refused(ConfigError, ["cannot be written", "permission", "--out"], tmp_path, data=folder)


def test_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_competition(tmp_path / "tiny")
    (tmp_path / "out").mkdir()

    def no_room(path: Path, table: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("movierec_bench.data.atomic.write_table", no_room)
    parts = ["tiny cannot be written (No space left on device)", "expected", "--out"]
    assert_refused(ConfigError, parts, tmp_path, data=folder)
