"""Data that change under a run, or that no run can be made of, are refused before anything trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.finished_runs import atomic, go, one_job, run_folder
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.errors import DataError
from movierec_bench.execution.jobs import begin, settle
from movierec_bench.execution.model_process import bench_model
from movierec_bench.reports.leaderboard import build_board


def test_data_converted_again_meanwhile_are_refused_by_the_models_process(tmp_path: Path) -> None:
    atomic(tmp_path)
    job = one_job(tmp_path, "Pop")
    atomic(tmp_path, seed=1)
    with pytest.raises(DataError, match="holds other data than the run.*converted again"):
        bench_model(job, lambda message: None)
    assert not job.staged.status.exists()


def test_a_process_that_ends_without_a_result_is_its_models_row(copied: Path) -> None:
    job = one_job(copied, "YearPop")
    begin(job)
    status = settle(job, "fit", None)
    assert status.state == "failed" and "in fit: its process ended without a result; see" in str(status.error)
    assert ".new" not in str(status.error)
    assert build_board(run_folder(copied)).to_frame().set_index("model").loc["YearPop", "status"] == "failed"
    assert not go(copied, "YearPop,Pop").failed


def test_a_user_with_too_few_unseen_movies_is_found_before_anything_trains(tmp_path: Path) -> None:
    competition = planted_competition()
    movies = competition.movies["item"]
    seen = pd.DataFrame({"user": 999, "item": movies[:-9], "time": range(len(movies) - 9)})
    ratings = pd.concat([competition.ratings, seen.astype(competition.ratings.dtypes)], ignore_index=True)
    write_atomic(replace(competition, ratings=ratings), tmp_path / "atomic_data", "planted")
    with pytest.raises(DataError, match="user 999.*only 9 unseen movies.*at least 10"):
        go(tmp_path, "Pop,EASE")
    assert run_folder(tmp_path).models() == []
    assert not go(tmp_path, "Pop", no_refit=True).failed


def test_data_that_hold_out_nothing_are_refused_before_anything_trains(tmp_path: Path) -> None:
    competition = planted_competition()
    short = competition.ratings.groupby("user").head(4).reset_index(drop=True)
    write_atomic(replace(competition, ratings=short), tmp_path / "atomic_data", "planted")
    with pytest.raises(DataError, match="holds out no row of planted.*longest log has 4 rows"):
        go(tmp_path, "Pop,EASE")
    assert run_folder(tmp_path).models() == []
