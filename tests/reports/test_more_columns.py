"""Columns at other depths and beyond recall, by hand and against the metrics themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support.mix_runs import Oracle, write_run

from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.reports.more_columns import BEYOND, depths_of, more_columns
from movierec_bench.runs.folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("columns"), {"Good": Oracle(3.0), "Weak": Oracle(0.5)}, users=40)


def test_depths_are_those_of_the_stored_rankings(run: RunFolder) -> None:
    board = leaderboard(run.path, k="5,20,50", sort="recall@20").to_frame()
    assert board.columns[-6:].tolist() == [f"{metric}@{k}" for k in (5, 20, 50) for metric in ("recall", "ndcg")]
    test = pd.read_parquet(run.split / "test.parquet")
    for name in ("Good", "Weak"):
        row = board[board["model"] == name].iloc[0]
        for k in (5, 20, 50):
            scored = per_user(run.model(name).read_topk("test"), test, k)
            assert row[f"recall@{k}"] == scored[f"recall@{k}"].mean()
            assert row[f"ndcg@{k}"] == scored[f"ndcg@{k}"].mean()
    assert board["model"].tolist() == ["Good", "Weak"]


def test_beyond_recall_by_hand(tmp_path: Path) -> None:
    """Training: movie 1 four times, 2 twice, 3 and 4 once; movie 1 makes up half of the rows."""
    run = RunFolder(tmp_path / "run")
    run.split.mkdir(parents=True)
    train = pd.DataFrame({"user": [1, 2, 3, 4, 1, 2, 3, 4], "item": [1, 1, 1, 1, 2, 2, 3, 4], "time": 0})
    test = pd.DataFrame({"user": [1, 2, 5], "item": [3, 1, 1], "time": 0})
    for name, rows in (("train", train), ("valid", train[:0]), ("test", test)):
        rows.to_parquet(run.split / f"{name}.parquet", index=False)
    topk = pd.DataFrame({"user": [1, 1, 2, 5], "item": [3, 4, 4, 1], "rank": [1, 2, 1, 1], "score": 1.0})
    run.model("M").write_topk("test", topk)
    row = more_columns(run, ["M"], [], beyond=True).iloc[0]
    assert row["novelty@10"] == pytest.approx((2 + 2 + 2 + 0) / 4)  # movies 3 and 4: one user of four
    counts = np.array([0, 1, 1, 2])  # of movies 2, 1, 3 and 4
    differences = np.abs(counts[:, None] - counts).sum() / (2 * 4 * counts.sum())
    assert row["gini@10"] == pytest.approx(differences)
    assert (row["recall_head@10"], row["recall_tail@10"]) == (0.5, 1.0)


def test_the_terminal_shows_what_was_asked_for(run: RunFolder) -> None:
    output = io.StringIO()
    Console(file=output, width=200).print(leaderboard(run.path, k=[5], beyond=True).to_rich())
    for column in ("recall@5", "ndcg@5", *BEYOND):
        assert column in output.getvalue()
    assert leaderboard(run.path).to_frame().columns[-1] == leaderboard(run.path).table.columns[-1] != BEYOND[-1]


@pytest.mark.parametrize("k", ["0", "101", "5,x", ""])
def test_depths_that_are_not_stored_are_refused(k: str) -> None:
    with pytest.raises(ConfigError, match="expected whole numbers"):
        depths_of(k)


def test_a_board_by_segment_has_no_further_columns(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match="leave out --by"):
        leaderboard(run.path, by="length", k="5")
