"""MLflow: what a search for parameters leaves in a store, and that it is there once only. Without Ray."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
from support.mlflow_stores import Store, told_uploader
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import RunManifest
from movierec_bench.runs.trials import Trial, TrialFolder, best_config
from movierec_bench.schema import EpochRecord
from movierec_bench.tracking.entries import BEST, COMPLETE, MODEL, TRIAL
from movierec_bench.tracking.tracker import open_tracking, track
from movierec_bench.tuning import tune as tuning
from movierec_bench.tuning.tune import tune
from movierec_bench.tuning.tuned import Tuned

pytestmark = pytest.mark.xdist_group("mlflow")

EPOCHS = (EpochRecord(1, 0.5, 0.25, 2.0), EpochRecord(2, 0.25, 0.125, 1.5))
BPR = [
    Trial(0, "done", {"rate": 0.01, "sizes": [8, 4]}, "aaa", recall=0.25, seconds=4.0, epochs=EPOCHS),
    Trial(1, "stopped", {"rate": 0.5, "sizes": [8]}, "111", recall=0.125, seconds=2.0, epochs=EPOCHS[:1]),
    Trial(2, "budget", {"rate": 0.1, "sizes": [4]}, "ccc", recall=0.375, seconds=3.0, budget=3.0, epochs=EPOCHS),
    Trial(3, "failed", {"rate": 9.0, "sizes": []}, "ddd", seconds=1.0, error="ValueError: odd"),
]
EASE = [Trial(0, "done", {"reg_weight": 500.0}, "eee", recall=0.5, seconds=1.0)]


def write_search(there: RunFolder, model: str, trials: Sequence[Trial]) -> TrialFolder:
    folder = TrialFolder.of(there, model)
    for trial in trials:
        folder.write(trial)
        if trial.state == "failed":
            write_text(folder.log(trial.number), "Traceback: odd\n")
    folder.write_tables(trials)
    write_text(best_config(there, model), f"# the best of {model}\n")
    return folder


def made_up(folder: Path) -> RunFolder:
    """Two models' searches: one of four trials in every state, one of a single trial."""
    there = RunFolder(folder / "planted")
    versions = {"recbole": "1.2.1"}
    there.write_manifest(
        RunManifest(
            "planted", "atomic_data", "d4ta", "competition", "pr0t", 42, versions, "made up", run_id=folder.name
        )
    )
    write_search(there, "BPR", BPR)
    write_search(there, "EASE", EASE)
    return there


def store_of(there: RunFolder, model: str, uri: str) -> Store:
    return Store(uri, f"{there.read_manifest().run_id}/{model}", TRIAL)


def best_of(store: Store) -> list[str]:
    return [fingerprint for fingerprint, child in store.children.items() if BEST in child.data.tags]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    there = made_up(tmp_path_factory.mktemp("searches"))
    done = track(there.path)
    assert done.uploaded == (*(f"BPR trial {number}" for number in range(4)), "EASE trial 0")
    assert done.kept == done.unreadable == ()
    assert len(done.parent_ids) == 2, "a search is no benchmark, and has no run for one"
    return there


@pytest.fixture
def database(tracked: RunFolder) -> str:
    return f"sqlite:///{tracked.path.parent / 'mlflow.db'}"


@pytest.fixture
def own(tmp_path: Path) -> RunFolder:
    """Searches that a test may change, in the database of the others: to set up another takes seconds."""
    return made_up(tmp_path)


# -- what is in a store -------------------------------------------------------------------------


def test_each_searched_model_has_a_parent(tracked: RunFolder, database: str) -> None:
    store = store_of(tracked, "BPR", database)
    assert store.client.get_experiment(store.parent.info.experiment_id).name == "planted"
    assert (store.parent.info.run_name, store.parent.info.status) == ("tune BPR", "FINISHED")
    assert store.parent.data.params["model"] == "BPR"
    assert store.parent.data.params["data_hash"] == "d4ta"
    assert store.parent.data.tags["command"] == "made up"
    assert store.parent.data.metrics == {
        "trials": 4,
        "best_valid_recall_at_10": 0.375,
        "default_valid_recall_at_10": 0.25,
    }
    assert store.artifacts(store.parent) == {"trials.csv", "epochs.csv", "BPR.yaml"}
    other = store_of(tracked, "EASE", database)
    assert other.parent.info.run_name == "tune EASE"
    assert set(other.children) == {"eee"}


