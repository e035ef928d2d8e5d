"""Good and bad users told apart, exported, trained on alone, and put together again by a route."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.data.atomic import write_atomic
from movierec_bench.data.split import read_part
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two models, its users told apart, and one of the models trained on each group."""
    folder = tmp_path_factory.mktemp("groups")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    go(folder, "EASE,Pop")
    mb.leaderboard(
        folder / "runs" / "planted", by="good", judges="EASE,Pop", threshold=0.2, users_out=folder / "told.csv"
    )
    for group in ("good", "bad"):
        go(folder, "EASE,Pop", only_users=f"{folder / 'told.csv'}:{group}")
    return folder


def go(folder: Path, models: str, **flags: object) -> pd.DataFrame:
    where = {"atomic": folder / "atomic_data", "out": folder / "runs", "quiet": True}
    return mb.run(models, **where, **flags).to_frame().set_index("model")


def told(folder: Path) -> pd.Series:
    return pd.read_csv(folder / "told.csv").set_index("user")["segment"]


def test_the_threshold_is_on_the_mean_of_the_judges_on_validation_rows(folder: Path) -> None:
    run = RunFolder(folder / "runs" / "planted")
    valid = read_part(run.split, "valid")
    recalls = []
    for judge in ("EASE", "Pop"):
        ten = run.model(judge).read_topk("valid", 10)
        hits = valid.merge(ten, on=["user", "item"]).groupby("user").size()
        recalls.append((hits / valid.groupby("user").size()).fillna(0))
    good = pd.concat(recalls, axis=1).mean(axis=1) > 0.2
    assert 5 < good.sum() < 55
    assert (told(folder)[good.index] == good.map({True: "good", False: "bad"})).all()
    with pytest.raises(ConfigError, match="segments by 'length' have no threshold"):
        mb.leaderboard(run.path, by="length", threshold=0.2)
    with pytest.raises(ConfigError, match="--users-out given without segments"):
        mb.leaderboard(run.path, users_out=folder / "none.csv")


def test_a_group_is_trained_and_ranked_alone_and_the_others_are_missing(folder: Path) -> None:
    run, groups = RunFolder(folder / "runs" / "planted"), told(folder)
    board = mb.leaderboard(run.path).to_frame().set_index("model")
    test = read_part(run.split, "test")
    for group in ("good", "bad"):
        own = set(groups.index[groups == group])
        for model in ("EASE", "Pop"):
            there = run.model(f"{model}@{group}")
            for part in ("valid", "test", "full"):
                assert set(there.read_topk(part)["user"]) <= own
            assert set(there.read_topk("full")["user"]) == own
            row = board.loc[f"{model}@{group}"]
            assert row["users"] == test["user"].nunique()
            assert row["missing_users"] == len(set(test["user"]) - own)
            scored = there.read_per_user().set_index("user")["recall@10"]
            assert (scored[[user for user in scored.index if user not in own]] == 0).all()
    rows = planted_competition().ratings  # popular among the group alone
    rows = rows[rows["user"].isin(groups.index[groups == "good"])]
    popular = rows["item"].value_counts()
    scores = run.model("Pop@good").read_topk("full").groupby("item")["score"].first()
    assert (scores == popular[scores.index].astype("float32")).all()


def test_what_is_finished_is_kept_and_other_users_are_another_model(folder: Path, tmp_path: Path) -> None:
    run, path = RunFolder(folder / "runs" / "planted"), folder / "told.csv"
    before = run.model("EASE@good").read_status()
    go(folder, "EASE", only_users=f"{path}:good")
    assert run.model("EASE@good").read_status() == before
    fewer = tmp_path / "good.csv"
    fewer.write_text("\n".join(map(str, told(folder).index[told(folder) == "good"][1:])) + "\n")
    first = run.model("EASE").read_status()
    out = folder / "again"
    for file in (f"{path}:good", str(fewer)):
        mb.run("Pop", atomic=folder / "atomic_data", out=out, quiet=True, only_users=file)
    again = RunFolder(out / "planted").model("Pop@good").read_status()
    assert again.fingerprint.fit != run.model("Pop@good").read_status().fingerprint.fit
    assert run.model("EASE").read_status() == first
    with pytest.raises(DataError, match="user 7 is not in the data set"):
        fewer.write_text("7\n")
        go(folder, "EASE", only_users=str(fewer))


def test_a_file_of_users_is_a_segment(folder: Path, tmp_path: Path) -> None:
    run, listed = folder / "runs" / "planted", tmp_path / "friends.csv"
    listed.write_text("user\n100\n101\n102\n")
    board = mb.leaderboard(run, by=str(listed))
    assert board.path.name == "leaderboard_by_friends.csv"
    table = board.to_frame()
    assert list(table["segment"].unique()) == ["friends", "others"]
    assert table.set_index(["segment", "model"]).loc[("friends", "EASE"), "users"] == 3
    listed.write_text("7\n")
    with pytest.raises(DataError, match="names user 7, who has no training rows in this run"):
        mb.leaderboard(run, by=str(listed))
    with pytest.raises(ConfigError, match="or a file of users"):
        mb.leaderboard(run, by=str(tmp_path / "none.csv"))


def test_a_route_puts_the_groups_together(folder: Path) -> None:
    run, groups = RunFolder(folder / "runs" / "planted"), told(folder)
    mix = mb.ensemble(
        run.path,
        method="route",
        models="EASE,EASE@good,EASE@bad",
        by=str(folder / "told.csv"),
        routes={"good": "EASE@good", "bad": "EASE@bad"},
        name="groups",
    )
    assert mix.status.missing_users == 0
    ranked = run.ensemble("groups").read_topk("test", 10).set_index("user")["item"]
    for group in ("good", "bad"):
        own = run.model(f"EASE@{group}").read_topk("test", 10).set_index("user")["item"]
        for user in groups.index[groups == group]:
            if user in own.index:
                assert ranked[[user]].tolist() == own[[user]].tolist()
