"""What the report counts, against cases worked out by hand."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.mix_runs import write_run

from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.reports.report import user_pack
from movierec_bench.reports.report.alike import worth_mixing
from movierec_bench.reports.report.breakdowns import by_decade, by_genre, by_popularity, by_segment
from movierec_bench.reports.report.curves import pareto
from movierec_bench.reports.report.evidence import Evidence, Items, read_evidence
from movierec_bench.reports.report.kinds import _notice
from movierec_bench.reports.report.material import Material, read_material
from movierec_bench.reports.report.pairs import compare_pairs
from movierec_bench.reports.report.user_pack import UserPack, pack_users
from movierec_bench.reports.user_segments import BY, FOCUS, LENGTH, run_segments, segment_of
from movierec_bench.runs.folder import ModelFolder
from movierec_bench.schema import FAMILY, FIT_SECONDS, GENRE, ITEM, MAIN_METRIC, MODEL, RANK_SECONDS, USER, YEAR, K


def ranking(*lists: tuple[object, list[object]]) -> pd.DataFrame:
    """Stored rows of (user, the movies it is given, best first)."""
    rows = [(user, item, place + 1, 1.0 / (place + 1)) for user, movies in lists for place, item in enumerate(movies)]
    return pd.DataFrame(rows, columns=["user", "item", "rank", "score"])


def evidence(*tops: list[list[int]], held_out: list[tuple[int, int]], users: int) -> Evidence:
    """Rankings of models "A", "B", ... for users 0, 1, ...; movies are numbers already."""
    top = np.zeros((len(tops), users, K), dtype=np.int32)
    for model, lists in enumerate(tops):
        for user, movies in enumerate(lists):
            top[model, user, : len(movies)] = movies
    user_of, item_of = np.array(held_out).T
    rank = np.zeros((len(tops), len(held_out)), dtype=np.uint8)
    for model in range(len(tops)):
        for row, (user, item) in enumerate(held_out):
            where = np.flatnonzero(top[model, user] == item)
            rank[model, row] = where[0] + 1 if len(where) else 0
    names = tuple("ABCDEFGH"[: len(tops)])
    return Evidence(names, np.arange(users), user_of, item_of, rank, top, {})


# -- rankings against held-out rows ---------------------------------------------------------------


def test_ranks_are_those_of_the_stored_ranking(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "A")
    folder.write_topk("test", ranking(("ann", ["x", "y", "z"]), ("bob", ["y"]), ("cleo", ["x"])))
    held_out = pd.DataFrame({USER: ["bob", "ann", "ann", "dora"], ITEM: ["x", "z", "new", "x"]})
    items = Items(["x", "y"])
    found = read_evidence([folder], "test", held_out, items, 100)
    assert found.models == ("A",) and list(found.users) == ["ann", "bob", "dora"]
    assert list(items.ids) == ["x", "y", "z", "new"]  # known ones first, then as they were met
    of = {
        (found.users[user], items.ids[item - 1]): rank
        for user, item, rank in zip(found.user_of, found.item_of, found.rank[0])
    }
    assert of == {("ann", "z"): 3, ("ann", "new"): 0, ("bob", "x"): 0, ("dora", "x"): 0}
    assert [items.ids[movie - 1] for movie in found.top[0, 0] if movie] == ["x", "y", "z"]
    assert found.recall().tolist() == [[0.5, 0.0, 0.0]]
    assert found.mean_recalls([1, 2, 3]).tolist() == [[0.0, 0.0, pytest.approx(1 / 6)]]


def test_recall_is_the_boards(tmp_path: Path) -> None:
    material = read_material(write_run(tmp_path, users=60).path)
    assert material.test.models == ("Even", "Odd", "Weak", "Noise")
    for number, model in enumerate(material.test.models):
        topk = material.run.model(model).read_topk("test")
        expected = per_user(topk, material.split.test).set_index(USER)[MAIN_METRIC]
        assert material.test.recall()[number] == pytest.approx(expected.reindex(material.test.users).to_numpy())
        assert material.test.mean_recalls([K])[number, 0] == pytest.approx(material.recall_of(model))


def test_a_damaged_ranking_is_left_out_and_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, users=60)
    run.model("Odd").topk("test").write_bytes(b"no parquet")
    material = read_material(run.path)
    assert material.test.models == ("Even", "Weak", "Noise")
    assert list(material.test.unreadable) == ["Odd"]
    assert "Odd" in material.valid.models


# -- two models at a time -------------------------------------------------------------------------


def test_two_models_are_compared_by_hand() -> None:
    found = evidence(
        [[1, 2], [1, 2], [1, 2]],
        [[1, 3], [3, 4], [1, 2]],
        held_out=[(0, 1), (0, 3), (1, 2), (2, 9)],
        users=3,
    )
    row = compare_pairs(found, ["A", "B"]).iloc[0]
    assert row["overlap"] == pytest.approx((1 + 0 + 2) / (3 * K))
    a, b = [0.5, 1.0, 0.0], [1.0, 0.0, 0.0]
    assert row["correlation"] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert row["found_by_either"] == pytest.approx(2 / 3)  # 1 of user 0, 1 of user 1, 0 of user 2
    assert row["adds"] == pytest.approx(2 / 3 - 1 / 2)


def test_a_model_that_finds_nothing_correlates_with_nothing() -> None:
    row = compare_pairs(evidence([[1]], [[2]], held_out=[(0, 1)], users=1), ["A", "B"]).iloc[0]
    assert np.isnan(row["correlation"]) and row["overlap"] == 0 and row["adds"] == 0


def test_pairs_worth_mixing_find_most_together() -> None:
    found = evidence([[1], [0], [0]], [[2], [2], [0]], [[1], [2], [0]], held_out=[(0, 1), (1, 2), (2, 3)], users=3)
    best = worth_mixing(compare_pairs(found, ["C", "A", "B"]), ["C", "A", "B"])
    assert best["found_by_either"].tolist() == [pytest.approx(2 / 3)] * 3
    assert (best["first"] + best["second"]).tolist() == ["AB", "CA", "CB"]


# -- time ----------------------------------------------------------------------------------------


def test_the_pareto_front() -> None:
    placed = pd.DataFrame(
        {
            MODEL: ["best", "slow", "quick", "equal", "mix", "unmeasured"],
            FAMILY: ["general", "general", "rule", "rule", "ensemble", "general"],
            MAIN_METRIC: [0.2, 0.1, 0.1, 0.1, 0.3, 0.15],
            FIT_SECONDS: [9.0, 20.0, 0.0, 1.0, 0.1, np.nan],
            RANK_SECONDS: [1.0, 1.0, np.nan, 0.0, 0.1, 1.0],
        }
    )
    table = pareto(placed)
    assert table[MODEL].tolist() == ["quick", "equal", "best", "slow"]
    assert table["seconds"].tolist() == [0.01, 1.0, 10.0, 21.0]  # a logarithmic axis has no 0
    assert table.loc[table["pareto"], MODEL].tolist() == ["quick", "best"]


# -- kinds of users and movies -----------------------------------------------------------------


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return read_material(write_run(tmp_path_factory.mktemp("numbers")).path)


@pytest.mark.parametrize("by", [by for by in BY if by in (LENGTH, FOCUS)])
def test_segments_average_to_the_whole(material: Material, by: str) -> None:
    table = by_segment(material, by)
    users = material.test.users
    own = segment_of(run_segments(material.run.path, by, None, None), users)
    for model, rows in table.groupby(MODEL):
        assert rows["users"].sum() == len(users)
        assert np.average(rows[MAIN_METRIC], weights=rows["users"]) == pytest.approx(material.recall_of(str(model)))
    first = table.iloc[0]
    inside = material.test.recall()[0][own == first["segment"]]
    assert first[MAIN_METRIC] == pytest.approx(inside.mean()) and first["users"] == len(inside)


def held_out_with_hits(material: Material, model: str) -> pd.DataFrame:
    """Test rows with what their movie is, and whether the model's ten hold it; counted by pandas alone."""
    assert material.movies is not None
    ten = material.run.model(model).read_topk("test", K)[[USER, ITEM]].assign(hit=True)
    rows = material.split.test.merge(ten, on=[USER, ITEM], how="left").merge(material.movies, on=ITEM, how="left")
    popularity = material.split.train[ITEM].value_counts()
    return rows.assign(hit=rows["hit"].notna(), popularity=rows[ITEM].map(popularity).fillna(0).astype(int))


