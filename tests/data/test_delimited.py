"""The fast reader of number columns and the messages that name a line."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movierec_bench.data.delimited import INT64_MAX, DelimitedText, NumberColumn, find_file
from movierec_bench.errors import DataError

A = NumberColumn("a", "a", "an id", 1)
T = NumberColumn("t", "t", "a time", 2, high=100, above="divide it")


def open_bytes(path: Path, content: bytes, separator: str = ",") -> DelimitedText:
    path.write_bytes(content)
    return DelimitedText.open(path, separator, ["a", "t"])


def test_columns_in_any_order_with_others_between(tmp_path: Path) -> None:
    text = open_bytes(tmp_path / "x.csv", b"note,t,note,a\nhello,3,x,1\n,4,y,2\n")
    frame = text.numbers([A, T])
    assert list(frame.columns) == ["a", "t"]
    assert frame.to_numpy().tolist() == [[1, 3], [2, 4]]
    assert (frame.dtypes == np.int64).all()


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,t\n1,3\n2,4\n",
        b"a,t\r\n1,3\r\n2,4\r\n",
        b"a,t\r1,3\r2,4\r",
        b"a,t\n1,3\n2,4",
        b"a,t\n\n1,3\n\n\n2,4\n\n",
        b'"a","t"\n"1","3"\n2,"4"\n',
        b" a , t \n 1 , 3 \n2,4\n",
        b"a,t\n01,003\n2,4\n",
        gzip.compress(b"a,t\n1,3\n2,4\n", mtime=0),
    ],
    ids=["bom", "crlf", "cr", "no-last-newline", "empty-lines", "quotes", "blanks", "leading-zeros", "gzip"],
)
def test_the_same_table_in_other_clothes(tmp_path: Path, content: bytes) -> None:
    assert open_bytes(tmp_path / "x.csv", content).numbers([A, T]).to_numpy().tolist() == [[1, 3], [2, 4]]


def test_the_largest_id_survives(tmp_path: Path) -> None:
    text = open_bytes(tmp_path / "x.csv", f"a,t\n{INT64_MAX},0\n".encode())
    assert text.numbers([A, T])["a"].tolist() == [INT64_MAX]


def test_a_fractional_column_takes_floats_and_cuts_the_fraction_off(tmp_path: Path) -> None:
    column = NumberColumn("t", "t", "a time", 2, high=100, fractional=True)
    text = open_bytes(tmp_path / "x.csv", b"a,t\n1,3.0\n2,4.9\n3,1e1\n")
    assert text.numbers([A, column])["t"].tolist() == [3, 4, 10]
    text = open_bytes(tmp_path / "x.csv", b"a,t\n1,3.0\n2,nan\n")
    with pytest.raises(DataError, match="line 3: t 'nan' is not a time"):
        text.numbers([A, column])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1", "a 'x' is not an id; expected an integer such as 1; correct or remove this line"),
        ("1.0,1", "a '1.0' is not an id; expected an integer such as 1; write whole numbers"),
        ("0x1F,1", "a '0x1F' is not an id"),
        ("+1,1", "a '+1' is not an id"),
        ("1_000,1", "a '1_000' is not an id"),
        ("\u0663,1", "a '\u0663' is not an id"),  # an Arabic digit, which Python's int() would take
        (",1", "a is missing"),
        ("1,", "t is missing"),
        ("1,101", "t 101 is above 100; expected an integer such as 2; divide it"),
        ("-1,1", "a -1 is negative"),
        (f"{INT64_MAX + 1},1", f"a {INT64_MAX + 1} is above {INT64_MAX}"),
        ("9" * 5000 + ",1", "a '" + "9" * 60 + "...' is not an id"),
        ("1", "has 1 field ('1'); expected 2 separated by commas"),
        ("1,2,3", "has 3 fields ('1,2,3'); expected 2 separated by commas"),
        ("  ", "has 1 field ('  ')"),
    ],
)
def test_the_first_bad_line_is_named(tmp_path: Path, row: str, message: str) -> None:
    text = open_bytes(tmp_path / "x.csv", f"a,t\n1,1\n\n{row}\nworse\n".encode())
    with pytest.raises(DataError, match=re.escape(f"x.csv line 4: {message}")):
        text.numbers([A, T])


def test_what_looks_hexadecimal_in_another_column_is_no_error(tmp_path: Path) -> None:
    text = open_bytes(tmp_path / "x.csv", b"a,t,note\n1,2,0x1F\n")
    assert text.numbers([A, T]).to_numpy().tolist() == [[1, 2]]


def test_a_plain_file_wins_over_its_packed_copy(tmp_path: Path) -> None:
    assert find_file(tmp_path, "x.csv") is None
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,t\n1,2\n"))
    assert find_file(tmp_path, "x.csv") == tmp_path / "x.csv.gz"
    (tmp_path / "x.csv").write_bytes(b"a,t\n1,3\n")
    assert find_file(tmp_path, "x.csv") == tmp_path / "x.csv"


def test_rows_keep_quotes_that_enclose_nothing(tmp_path: Path) -> None:
    text = open_bytes(tmp_path / "x.tsv", b'a\tt\n1\t"said ""hi"""\n2\t"Foo" Bar\n3\tit\'s 5" long\n4\t"a\tb"\n', "\t")
    assert [fields[1] for _, fields in text.rows(["a", "t"])] == ['said "hi"', '"Foo" Bar', "it's 5\" long", "a\tb"]


FIELD = st.sampled_from(["0", "1", "7", "100", "101", "-1", "", "x", "1.5", " 3", "0x1", '"4"', "9" * 19, "nan"])
GOOD = {"0": 0, "1": 1, "7": 7, "100": 100, " 3": 3, '"4"': 4}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    good=st.lists(st.tuples(st.sampled_from(sorted(GOOD)), st.sampled_from(sorted(GOOD))), min_size=1, max_size=6),
    rest=st.lists(st.lists(FIELD, min_size=1, max_size=3), max_size=3),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    block=st.sampled_from([1, 10, 1 << 20]),
)
def test_reading_equals_a_naive_reader(tmp_path: Path, good: list, rest: list, line_end: str, block: int) -> None:
    rows = [list(row) for row in good] + rest
    content = line_end.join(["a,t", *map(",".join, rows)]) + line_end
    text = open_bytes(tmp_path / "x.csv", content.encode())
    lines = [(number, row) for number, row in enumerate(rows, start=2) if row != [""]]
    allowed = {"a": {**GOOD, "101": 101}, "t": GOOD}
    bad = [n for n, row in lines if len(row) != 2 or row[0] not in allowed["a"] or row[1] not in allowed["t"]]
    if bad:
        searched_in = mock.patch("movierec_bench.data.delimited._SEARCHED_BYTES_A_BLOCK", block)
        with searched_in, pytest.raises(DataError, match=f"^x.csv line {bad[0]}: "):
            text.numbers([A, T])
    else:
        expected = [[allowed["a"][row[0]], allowed["t"][row[1]]] for _, row in lines]
        assert text.numbers([A, T]).to_numpy().tolist() == expected
