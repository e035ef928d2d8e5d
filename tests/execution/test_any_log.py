"""String ids, missing times and the protocols of whole logs, from a user's file to boards, mixes and submissions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from movierec_bench.data.convert import convert
from movierec_bench.data.split import read_split
from movierec_bench.errors import ConfigError
from movierec_bench.execution.run import run
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.score import score
from movierec_bench.reports.submission import submit
from movierec_bench.runs.folder import RunFolder

BPR = "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\nepochs: 1\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shop's log of string ids and dates, and a configuration in which BPR takes an epoch."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    lines = ["user,item,date"]
    for user in range(40):
        chosen = rng.choice(30, 12, replace=False)
        lines += [f'"u ""{user}""",NA-{item:02d},2015-0{1 + n % 9}-1{n % 10}' for n, item in enumerate(chosen)]
    (folder / "shop.csv").write_text("\n".join(lines) + "\n")
    (folder / "configs" / "models").mkdir(parents=True)
    (folder / "configs" / "models" / "BPR.yaml").write_text(BPR)
    convert(data=folder / "shop.csv", out=folder / "atomic_data")
    return folder


def go(folder: Path, models: str, out: str, protocol: str) -> tuple[RunFolder, pd.DataFrame]:
    board = run(
        models,
        dataset="shop",
        atomic=folder / "atomic_data",
        out=folder / out,
        protocol=protocol,
        configs=folder / "configs",
        quiet=True,
        no_track=True,
    )
    return RunFolder(folder / out / "shop"), board.to_frame().set_index("model")


def test_string_ids_go_through_everything(shop: Path) -> None:
    folder, board = go(shop, "Pop,EASE,BPR,GenreTop", "runs", "competition")
    assert board.loc[["Pop", "EASE", "BPR"], "status"].eq("done").all()
    assert board.loc["GenreTop", "status"] == "skipped" and "genres" in board.loc["GenreTop", "error"]

    log = pd.read_csv(shop / "shop.csv", keep_default_na=False)
    users, items = set(log["user"]), set(log["item"])
    ranking = folder.model("EASE").read_topk("test")
    assert set(ranking["user"]) == users and set(ranking["item"]) <= items

    mix = ensemble(folder.path, method="rrf", models="EASE,BPR", no_track=True)
    assert mix is not None
    path = submit(folder.path, "EASE")
    submission = pd.read_csv(path, keep_default_na=False)
    assert list(submission["user"]) == [user for user in sorted(users) for _ in range(10)]
    seen = set(zip(log["user"], log["item"]))
    assert not seen & set(zip(submission["user"], submission["item"]))

    answers = shop / "answers.csv"
    read_split(folder.split).test[["user", "item"]].to_csv(answers, index=False)
    checked = score(path, answers=answers, dataset="shop", atomic=shop / "atomic_data")
    assert checked.users == 40 and checked.missing_users == 0
    assert score(path).rows == 400  # also without the data set the ids are texts


def test_users_held_out_whole(shop: Path) -> None:
    folder, board = go(shop, "Pop,EASE,BPR", "by_user", "users")
    assert board.loc["BPR", "status"] == "skipped" and "holds out whole users" in board.loc["BPR", "error"]
    assert board.loc[["Pop", "EASE"], "missing_users"].eq(0).all()
    split = read_split(folder.split)
    assert split.shown is not None
    ranking = folder.model("EASE").read_topk("test")
    assert set(ranking["user"]) == set(split.test["user"])
    shown = set(zip(split.shown["user"], split.shown["item"]))
    assert not shown & set(zip(ranking["user"], ranking["item"]))
    everybody = folder.model("EASE").read_topk("full")
    assert everybody["user"].nunique() == 40


def test_users_without_a_training_row_are_missing_and_not_ranked_at_random(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i{(user + 3 * n) % 20:02d}") for user in range(20) for n in range(8)]
    for part, chosen in (
        ("train", rows),
        ("test", [*((f"u{user}", "i19x") for user in range(20)), ("stranger", "i01")]),
    ):
        text = "user,item\n" + "".join(f"{user},{item}\n" for user, item in chosen)
        (tmp_path / f"{part}.csv").write_text(text)
    convert(train=tmp_path / "train.csv", test=tmp_path / "test.csv", name="shop", out=tmp_path / "atomic_data")
    (tmp_path / "configs" / "models").mkdir(parents=True)
    (tmp_path / "configs" / "models" / "BPR.yaml").write_text(BPR)
    folder, board = go(tmp_path, "Pop,EASE,BPR", "runs", "given")
    assert board["missing_users"].to_dict() == {"Pop": 0, "EASE": 1, "BPR": 1}
    submission = pd.read_csv(folder.submission("EASE"))
    assert (submission["user"] == "stranger").sum() == 10


def test_filters_that_read_what_is_not_there_are_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="--filter future:1: shop has no years"):
        run(
            "Pop",
            dataset="shop",
            atomic=shop / "atomic_data",
            out=shop / "filtered",
            filter="future",
            quiet=True,
            no_track=True,
        )


def test_the_command_line_converts_and_says_what_comes_next(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("1 5 6\n2 5\n")
    (tmp_path / "train.csv").write_text("u,i,stars\na,b,5\na,c,1\na,d,5\n")
    (tmp_path / "test.csv").write_text("u,i,stars\na,e,5\n")
    sequences = _convert(tmp_path, "--data", "log.txt", "--columns", "time=")
    assert "next: python -m movierec_bench run --models fast --protocol random" in sequences.stdout
    split = [
        "--train",
        "train.csv",
        "--test",
        "test.csv",
        "--columns",
        "user=u,item=i,rating=stars",
        "--min-rating",
        "2",
    ]
    given = _convert(tmp_path, *split, "--name", "g")
    assert "rows rated too low: 1" in given.stdout and "--protocol given" in given.stdout
    refused = _convert(tmp_path, "--data", "train.csv")
    assert refused.returncode == 2 and "--columns user=NAME,item=NAME" in refused.stderr
    assert "Traceback" not in refused.stderr


def _convert(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "movierec_bench", "convert", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "COLUMNS": "400"})
