"""Atomic files: their exact text, the way back, and that plain RecBole loads them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES
from support.competition_files import write_competition
from support.planted import SHARED

from movierec_bench.data.atomic import decode_token, encode_token, read_atomic, write_atomic
from movierec_bench.data.atomic_format import NA_WORDS
from movierec_bench.data.competition import read_competition
from movierec_bench.data.convert import convert
from movierec_bench.data.source_data import SourceData
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.schema import (
    DECADE,
    DIRECTOR,
    GENRE,
    HEAD,
    ITEM,
    ITEM_FEATURES,
    RELATION,
    TAIL,
    TIME,
    TITLE,
    USER,
    WRITER,
    YEAR,
)

INTER = """\
user_id:token\titem_id:token\ttimestamp:float
20\t5\t1230782529
10\t9\t1260759144
20\t3\t1230782529
10\t3\t1260759100
7\t1\t1112486027
7\t5\t1112484676
30\t12\t1427784002
7\t9\t1112484819
"""
ITEMS = """\
item_id:token\ttitle:token_seq\tyear:float\tdecade:token\tgenre:token_seq\tdirector:token_seq\twriter:token_seq
1\t%22Great Performances%22 Cats (1998)\t1998\t1990\tMusical\t\t
3\tAmélie, or: Le Fabuleux destin (2001)\t2001\t2000\tComedy\tnm0000466\tnm0000466 nm0491011
5\tWar of the Worlds (2005)\t2005\t2000\tAction Sci-Fi\tnm0000229\tnm0295264
7\tWar of the Worlds (2005)\t2005\t2000\tAction\t\t
9\t%4Eull\t1994\t1990\tFilm%20Noir\t\t
11\tFawlty Towers (1975-1979)\t1975\t1970\tComedy\t\t
12\t%4EA\t2012\t2010\t%4Eone\t\t
"""
USERS = "user_id:token\n7\n10\n20\n30\n"
KG = """\
head_id:token\trelation_id:token\ttail_id:token
movie:1\tmovie.decade\tdecade:1990
movie:1\tmovie.genre\tgenre:Musical
movie:3\tmovie.decade\tdecade:2000
movie:3\tmovie.genre\tgenre:Comedy
movie:3\tmovie.director\tperson:nm0000466
movie:3\tmovie.writer\tperson:nm0000466
movie:3\tmovie.writer\tperson:nm0491011
movie:5\tmovie.decade\tdecade:2000
movie:5\tmovie.genre\tgenre:Action
movie:5\tmovie.genre\tgenre:Sci-Fi
movie:5\tmovie.director\tperson:nm0000229
movie:5\tmovie.writer\tperson:nm0295264
movie:7\tmovie.decade\tdecade:2000
movie:7\tmovie.genre\tgenre:Action
movie:9\tmovie.decade\tdecade:1990
movie:9\tmovie.genre\tgenre:Film%20Noir
movie:11\tmovie.decade\tdecade:1970
movie:11\tmovie.genre\tgenre:Comedy
movie:12\tmovie.decade\tdecade:2010
movie:12\tmovie.genre\tgenre:None
"""
LINKS = "item_id:token\tentity_id:token\n" + "".join(f"{item}\tmovie:{item}\n" for item in (1, 3, 5, 7, 9, 11, 12))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The competition's folder."""
    return write_competition(tmp_path / "data" / "tiny")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_word_for_word(tiny: Path, tmp_path: Path) -> None:
    folder = convert(data=tiny, out=tmp_path / "out")
    assert folder == tmp_path / "out" / "tiny"
    files = contents(folder)
    manifest = json.loads(files.pop("manifest.json"))
    expected = {"tiny.inter": INTER, "tiny.item": ITEMS, "tiny.user": USERS, "tiny.kg": KG, "tiny.link": LINKS}
    assert {name: text.decode("utf-8") for name, text in files.items()} == expected
    assert manifest["sha256"] == {name: hashlib.sha256(text.encode()).hexdigest() for name, text in expected.items()}
    assert (manifest["format"], manifest["name"], manifest["source"]) == (1, "tiny", "tiny")
    assert manifest["counts"]["interactions"] == 8 and manifest["counts"]["triples"] == 20


