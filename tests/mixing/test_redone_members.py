"""A mix knows its members' results: it is stale once they are redone, and mixes respect the run's lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import yaml
from support.mix_runs import Oracle, write_run

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.leaderboard import build_board, leaderboard
from movierec_bench.reports.submission import submit
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import only_run
from movierec_bench.runs.records import Fingerprint


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path, {"Even": Oracle(4.0, "even"), "Odd": Oracle(1.5, "odd"), "Weak": Oracle(0.5)}, users=40)


def redo(run: RunFolder, name: str) -> None:
    """As if ``run`` had trained the model again with another result."""
    folder = run.model(name)
    folder.write_status(replace(folder.read_status(), fingerprint=Fingerprint(fit="0123", refit="0123")))


def test_a_mix_names_its_members_results(run: RunFolder) -> None:
    made = ensemble(run.path, method="rrf", models="Even,Odd")
    expected = {name: run.model(name).read_status().result_hash for name in ("Even", "Odd")}
    assert made.status.members == run.ensemble("rrf").read_status().members == expected
    assert yaml.safe_load(made.folder.params.read_text())["found_on"] == expected


def test_a_mix_is_stale_once_a_member_was_redone(run: RunFolder) -> None:
    ensemble(run.path, method="rrf", models="Even,Odd")
    ensemble(run.path, method="vote", models="Even,Weak")
    ensemble(run.path, method="linear", models="rrf,Weak")
    redo(run, "Odd")
    rows = build_board(run).to_frame().set_index("model")
    assert rows["status"].to_dict() == {
        "Even": "done",
        "Odd": "done",
        "Weak": "done",
        "vote": "done",
        "rrf": "stale",
        "linear": "stale",
    }
    assert "Odd was redone" in rows.loc["rrf", "error"] and "ensemble" in rows.loc["rrf", "error"]
    assert "rrf is stale itself" in rows.loc["linear", "error"]
    assert rows.loc[["rrf", "linear"], "place"].isna().all()
    assert rows.loc["rrf", "recall@10"] > 0  # its numbers stay to be seen
    assert leaderboard(run.path, status="stale").to_frame()["model"].tolist() == ["rrf", "linear"]
    ensemble(run.path, recipe=run.ensemble("rrf").params)
    ensemble(run.path, recipe=run.ensemble("linear").params)
    assert set(build_board(run).to_frame()["status"]) == {"done"}


def test_a_mix_is_stale_once_a_member_is_gone(run: RunFolder) -> None:
    ensemble(run.path, method="rrf", models="Even,Odd")
    run.model("Odd").status.unlink()
    row = build_board(run).to_frame().set_index("model").loc["rrf"]
    assert row["status"] == "stale" and "Odd is not finished" in row["error"]


def test_a_stale_mix_is_no_member_and_no_submission(run: RunFolder) -> None:
    ensemble(run.path, method="rrf", models="Even,Odd")
    redo(run, "Odd")
    with pytest.raises(ConfigError, match=r"rrf is stale: Odd was redone.*--recipe"):
        ensemble(run.path, method="vote", models="rrf,Weak")
    with pytest.raises(ConfigError, match=r"rrf is stale: Odd was redone.*--recipe"):
        submit(run.path, "rrf")


def test_a_recipe_says_whose_results_it_was_not_found_on(run: RunFolder) -> None:
    made = ensemble(run.path, method="greedy", models="Even,Odd", rule="vote", name="mine")
    assert "redone" not in made.describe()
    redo(run, "Odd")
    again = ensemble(run.path, recipe=made.folder.params)
    assert again.redone == ("Odd",)
    assert "Odd redone since the recipe was found" in again.describe()
    once_more = ensemble(run.path, recipe=made.folder.params)  # still: its weights are those of before
    assert once_more.redone == ("Odd",)
    assert ensemble(run.path, method="greedy", models="Even,Odd", rule="vote", name="mine").redone == ()


def test_while_a_run_goes_on_nothing_is_written_into_its_folder(run: RunFolder, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(run.path, target_is_directory=True)
    ensemble(run.path, method="vote", name="there")
    before = sorted(path for path in run.path.rglob("*"))
    with only_run(run):
        for path in (run.path, link):
            with pytest.raises(ConfigError, match="is being written by another"):
                ensemble(path, method="vote")
            with pytest.raises(ConfigError, match="is being written by another"):
                submit(path, "Even")
            with pytest.raises(ConfigError, match="is being written by another"):
                leaderboard(path, by="length")
        assert leaderboard(link).best is not None  # only read
    assert sorted(path for path in run.path.rglob("*")) == before
    ensemble(link, method="vote")


def _hold(run: Path, held: Event) -> None:
    with only_run(RunFolder(run)):
        held.set()
        signal.pause()


def test_a_lock_dies_with_its_holder(run: RunFolder) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(run.path, held))
    holder.start()
    try:
        assert held.wait(60)
        with pytest.raises(ConfigError, match="is being written by another"):
            ensemble(run.path, method="vote", name="mine")
        assert not run.ensemble("mine").path.exists()
    finally:
        os.kill(int(holder.pid or 0), signal.SIGKILL)
        holder.join()
    ensemble(run.path, method="vote", name="mine")
    assert run.ensemble("mine").finished() is not None
