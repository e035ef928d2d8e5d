"""Atomic files that others made: with and without companions, with other names, and faulty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.competition import read_ml100k
from movierec_bench.errors import DataError
from movierec_bench.schema import (
    DECADE,
    GENRE,
    HEAD,
    ITEM,
    ITEM_FEATURES,
    RELATION,
    TAIL,
    TITLE,
    YEAR,
)


def foreign(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "foreign"
    folder.mkdir()
    for suffix, text in files.items():
        (folder / f"foreign.{suffix}").write_text(text)
    return folder


RATED = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
5\t2\t4.5\t881250949.0
4\t7\t1\t8.8e8
5\t2\t3\t1
"""

NAMED = """\
item_id:token\tmovie_title:token_seq\trelease_year:token\tgenre:token_seq
7\t100%25 Wolf\t1999\tB A
3\tX\tunknown\t
"""


def test_atomic_files_of_others_without_companions(tmp_path: Path) -> None:
    data = read_atomic(foreign(tmp_path, inter=RATED))
    assert data.interactions.to_numpy().tolist() == [[5, 2, 881250949], [4, 7, 880000000]]
    assert (data.interactions.dtypes == np.int64).all()
    assert data.movies[ITEM].tolist() == [2, 7]
    assert data.movies.loc[0, [TITLE, DECADE, *ITEM_FEATURES]].tolist() == ["", "", (), (), ()]
    assert data.movies[YEAR].isna().all()
    assert data.triples.columns.tolist() == [HEAD, RELATION, TAIL] and data.triples.empty


def test_atomic_files_of_others_with_companions(tmp_path: Path) -> None:
    data = read_atomic(
        foreign(
            tmp_path,
            inter=RATED,
            item=NAMED,
            kg="head_id:token\trelation_id:token\ttail_id:token\nm.x\tfilm.by\tm.y\nm.z\tfilm.by\tm.x\n",
            link="item_id:token\tentity_id:token\n7\tm.x\n",
        )
    )
    assert data.movies[ITEM].tolist() == [2, 3, 7]
    assert data.movies.loc[2, [TITLE, YEAR, DECADE, GENRE]].tolist() == ["100%25 Wolf", 1999.0, "1990", ("A", "B")]
    assert data.triples.to_numpy().tolist() == [["movie:7", "film.by", "m.y"], ["m.z", "film.by", "movie:7"]]


def test_atomic_files_of_others_without_times_and_with_other_names(tmp_path: Path) -> None:
    log = "user_id:token\titem_id:token\nanna\tB1\n7\tB2\nanna\tB1\n"
    data = read_atomic(foreign(tmp_path, inter=log, item="item_id:token\tyear:float\nB0\t1999\n"))
    assert data.interactions.to_numpy().tolist() == [["anna", "B1", 0], ["7", "B2", 0]]
    assert data.times == "none"
    assert data.vocabulary.users.tolist() == ["7", "anna"]
    assert data.vocabulary.items.tolist() == ["B0", "B1", "B2"]
    assert data.vocabulary.user_ix(np.array(["anna", "7"], dtype=object)).tolist() == [2, 1]


def test_numbers_that_the_item_file_gives_other_names_beside_are_texts(tmp_path: Path) -> None:
    data = read_atomic(foreign(tmp_path, inter=RATED, item="item_id:token\tyear:float\n2\t1999\nB0\t2001\n"))
    assert data.interactions[ITEM].tolist() == ["2", "7"]
    assert data.movies[ITEM].tolist() == ["2", "7", "B0"]
    assert data.movies[YEAR].tolist()[0] == 1999 and data.movies[YEAR].tolist()[2] == 2001


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"inter": RATED.replace("\n4\t", "\n \t")}, "foreign.inter line 3: user is missing"),
        ({"inter": RATED.replace("8.8e8", "soon")}, "foreign.inter line 3: time 'soon' is not a unix time"),
        ({"inter": RATED.replace("item_id", "what")}, "foreign.inter line 1: column item_id:token is missing"),
        (
            {"inter": RATED, "item": "item_id:token\tyear:float\n2\told\n"},
            "foreign.item line 2: year 'old' is not a release year",
        ),
        ({"inter": RATED, "item": "item_id:token\tyear:float\n\t1999\n"}, "foreign.item line 2: item is missing"),
        ({"inter": RATED, "kg": "head_id:token\nx\n"}, "foreign.kg line 1: column relation_id:token is missing"),
    ],
)
def test_bad_atomic_files_of_others(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_atomic(foreign(tmp_path, **files))


def test_recboles_packaged_folder_reads_as_ml100k_does() -> None:
    import importlib.util

    spec = importlib.util.find_spec("recbole")
    assert spec is not None and spec.origin is not None
    data = read_atomic(Path(spec.origin).parent / "dataset_example" / "ml-100k")
    ours = read_ml100k()
    pd.testing.assert_frame_equal(data.interactions, ours.ratings)
    assert data.movies[TITLE].tolist() == ours.movies[TITLE].tolist()
    assert "movie:1" in set(data.triples[HEAD])