def test_converting_twice_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    first = contents(convert(data=tiny, out=tmp_path / "out"))
    os.utime(tiny / "titles.tsv", (1, 1))
    again = contents(convert(data=str(tiny), out=str(tmp_path / "out")))
    elsewhere = contents(convert(data=write_competition(tmp_path / "copy" / "tiny"), out=tmp_path / "b" / "c"))
    assert first == again == elsewhere


def test_what_is_read_is_what_was_written(tiny: Path, tmp_path: Path) -> None:
    competition = read_competition(tiny)
    data = read_atomic(write_atomic(competition, tmp_path, "other"))
    assert (data.name, data.folder) == ("other", tmp_path / "other")
    pd.testing.assert_frame_equal(data.interactions, competition.ratings)
    pd.testing.assert_frame_equal(data.movies.drop(columns=DECADE), competition.movies)
    assert data.movies[DECADE].tolist() == ["1990", "2000", "2000", "2000", "1990", "1970", "2010"]
    assert data.vocabulary.users.tolist() == [7, 10, 20, 30]
    assert data.vocabulary.items.tolist() == [1, 3, 5, 7, 9, 11, 12]
    assert list(data.triples.columns) == [HEAD, RELATION, TAIL] and len(data.triples) == 20
    assert data.triples.iloc[15].tolist() == ["movie:9", "movie.genre", "genre:Film Noir"]


def test_the_data_hash_follows_the_data_and_nothing_else(tiny: Path, tmp_path: Path) -> None:
    first = read_atomic(convert(data=tiny, out=tmp_path / "out")).data_hash
    assert len(first) == 16 and int(first, 16) >= 0
    assert read_atomic(convert(data=tiny, name="renamed", out=tmp_path / "out")).data_hash == first
    with (tiny / "writers.tsv").open("a") as file:
        file.write("7\tnm1\n")
    assert read_atomic(convert(data=tiny, out=tmp_path / "out")).data_hash != first


def test_writing_leaves_the_competition_as_it_was(tiny: Path, tmp_path: Path) -> None:
    competition = read_competition(tiny)
    write_atomic(competition, tmp_path, "x")
    untouched = read_competition(tiny)
    pd.testing.assert_frame_equal(competition.movies, untouched.movies)
    assert competition.counts == untouched.counts


# -- tokens -------------------------------------------------------------------------------------


def test_every_word_that_pandas_takes_for_missing_is_known() -> None:
    one_token = {word for word in STR_NA_VALUES if word and " " not in word}
    assert {word.lower() for word in one_token} == NA_WORDS


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("Drama", "Drama"),
        ("Film Noir", "Film%20Noir"),
        ("100%", "100%25"),
        ("%20", "%2520"),
        ('"', "%22"),
        ("a\tb\r\n", "a%09b%0D%0A"),
        ("NA", "%4EA"),
        ("null", "%6Eull"),
        ("None", "%4Eone"),
        ("<NA>", "%3CNA>"),
        ("-nan", "%2Dnan"),
        ("Nano", "Nano"),
        ("Amélie", "Amélie"),
        ("Children's", "Children's"),
    ],
)
def test_encode_token(token: str, text: str) -> None:
    assert encode_token(token) == text
    assert decode_token(text) == token


@given(st.text(min_size=1))
def test_any_token_survives_recboles_reader(token: str) -> None:
    text = encode_token(token)
    assert not set(text) & set(' "\t\r\n')
    assert text not in STR_NA_VALUES
    assert decode_token(text) == token


