"""A test among given candidates, from NCF's files to the board, against a few lines of NumPy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.published_files import NEGATIVES, some_rows, write_ncf

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.convert import convert
from movierec_bench.execution.run import run
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.runs.folder import RunFolder

PENALTY, USERS = 250.0, 400


@pytest.fixture(scope="module")
def ncf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ml-100k's first users split as NCF split MovieLens-1M: ids from 0, last row out, 99 negatives."""
    folder = tmp_path_factory.mktemp("ncf")
    write_ncf(folder, some_rows(folder, USERS), "small")
    (folder / "configs" / "models").mkdir(parents=True)
    plain = f"base: EASE\nreg_weight: {PENALTY}\nrecency_grid: []\n"
    (folder / "configs" / "models" / "EASE_plain.yaml").write_text(plain)
    return folder


def among_candidates(folder: Path) -> tuple[float, float]:
    """HR@10 and NDCG@10 of EASE by its formula, from the files alone; nothing of this library."""
    train, _ = (np.loadtxt(folder / f"small.{part}.rating", dtype=int)[:, :2] for part in ("train", "test"))
    tests = [line.split("\t") for line in (folder / "small.test.negative").read_text().splitlines()]
    matrix = np.zeros((USERS, 1 + max(train[:, 1].max(), *(int(item) for line in tests for item in line[1:]))))
    matrix[train[:, 0], train[:, 1]] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + PENALTY * np.eye(matrix.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = matrix @ weights
    places = []
    for pair, *negatives in tests:
        user, item = map(int, pair.strip("()").split(","))
        others = scores[user, np.array(negatives, dtype=int)]
        places.append(1 + int((others > scores[user, item]).sum()))
    hits = np.array(places) <= 10
    return hits.mean(), (hits / np.log2(1 + np.array(places))).mean()


def test_the_test_ranks_listed_candidates_alone(ncf: Path) -> None:
    command = [sys.executable, "-m", "movierec_bench", "convert", "--name", "small"]
    for flag, file in (("train", "train.rating"), ("test", "test.rating"), ("candidates", "test.negative")):
        command += [f"--{flag}", f"small.{file}"]
    done = subprocess.run(command, cwd=ncf, capture_output=True, text=True, check=True)
    assert f"candidates: {USERS * (1 + NEGATIVES):,}" in done.stdout and "--protocol given" in done.stdout

    where = {"atomic": ncf / "atomic_data", "out": ncf / "runs", "configs": ncf / "configs"}
    board = run("EASE_plain,Pop", protocol="given", no_track=True, quiet=True, **where)
    table = board.to_frame().set_index("model")
    hits, ndcg = among_candidates(ncf)
    assert table.loc["EASE_plain", "hit@10"] == pytest.approx(hits, abs=1e-12)
    assert table.loc["EASE_plain", "recall@10"] == pytest.approx(hits, abs=1e-12)  # one test row a user
    assert table.loc["EASE_plain", "ndcg@10"] == pytest.approx(ndcg, abs=1e-12)
    assert 0.3 < table.loc["EASE_plain", "ci_low"] < hits < table.loc["EASE_plain", "ci_high"]
    assert table.loc["Pop", "hit@10"] < hits

    folder = RunFolder(ncf / "runs" / "small")
    listed = set(read_atomic(ncf / "atomic_data" / "small").candidates.itertuples(index=False, name=None))
    test, full = (folder.model("EASE_plain").read_topk(part, 100) for part in ("test", "full"))
    assert set(zip(test["user"], test["item"])) == listed  # all hundred of each user, and nothing else
    assert not set(zip(full["user"], full["item"])) <= listed  # a submission is of all movies
    for text in (board.to_markdown(), board.to_html()):
        assert "the test among listed candidates" in text
    wide = leaderboard(folder.path, k="1,5").to_frame().set_index("model")
    assert 0 < wide.loc["EASE_plain", "recall@1"] < wide.loc["EASE_plain", "recall@5"] < hits

    ensemble(folder.path, models="EASE_plain,Pop", method="vote", no_track=True)
    mix = folder.ensembles()[0]
    mixed = mix.read_topk("test", 100)
    assert set(zip(mixed["user"], mixed["item"])) <= listed


def test_another_protocol_of_the_same_data_ranks_every_movie(ncf: Path) -> None:
    if not (ncf / "atomic_data").exists():
        parts = {part: ncf / f"small.{part}.rating" for part in ("train", "test")}
        convert(**parts, candidates=ncf / "small.test.negative", name="small", out=ncf / "atomic_data")
    where = {"atomic": ncf / "atomic_data", "out": ncf / "others"}
    board = run("Pop", protocol="last", no_refit=True, no_track=True, quiet=True, **where)
    assert "listed candidates" not in board.to_markdown() + str(board.to_rich().caption)
    assert board.to_frame()["recall@10"][0] < 0.2