def test_by_popularity(material: Material) -> None:
    table = by_popularity(material)
    rows = held_out_with_hits(material, "Odd")
    own = table[table[MODEL] == "Odd"]
    assert own["rows"].sum() == len(rows) and len(own) == 5
    for row in own.itertuples():
        low, _, high = row.group.partition(" to ")
        inside = rows["popularity"].between(int(low), int(high or low))
        assert row.rows == inside.sum()
        assert row.found == pytest.approx(rows.loc[inside, "hit"].mean())


def test_by_genre_and_decade(material: Material) -> None:
    rows = held_out_with_hits(material, "Even")
    genres = by_genre(material)
    for row in genres[genres[MODEL] == "Even"].itertuples():
        inside = rows[GENRE].map(lambda names, name=row.group: name in names)
        assert (row.rows, row.found) == (inside.sum(), pytest.approx(rows.loc[inside, "hit"].mean()))
    decades = by_decade(material)
    assert decades["group"].unique().tolist() == ["1990s", "2000s"]
    for row in decades[decades[MODEL] == "Even"].itertuples():
        inside = rows[YEAR] // 10 * 10 == int(row.group[:4])
        assert (row.rows, row.found) == (inside.sum(), pytest.approx(rows.loc[inside, "hit"].mean()))


def test_sentences_speak_of_kinds_with_enough_rows(material: Material) -> None:
    rows = [("Even", "rare", 3, 1.0), ("Even", "common", 40, 0.5), ("Even", "usual", 30, 0.4)]
    rows += [("Odd", "rare", 3, 0.0), ("Odd", "common", 40, 0.1), ("Odd", "usual", 30, 0.6)]
    table = pd.DataFrame(rows, columns=["model", "group", "rows", "found"])
    assert material.lineup[0] == "Even"
    assert _notice(material, table, "found") == (
        "Of kinds with 30 rows or more: easiest: usual (0.500 on average); hardest: common (0.300). "
        "Better there than Even: Odd for usual."
    )
    assert _notice(material, table[table["group"] != "usual"], "found").startswith("Too few rows to compare")
    assert _notice(material, table[table["group"] == "usual"], "found") == "All held-out rows are of one kind: usual."