NAMES = st.lists(
    st.one_of(st.sampled_from(sorted(STR_NA_VALUES - {""}) + ["Null", "%4E", '"', " "]), st.text(min_size=1)),
    max_size=3,
    unique=True,
).map(lambda names: tuple(sorted(names)))
MOVIE = st.fixed_dictionaries(
    {
        TITLE: st.one_of(st.text(), st.sampled_from(sorted(STR_NA_VALUES)), st.text(alphabet=' "%\tNAul')),
        YEAR: st.one_of(st.just(float("nan")), st.integers(1870, 2100).map(float)),
        **dict.fromkeys(ITEM_FEATURES, NAMES),
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MOVIE, min_size=1, max_size=4))
def test_any_movies_survive(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    movies = pd.DataFrame(rows, columns=[TITLE, YEAR, *ITEM_FEATURES])
    movies.insert(0, ITEM, np.arange(10, 10 + len(rows), dtype=np.int64))
    ratings = pd.DataFrame({USER: [1], ITEM: [10], TIME: [0]}, dtype=np.int64)
    folder = write_atomic(SourceData(ratings, movies, {}, "test"), tmp_path, "x")
    data = read_atomic(folder)
    pd.testing.assert_frame_equal(data.movies.drop(columns=DECADE), movies, check_dtype=False)
    tails: dict[str, set[str]] = {GENRE: set(), "person": set()}
    for tail in data.triples[TAIL]:
        kind, _, name = tail.partition(":")
        tails.setdefault(kind, set()).add(name)
    assert tails[GENRE] == {name for row in rows for name in row[GENRE]}
    assert tails["person"] == {name for row in rows for feature in (DIRECTOR, WRITER) for name in row[feature]}
    assert_as_recbole_reads_it(folder / "x.item", rows)


def assert_as_recbole_reads_it(path: Path, rows: list[dict[str, Any]]) -> None:
    """With the call of RecBole's `_load_feat`, no line, field or token may be lost."""
    table = pd.read_csv(path, delimiter="\t", dtype=str, encoding="utf-8", engine="python").fillna("")
    assert len(table) == len(rows)
    for feature in (TITLE, *ITEM_FEATURES):
        column = table.get(f"{feature}:token_seq", pd.Series([""] * len(rows)))
        tokens = [tuple(map(decode_token, filter(None, text.split(" ")))) for text in column]
        assert tokens == [words_of(row[feature]) for row in rows]


def words_of(value: Any) -> tuple[str, ...]:
    return tuple(filter(None, value.split(" "))) if isinstance(value, str) else value


# -- replacing ----------------------------------------------------------------------------------


def test_an_earlier_conversion_is_replaced_whole(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(data=tiny, out=out)
    (tiny / "genres.tsv").write_text("item\tgenre\n")
    convert(data=tiny, out=out)
    assert os.listdir(out) == ["tiny"]
    assert sorted(os.listdir(out / "tiny")) == sorted(
        ["manifest.json", *(f"tiny.{suffix}" for suffix in ("inter", "item", "user", "kg", "link"))]
    )
    assert "genre" not in (out / "tiny" / "tiny.item").read_text().partition("\n")[0]


def test_an_interrupted_conversion_leaves_the_earlier_one(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = convert(data=tiny, out=tmp_path / "out")
    before = contents(folder)
    (tiny / "genres.tsv").write_text("item\tgenre\n")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("movierec_bench.data.atomic._write_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(data=tiny, out=tmp_path / "out")
    assert contents(folder) == before
    assert os.listdir(tmp_path / "out") == ["tiny"]


def test_when_the_swap_fails_the_earlier_one_comes_back(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = convert(data=tiny, out=tmp_path / "out")
    before = contents(folder)
    rename = Path.rename

    def fail_for_the_new_one(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(ConfigError, match="No space left"):
        convert(data=tiny, out=tmp_path / "out")
    assert contents(folder) == before
    assert os.listdir(tmp_path / "out") == ["tiny"]


# -- reading ------------------------------------------------------------------------------------


def test_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: nothing.inter is missing; expected .*; make them with .*convert"):
        read_atomic(tmp_path / "nothing")


@pytest.mark.parametrize("suffix", ["inter", "item", "user", "kg", "link"])
def test_files_changed_after_converting_are_refused(tiny: Path, tmp_path: Path, suffix: str) -> None:
    folder = convert(data=tiny, out=tmp_path / "out")
    path = folder / f"tiny.{suffix}"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match=rf"tiny\.{suffix}: is not what convert wrote; expected .*convert` again"):
        read_atomic(folder)
    if suffix != "inter":
        path.unlink()
        with pytest.raises(DataError, match=rf"tiny\.{suffix}: is not what convert wrote"):
            read_atomic(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged .*sha256"),
        ('{"format": 0, "sha256": {}}', "has format 0; expected format 1 or 2; run .*convert` again"),
    ],
)
def test_a_bad_manifest_is_refused(tiny: Path, tmp_path: Path, text: str, message: str) -> None:
    folder = convert(data=tiny, out=tmp_path / "out")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=f"manifest.json: {message}"):
        read_atomic(folder)


# -- RecBole itself -----------------------------------------------------------------------------


def load_in_recbole(folder: Path, model: str, columns: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """RecBole's own dataset of a folder of atomic files."""
    from movierec_bench.recbole_backend import compat

    compat.apply()
    from recbole.config import Config
    from recbole.data import create_dataset

    monkeypatch.setattr(sys, "argv", ["pytest"])  # RecBole's Config reads the command line
    settings = {"data_path": str(folder.parent), "load_col": columns}
    if model == "SASRec":
        settings["train_neg_sample_args"] = None  # its loss takes no negatives
    return create_dataset(Config(model=model, dataset=folder.name, config_dict=settings))


INTER_COLUMNS = ["user_id", "item_id", "timestamp"]
LOADED = {
    "BPR": {"inter": INTER_COLUMNS},
    "SASRec": {"inter": INTER_COLUMNS},
    "FM": {"inter": INTER_COLUMNS, "item": "*", "user": "*"},
    "CKE": {
        "inter": INTER_COLUMNS,
        "item": ["item_id"],
        "kg": ["head_id", "relation_id", "tail_id"],
        "link": ["item_id", "entity_id"],
    },
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("model", LOADED)
@pytest.mark.parametrize("source", ["tiny", "ml100k", "real"])
def test_plain_recbole_loads_the_files(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, model: str
) -> None:
    real = SHARED / "data" / "ml_latest_small"
    if source == "real" and not real.is_dir():
        pytest.skip("needs the real data in ../shared")
    folder = convert({"tiny": tiny, "ml100k": None, "real": real}[source], name=source, out=tmp_path / "out")
    data = read_atomic(folder)
    loaded = load_in_recbole(folder, model, LOADED[model], monkeypatch)

    rated = data.interactions[ITEM].nunique()
    with_items = "item" in LOADED[model]
    assert loaded.inter_num == len(data.interactions)
    assert loaded.user_num == data.vocabulary.n_user_ix
    assert loaded.item_num == (data.vocabulary.n_item_ix if with_items else rated + 1)
    if model == "FM":
        for feature in ITEM_FEATURES:
            tokens = {token for tokens in data.movies[feature] for token in tokens}
            if tokens:
                assert set(map(decode_token, loaded.field2id_token[feature][1:])) == tokens
        assert set(loaded.field2id_token[DECADE][1:]) == set(data.movies[DECADE]) - {""}
    if model == "CKE":
        entities = set(data.triples[HEAD]) | set(data.triples[TAIL])
        assert loaded.entity_num == len(entities) + 1
        assert loaded.relation_num == data.triples[RELATION].nunique() + 2  # the padding, and user-item
        assert len(loaded.kg_feat) == len(data.triples)
        assert len(loaded.item2entity) == len(data.movies)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_recbole_keeps_the_interactions_of_a_movie_nothing_is_known_of(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tiny / "train_ratings.csv").open("a") as file:
        file.write("7,8,1112486000\n")
    folder = convert(data=tiny, out=tmp_path / "out")
    assert "movie:8\tmovie.decade\tdecade:unknown\n" in (folder / "tiny.kg").read_text()
    loaded = load_in_recbole(folder, "CKE", LOADED["CKE"], monkeypatch)
    assert loaded.inter_num == 9