def test_a_trial_has_its_parameters_metrics_by_step_and_state(tracked: RunFolder, database: str) -> None:
    store = store_of(tracked, "BPR", database)
    assert {child.info.run_name for child in store.children.values()} == {f"BPR trial {number}" for number in range(4)}
    default = store.children["aaa"]
    assert default.data.params == {"rate": "0.01", "sizes": "[8, 4]"}
    assert store.history("aaa", "train_loss") == [(1, 0.5), (2, 0.25)]
    assert store.history("aaa", "valid_recall_at_10") == [(1, 0.25), (2, 0.125)]
    assert store.history("aaa", "best_valid_recall_at_10") == [(0, 0.25)]
    assert default.info.end_time - default.info.start_time == 4000
    assert default.data.tags[MODEL] == "BPR"
    assert default.data.tags["protocol_hash"] == "pr0t"
    assert default.data.tags["version.recbole"] == "1.2.1"
    assert {name: child.data.tags["status"] for name, child in store.children.items()} == {
        trial.fingerprint: trial.state for trial in BPR
    }
    assert store.children["ccc"].data.params["budget"] == "3.0"
    assert best_of(store) == ["ccc"]
    ease = store_of(tracked, "EASE", database)
    assert ease.history("eee", "best_valid_recall_at_10") == [(0, 0.5)], "closed-form: no epochs"
    assert "valid_recall_at_10" not in ease.children["eee"].data.metrics
    assert best_of(ease) == ["eee"]


def test_a_failed_trial_has_its_error_and_traceback(tracked: RunFolder, database: str) -> None:
    store = store_of(tracked, "BPR", database)
    assert {name: child.info.status for name, child in store.children.items()} == {
        "aaa": "FINISHED",
        "111": "FINISHED",
        "ccc": "FINISHED",
        "ddd": "FAILED",
    }
    failed = store.children["ddd"]
    assert failed.data.tags["error"] == "ValueError: odd"
    assert "best_valid_recall_at_10" not in failed.data.metrics
    assert store.artifacts(failed) == {"trial_3.txt"}
    assert store.artifacts(store.children["aaa"]) == set()


# -- while a trial trains -------------------------------------------------------------------------


