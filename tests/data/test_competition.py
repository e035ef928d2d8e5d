"""What the competition's files become, by hand on a tiny folder and against pandas on real ones."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import pandas as pd
import pytest
from support.competition_files import FILES, write_competition
from support.planted import SHARED

from movierec_bench.data.competition import read_competition, read_ml100k, year_of_title
from movierec_bench.schema import DIRECTOR, GENRE, ITEM, TIME, TITLE, USER, WRITER, YEAR

NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_competition(tmp_path / "tiny")


def append(folder: Path, name: str, text: str) -> None:
    with (folder / name).open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def test_ratings_keep_the_files_order(folder: Path) -> None:
    ratings = read_competition(folder).ratings
    assert list(ratings.columns) == [USER, ITEM, TIME]
    assert (ratings.dtypes == np.int64).all()
    assert ratings.to_numpy().tolist() == [
        [20, 5, 1230782529],
        [10, 9, 1260759144],
        [20, 3, 1230782529],
        [10, 3, 1260759100],
        [7, 1, 1112486027],
        [7, 5, 1112484676],
        [30, 12, 1427784002],
        [7, 9, 1112484819],
    ]


def test_movies_are_those_of_the_titles_with_their_side_information(folder: Path) -> None:
    movies = read_competition(folder).movies
    expected = pd.DataFrame(
        [
            (1, '"Great Performances" Cats (1998)', 1998.0, ("Musical",), (), ()),
            (
                3,
                "Amélie, or: Le Fabuleux destin (2001)",
                2001.0,
                ("Comedy",),
                ("nm0000466",),
                ("nm0000466", "nm0491011"),
            ),
            (5, "War of the Worlds (2005)", 2005.0, ("Action", "Sci-Fi"), ("nm0000229",), ("nm0295264",)),
            (7, "War of the Worlds (2005)", 2005.0, ("Action",), (), ()),
            (9, "Null", 1994.0, ("Film Noir",), (), ()),
            (11, "Fawlty Towers (1975-1979)", 1975.0, ("Comedy",), (), ()),
            (12, "NA", 2012.0, ("None",), (), ()),
        ],
        columns=[ITEM, TITLE, YEAR, GENRE, DIRECTOR, WRITER],
    )
    pd.testing.assert_frame_equal(movies, expected)


def test_a_clean_folder_counts_nothing_repaired(folder: Path) -> None:
    competition = read_competition(folder)
    assert competition.source == "tiny"
    assert competition.counts == {
        "rating_rows": 8,
        "rating_rows_repeated": 0,
        "interactions": 8,
        "users": 4,
        "movies": 7,
        "movies_rated": 5,
        "movies_without_title": 0,
        "titles_rows_repeated": 0,
        "years_rows_of_unknown_movies": 0,
        "years_rows_repeated": 0,
        "genres_rows_of_unknown_movies": 0,
        "genres_rows_repeated": 0,
        "directors_rows_of_unknown_movies": 0,
        "directors_rows_repeated": 0,
        "writers_rows_of_unknown_movies": 0,
        "writers_rows_repeated": 0,
        "movies_without_genre": 0,
        "movies_without_director": 5,
        "movies_without_writer": 5,
        "movies_without_year": 0,
        "years_from_title": 2,
        "Ml_item2attributes_rows_of_unknown_movies": 0,
    }


def test_a_repeated_pair_keeps_its_first_row(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean = read_competition(folder)
    append(folder, "train_ratings.csv", "7,1,1\n20,5,1230782529\n")
    again = read_competition(folder)
    pd.testing.assert_frame_equal(again.ratings, clean.ratings)
    assert (again.counts["rating_rows"], again.counts["rating_rows_repeated"]) == (10, 2)
    assert "rating rows repeated: 2" in caplog.text


def test_repeated_side_rows_are_read_once(folder: Path) -> None:
    clean = read_competition(folder)
    append(folder, "titles.tsv", "9\tAnother title\n")
    append(folder, "years.tsv", "9\t1995\n")
    append(folder, "genres.tsv", "5\tAction\n")
    again = read_competition(folder)
    pd.testing.assert_frame_equal(again.movies, clean.movies)
    assert [again.counts[f"{name}_rows_repeated"] for name in ("titles", "years", "genres", "writers")] == [1, 1, 1, 0]


def test_side_rows_of_unknown_movies_are_left_out_and_counted(folder: Path) -> None:
    clean = read_competition(folder)
    append(folder, "genres.tsv", "999\tAction\n998\tDrama\n")
    append(folder, "writers.tsv", "999\tnm1\n")
    (folder / "Ml_item2attributes.json").write_text('{"999": [1], "1": [2]}')
    again = read_competition(folder)
    pd.testing.assert_frame_equal(again.movies, clean.movies)
    keys = [f"{name}_rows_of_unknown_movies" for name in ("genres", "writers", "years", "Ml_item2attributes")]
    assert [again.counts[key] for key in keys] == [2, 1, 0, 1]


def test_a_rated_movie_without_title_is_a_movie(folder: Path) -> None:
    append(folder, "train_ratings.csv", "7,8,5\n")
    append(folder, "genres.tsv", "8\tDrama\n")
    competition = read_competition(folder)
    row = competition.movies.set_index(ITEM).loc[8]
    assert (row[TITLE], row[GENRE], competition.counts["movies_without_title"]) == ("", ("Drama",), 1)
    assert np.isnan(row[YEAR])
    assert competition.movies[ITEM].tolist() == [1, 3, 5, 7, 8, 9, 11, 12]


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content)


def _bom(content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content


def _crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def _empty_lines(content: bytes) -> bytes:
    return content.replace(b"\n", b"\n\n") + b"\n"


def _more_columns(content: bytes) -> bytes:
    lines = content.splitlines()
    separator = b"," if b"," in lines[0] else b"\t"
    return b"\n".join([b"n\xc3\xb6te" + separator + lines[0], *(b"x 0x" + separator + line for line in lines[1:])])


@pytest.mark.parametrize("clothes", [_gzip, _bom, _crlf, _empty_lines, _more_columns])
def test_the_same_files_in_other_clothes(folder: Path, clothes: Callable[[bytes], bytes]) -> None:
    clean = read_competition(folder)
    for name in FILES:
        if clothes is _more_columns and name.endswith(".json"):
            continue
        path = folder / name
        content = clothes(path.read_bytes())
        path.unlink()
        (folder / (f"{name}.gz" if clothes is _gzip else name)).write_bytes(content)
    dressed = read_competition(folder)
    pd.testing.assert_frame_equal(dressed.ratings, clean.ratings)
    pd.testing.assert_frame_equal(dressed.movies, clean.movies)
    assert dressed.counts == clean.counts


def test_a_set_without_writers_or_genre_numbers(folder: Path) -> None:
    (folder / "writers.tsv").write_text("item\twriter\n")
    (folder / "Ml_item2attributes.json").unlink()
    competition = read_competition(folder)
    assert competition.movies[WRITER].tolist() == [()] * 7
    assert "Ml_item2attributes_rows_of_unknown_movies" not in competition.counts


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", 1995.0),
        ("Fawlty Towers (1975-1979)", 1975.0),
        ("Big Bang Theory, The (2007-)", 2007.0),
        ('"11\'09"01 - September 11 (2002)" ', 2002.0),
        ("2001: A Space Odyssey", NAN),
        ("(1999) and on", NAN),
        ("From the future (9999)", NAN),
        ("1984 (1956) (a.k.a. Nineteen)", NAN),
        ("", NAN),
    ],
)
def test_year_of_title(title: str, year: float) -> None:
    np.testing.assert_equal(year_of_title(title), year)


def test_ml100k_is_recboles_packaged_data() -> None:
    import importlib.util

    spec = importlib.util.find_spec("recbole")
    assert spec is not None and spec.origin is not None
    packaged = Path(spec.origin).parent / "dataset_example" / "ml-100k"
    ours = read_ml100k()
    log = pd.read_csv(packaged / "ml-100k.inter", sep="\t")
    assert (ours.ratings.to_numpy() == log[["user_id:token", "item_id:token", "timestamp:float"]].to_numpy()).all()
    assert len(ours.ratings) == 100_000 and ours.ratings[USER].nunique() == 943

    item = pd.read_csv(packaged / "ml-100k.item", sep="\t", index_col="item_id:token").sort_index()
    movies = ours.movies.set_index(ITEM)
    assert movies.index.equals(item.index.rename(ITEM))
    assert (movies[TITLE] == item["movie_title:token_seq"]).all()
    assert movies.loc[1, GENRE] == ("Animation", "Children's", "Comedy")
    assert movies.loc[1, YEAR] == 1995.0
    assert movies.loc[267, GENRE] == () and np.isnan(movies.loc[267, YEAR])  # "unknown", "unkonwn"
    assert movies.loc[1412, YEAR] == 1995.0  # its year stands in the title, and "V" in the year's place
    assert ours.counts["movies_without_year"] == 1


def test_reading_ml100k_does_not_import_recbole() -> None:
    read = "from movierec_bench.data import competition as c; c.read_ml100k()"
    code = f"import sys; {read}; sys.exit('recbole' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real data in ../shared")
def test_real_files_equal_pandas() -> None:
    folder = SHARED / "data" / "ml_latest_small"
    competition = read_competition(folder)
    assert competition.ratings.equals(pd.read_csv(folder / "train_ratings.csv"))
    movies = competition.movies.set_index(ITEM)
    titles = pd.read_csv(folder / "titles.tsv", sep="\t", index_col=ITEM, keep_default_na=False)[TITLE].sort_index()
    assert movies.index.equals(titles.index) and (movies[TITLE] == titles).all()
    years = pd.read_csv(folder / "years.tsv", sep="\t", index_col=ITEM)[YEAR]
    assert (movies.loc[years.index, YEAR] == years).all()
    assert movies.loc[movies.index.difference(years.index), YEAR].to_dict() == {
        3310: 1921.0,
        6987: 1920.0,
        6988: 1919.0,
        7065: 1915.0,
        7243: 1916.0,
        8511: 1917.0,
        32898: 1902.0,
        119145: 2015.0,
    }
    for feature in (GENRE, DIRECTOR, WRITER):
        table = pd.read_csv(folder / f"{feature}s.tsv", sep="\t", keep_default_na=False)
        expected = table.groupby(ITEM)[feature].agg(lambda values: tuple(sorted(values)))
        assert (movies.loc[expected.index, feature] == expected).all()
        assert (movies.loc[movies.index.difference(expected.index), feature].map(len) == 0).all()
    assert competition.counts["movies_without_director"] == 1304
    assert competition.counts["movies_without_writer"] == 1159
