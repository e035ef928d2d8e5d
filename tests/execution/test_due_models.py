"""What redoes a result, what leaves it as it is, and who gets how much of a command's time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.finished_runs import BPR_HEAD, atomic, go, one_job, run_folder

from movierec_bench.execution.jobs import Job, make_job, will_replace
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import Status
from movierec_bench.settings.catalog import load_catalog

# -- seeds, versions, budgets -------------------------------------------------------------------


def test_the_manifest_says_how_the_folder_began_and_each_row_its_own_seed(copied: Path) -> None:
    board = go(copied, "Random", seed=7).to_frame().set_index("model")
    assert board["seed"].to_dict() == {"EASE": 42, "Pop": 42, "Random": 7}
    manifest = run_folder(copied).read_manifest()
    assert manifest.seed == 42 and "--seed" not in manifest.command


def test_rows_of_other_versions_or_threads_say_so(copied: Path) -> None:
    folder = run_folder(copied).model("Pop")
    status = folder.read_status()
    folder.write_status(replace(status, versions={**status.versions, "torch": "1.0"}, threads=99))
    board = build_board(run_folder(copied)).to_frame().set_index("model")
    assert board["made_with"].to_dict() == {"EASE": "", "Pop": "threads 99, torch 1.0", "Random": ""}


def kept_by(job: Job, **changes: Any) -> tuple[bool, bool]:
    """Whether the fit of Pop's changed status stands, and whether anything is due."""
    from movierec_bench.execution.jobs import is_due

    job.folder.write_status(replace(job.folder.read_status(), **changes))
    entry, manifest = job.entry, RunFolder(job.run).read_manifest()
    again = make_job(
        entry, RunFolder(job.run), job.dataset, manifest, job.test_fit, job.seed, job.budget, "", refit=True
    )
    return again.kept is not None, is_due(again)


def test_another_budget_redoes_just_what_had_run_out_of_it(copied: Path) -> None:
    job = replace(one_job(copied, "Pop"), budget=3600)
    assert kept_by(job) == (True, False)
    assert kept_by(job, state="budget", budget=40.0, fit_out_of_budget=False) == (True, True), "the refit alone"
    assert kept_by(job, state="budget", budget=40.0, fit_out_of_budget=True) == (False, True)
    assert kept_by(job, state="failed", budget=40.0, fit_out_of_budget=True) == (False, True), "its refit failed"
    assert kept_by(job, state="failed", budget=40.0, fit_out_of_budget=False) == (True, True)
    assert kept_by(job, state="budget", budget=3600.0, fit_out_of_budget=True) == (True, False)


def test_what_will_be_redone_is_said_once_with_the_reason(copied: Path) -> None:
    job = one_job(copied, "Pop")
    assert will_replace([job]) == ""
    assert will_replace([replace(job, kept=None, seed=7)]).startswith("1 finished model will be redone (seed 42")
    assert "(changed code): Pop;" in will_replace([replace(job, kept=None, code_hash="other")])


def test_other_code_of_the_model_redoes_it(copied: Path) -> None:
    job = one_job(copied, "Pop")
    assert job.kept is not None
    status: Status = job.kept
    assert replace(job, code_hash="other").fingerprint(status.reads) != status.fingerprint.fit


def test_a_key_that_a_model_does_not_read_redoes_nothing(copied: Path) -> None:
    folder = copied / "configs"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 2\nembedding_size: 8\n")
    go(copied, "BPR", configs=folder)
    ended = run_folder(copied).model("BPR").status.stat().st_mtime_ns
    common = (load_catalog()["EASE"].path.parents[1] / "common.yaml").read_text()
    (folder / "common.yaml").write_text(f"{common}hidden_size: 64\n")
    go(copied, "BPR", configs=folder)
    assert run_folder(copied).model("BPR").status.stat().st_mtime_ns == ended
    (folder / "common.yaml").write_text(common.replace("learning_rate: 0.001", "learning_rate: 0.002"))
    go(copied, "BPR", configs=folder)
    assert run_folder(copied).model("BPR").status.stat().st_mtime_ns != ended


# -- the whole command's time ---------------------------------------------------------------------


def test_the_cheap_come_first_and_the_others_share_what_is_left(copied: Path) -> None:
    from movierec_bench.execution.jobs import in_turn

    catalog, job = load_catalog(), replace(one_job(copied, "Pop"), kept=None, ends_at=1000.0)
    jobs = [replace(job, entry=catalog[name]) for name in ("BPR", "EASE", "LightGCN", "Pop", "SASRec")]
    turns = in_turn(jobs, workers=1)
    assert [one.entry.name for one in turns] == ["Pop", "EASE", "BPR", "LightGCN", "SASRec"]
    assert [one.turns for one in turns] == [3, 3, 3, 2, 1]
    shares = [one.seconds_a_fit(now=100.0) for one in turns[2:]]
    assert shares == pytest.approx([0.85 * 900 / left / 3 for left in (3, 2, 1)])
    assert [one.turns for one in in_turn(jobs, workers=2)][2:] == [1.5, 1, 1]
    assert replace(turns[2], budget=20).seconds_a_fit(now=100.0) == 20
    assert replace(turns[2], refit=False, test_fit="train").seconds_a_fit(now=100.0) == pytest.approx(255.0)


def test_a_command_ends_with_its_hours_and_the_next_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    atomic(tmp_path)
    configs = tmp_path / "configs" / "models"
    configs.mkdir(parents=True)
    (configs / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 1000000\nstopping_step: 1000000\nembedding_size: 8\n")
    began = time.monotonic()
    board = go(tmp_path, "BPR,Pop", configs=tmp_path / "configs", hours=60 / 3600)
    assert time.monotonic() - began < 75
    assert board.to_frame().set_index("model")["status"].to_dict() == {"BPR": "budget", "Pop": "done"}
    assert all(run_folder(tmp_path).submission(name).is_file() for name in ("BPR", "Pop"))
    go(tmp_path, "BPR,Pop,Random", configs=tmp_path / "configs", hours=1e-9)
    assert "--hours was over before Random" in caplog.text
    assert not go(tmp_path, "BPR,Pop,Random", configs=tmp_path / "configs", hours=1).failed
    assert run_folder(tmp_path).submission("Random").is_file()