def wait_for(there: RunFolder, uri: str, epochs: int) -> Store:
    """The searches of BPR once the trial 999 shows so many epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        store = store_of(there, "BPR", uri)
        if "999" in store.children and len(store.history("999", "valid_recall_at_10")) == epochs:
            return store
        time.sleep(0.3)
    raise AssertionError("waited in vain")


def test_epochs_of_a_trial_are_there_before_it_ends_and_once_afterwards(own: RunFolder, database: str) -> None:
    late = Trial(4, "done", {"rate": 0.2, "sizes": [1]}, "999", recall=0.25, seconds=4.0, epochs=EPOCHS)
    with open_tracking(own, database, no_track=False) as told:
        told.epoch(late.fingerprint, EPOCHS[0], "BPR trial 4", "BPR")
        live = wait_for(own, database, 1).children["999"]
        assert (live.info.run_name, live.info.status) == ("BPR trial 4", "RUNNING")
        assert live.data.tags["status"] == "training"
        told.epoch(late.fingerprint, EPOCHS[1], "BPR trial 4", "BPR")
        wait_for(own, database, 2)
        write_search(own, "BPR", [*BPR, late])
        told.finished("BPR trial 4")
    store = store_of(own, "BPR", database)
    ended = store.children["999"]
    assert ended.info.run_id == live.info.run_id, "the run that was looked at is the one that holds the result"
    assert (ended.info.status, ended.data.tags["status"]) == ("FINISHED", "done")
    assert ended.data.params == {"rate": "0.2", "sizes": "[1]"}
    assert store.history("999", "valid_recall_at_10") == [(1, 0.25), (2, 0.125)]
    assert store.search(deleted=True) == []


def test_what_a_killed_search_left_in_training_is_replaced(own: RunFolder, database: str) -> None:
    with pytest.raises(KeyboardInterrupt), open_tracking(own, database, no_track=False) as told:
        told.epoch("999", replace(EPOCHS[0], valid_recall=0.9), "BPR trial 4", "BPR")
        wait_for(own, database, 1)
        raise KeyboardInterrupt
    track(own.path, database)
    assert "999" not in store_of(own, "BPR", database).children


# -- once only ----------------------------------------------------------------------------------


def test_a_second_upload_sends_nothing(tracked: RunFolder, database: str) -> None:
    before = store_of(tracked, "BPR", database).everything()
    done = track(tracked.path)
    assert done.uploaded == ()
    assert len(done.kept) == 5
    assert store_of(tracked, "BPR", database).everything() == before


def test_a_half_upload_is_completed_not_doubled(tracked: RunFolder, database: str) -> None:
    before = store_of(tracked, "BPR", database)
    child = before.children["111"].info.run_id
    before.client.delete_tag(child, COMPLETE)
    before.client.update_run(child, status="RUNNING")
    assert track(tracked.path).uploaded == ("BPR trial 1",)
    after = store_of(tracked, "BPR", database)
    assert after.everything() == before.everything()
    assert after.children["111"].info.status == "FINISHED"


def test_a_search_that_goes_on_keeps_its_trials_and_moves_the_mark(own: RunFolder, database: str) -> None:
    first = track(own.path, database)
    before = store_of(own, "BPR", database)
    again = replace(BPR[3], state="done", error=None, recall=0.25, seconds=5.0)  # a failed trial is tried again
    better = Trial(4, "done", {"rate": 0.2, "sizes": [1]}, "fff", recall=0.75, seconds=1.0)
    write_search(own, "BPR", [*BPR[:3], again, better])
    second = track(own.path, database)
    assert second.uploaded == ("BPR trial 3", "BPR trial 4")
    assert second.parent_ids == first.parent_ids
    after = store_of(own, "BPR", database)
    assert best_of(after) == ["fff"]
    assert after.children["ddd"].info.status == "FINISHED"
    assert {name: after.children[name].info.run_id for name in ("aaa", "111", "ccc")} == {
        name: before.children[name].info.run_id for name in ("aaa", "111", "ccc")
    }
    assert [found.info.run_id for found in after.search(deleted=True)] == [before.children["ddd"].info.run_id]
    assert after.parent.data.metrics["best_valid_recall_at_10"] == 0.75
    assert after.parent.data.metrics["trials"] == 5


def test_trials_that_were_forgotten_go_and_the_others_stay(own: RunFolder, database: str) -> None:
    track(own.path, database)
    before = store_of(own, "EASE", database)
    TrialFolder.of(own, "BPR").clear()
    write_search(own, "BPR", BPR[:2])
    assert track(own.path, database).uploaded == ()
    after = store_of(own, "BPR", database)
    assert set(after.children) == {"aaa", "111"}
    assert best_of(after) == ["aaa"]
    assert len(after.search(deleted=True)) == 2, "they can be restored"
    assert store_of(own, "EASE", database).everything() == before.everything()


def test_damaged_files_leave_the_other_trials(own: RunFolder, database: str) -> None:
    write_text(TrialFolder.of(own, "BPR").record("ccc"), "{")
    write_text(TrialFolder.of(own, "EASE").trials_csv, "trial,state\n0,done\n")
    done = track(own.path, database)
    assert done.uploaded == ("BPR trial 0", "BPR trial 1", "BPR trial 3")
    assert done.unreadable == ("BPR trial 2", "tune EASE")
    assert best_of(store_of(own, "BPR", database)) == ["aaa"]


def test_trials_are_sent_as_they_end(own: RunFolder, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed search has sent; its parent stays unfinished, and nothing is marked as the best."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    sent = told_uploader(own.path, database, b"BPR trial 1\nBPR trial 2\n")
    assert sent == [[], ["BPR trial 1", "BPR trial 2"]]
    store = store_of(own, "BPR", database)
    assert store.parent.info.status == "RUNNING"
    assert best_of(store) == []
    assert track(own.path).uploaded == ("BPR trial 0", "BPR trial 3", "EASE trial 0")
    assert store_of(own, "BPR", database).parent.info.status == "FINISHED"


# -- beside a search ----------------------------------------------------------------------------


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, recalls: Sequence[float] = (0.25, nan), **changes: Any) -> Tuned:
    """The search, with Ray's part played by this process: what `run_trials` hands on is given."""

    def run_searches(searches: Any, *arguments: Any) -> None:
        quiet, tracking = arguments[-2:]
        for search in searches:
            with tuning.SearchProgress(search, quiet, tracking) as progress:
                for trial, recall in zip(search.missing, recalls):
                    state = "done" if recall == recall else "failed"
                    progress.over(replace(trial, state=state, recall=recall, seconds=1.0))

    if not (folder / "atomic").is_dir():
        write_atomic(planted_competition(), folder / "atomic", "planted")
    monkeypatch.setattr(tuning, "_run_searches", run_searches)
    settings = {"atomic": folder / "atomic", "out": folder / "tuned", "samples": 1, "quiet": True}
    return tune("EASE", **{**settings, **changes})