# -- the pack of users --------------------------------------------------------------------------


def unpack(pack: UserPack, user: str) -> dict[str, object]:
    """What the page's script reads, read independently: [rows, history, held out, tens by model] as titles."""
    place = pack.users.index(user)
    shown = pack.for_page()
    blocks, size = shown["blocks"], shown["block"]
    assert isinstance(blocks, tuple) and isinstance(size, int)
    content = zlib.decompress(base64.b64decode(blocks[place // size]), wbits=-15)
    numbers = np.frombuffer(content, dtype="<u4" if pack.wide else "<u2").tolist()
    at, places = 0, len(pack.models) * K
    for _ in range(place % size):
        at += 4 + sum(numbers[at + 1 : at + 4]) + places
    rows, *lengths = numbers[at : at + 4]
    at += 4
    parts = []
    for length in lengths:
        parts.append([pack.titles[number - 1] for number in numbers[at : at + length]])
        at += length
    history, held_out, candidates = parts
    codes = np.array(numbers[at : at + places]).reshape(len(pack.models), K)
    tens = {model: [candidates[code - 1] for code in row if code] for model, row in zip(pack.models, codes.tolist())}
    return {"rows": rows, "history": history, "held out": held_out, "tens": tens}


def test_a_packed_user_is_that_user(material: Material) -> None:
    pack = pack_users(material)
    assert len(pack.users) == pack.scored == 150 and not pack.wide
    titles = dict(zip(material.items.ids, material.titles))
    seen = pd.concat([material.split.train, material.split.valid]).sort_values("time", kind="stable", ascending=False)
    for user in (100, 131, 132, 249):
        found = unpack(pack, str(user))
        history = [titles[item] for item in seen.loc[seen[USER] == user, ITEM]]
        assert found["history"] == history and found["rows"] == len(history)
        test = material.split.test
        assert found["held out"] == [titles[item] for item in test.loc[test[USER] == user, ITEM]]
        for model in pack.models:
            topk = material.run.model(model).read_topk("test", K)
            ten = topk[topk[USER] == user].sort_values("rank")[ITEM]
            assert found["tens"][model] == [titles[item] for item in ten], model  # type: ignore[index]


def test_more_users_than_fit_are_a_sample_with_those_that_were_asked_for(material: Material) -> None:
    whole = sum(map(len, pack_users(material).blocks))
    pack = pack_users(material, ["177", "101"], most_bytes=whole // 4)
    assert {"177", "101"} <= set(pack.users) and 10 < len(pack.users) < 75 and pack.scored == 150
    assert sum(map(len, pack.blocks)) <= whole // 4
    train = material.split.train[USER].astype(str).value_counts()
    thirds = np.quantile(train, [1 / 3, 2 / 3])
    kinds = np.bincount(np.searchsorted(thirds, train[list(pack.users)]), minlength=3)
    assert kinds.min() >= len(pack.users) / 6, "short, medium and long logs"


def test_a_user_nobody_knows_is_refused(material: Material) -> None:
    with pytest.raises(ConfigError, match="users nobody have no rows in this run .* expected ids of its 150 users"):
        pack_users(material, ["nobody"])


def test_many_movies_need_wider_numbers(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = pack_users(material)
    monkeypatch.setattr(user_pack, "_NARROW", len(narrow.titles))
    wide = pack_users(material)
    assert wide.wide and not narrow.wide
    assert unpack(wide, "249") == unpack(narrow, "249")