def test_a_search_is_tracked_where_the_line_says(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = go(tmp_path, monkeypatch, tracking_uri=database)
    assert str(tuned.tracking).startswith(f"tracked (2 uploaded, 0 there before) in {database}: mlflow ui")
    store = store_of(RunFolder(tuned.folder), "EASE", database)
    assert best_of(store) == [tuned.models[0].default.fingerprint]
    assert store.artifacts(store.parent) == {"trials.csv", "epochs.csv", "EASE.yaml"}
    again = go(tmp_path, monkeypatch, recalls=(0.5,), tracking_uri=database)
    assert "tracked (1 uploaded, 1 there before)" in str(again.tracking), "the failed one was tried again"
    assert go(tmp_path, monkeypatch, no_track=True).tracking is None


def test_a_store_that_is_down_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    tuned = go(tmp_path, monkeypatch, tracking_uri=uri)
    assert [trial.state for trial in tuned.models[0].trials] == ["done", "failed"]
    assert f"not tracked: the MLflow store did not take everything: {uri}: nothing answers there" in str(tuned.tracking)
    assert f"python -m movierec_bench track {tuned.folder} --tracking-uri {uri} uploads later" in str(tuned.tracking)
    moved = Path(shutil.move(tuned.folder, tmp_path / "planted"))
    assert track(moved, database).uploaded == ("EASE trial 0", "EASE trial 1")
    shutil.move(moved, tuned.folder)
    assert track(tuned.folder, database).uploaded == (), "a folder that was moved is still the same searches"


def test_the_command_line_has_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    go(tmp_path, monkeypatch, recalls=(0.25, 0.5), no_track=True)  # nothing is left to run
    command = [sys.executable, "-m", "movierec_bench", "tune", "--models", "EASE", "--samples", "1"]
    command += ["--atomic", str(tmp_path / "atomic"), "--out", str(tmp_path / "tuned")]
    untracked = subprocess.run([*command, "--no-track"], capture_output=True, text=True, check=True)
    assert "track" not in untracked.stdout
    tracked = subprocess.run([*command, "--tracking-uri", database], capture_output=True, text=True, check=True)
    assert "tracked (2 uploaded, 0 there before)" in tracked.stdout
