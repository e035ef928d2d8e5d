"""The search: what it tries, keeps, isolates and writes, and that it never sees a test row. On a real Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from support.mix_runs import write_run
from support.ray_processes import write_sitecustomize
from support.searches import BPR, ended, go, make, records, wait_for, words_of

import movierec_bench.models
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.execution.ray_cluster import connected
from movierec_bench.execution.run import run
from movierec_bench.runs.folder import RunFolder
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.yaml_files import load_yaml
from movierec_bench.tuning import tune as tuning
from movierec_bench.tuning.tune import tune
from movierec_bench.tuning.tuned import Tuned

pytestmark = pytest.mark.xdist_group("ray")  # one process, so that one Ray serves all

FRAGILE = """\
import os, signal, torch
from movierec_bench.recbole_backend.model_contract import HistoryModel

class Fragile(HistoryModel):
    other_parameter_name = ["scores"]

    def fit_closed_form(self):
        if self.config["way"] == "raise":
            raise MemoryError("no more")
        if self.config["way"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.scores = torch.arange(self.n_items, 0, -1, dtype=torch.float32)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.config = config

    def full_sort_predict(self, interaction):
        return self.scores.repeat(len(interaction[self.USER_ID]), 1)
"""
CLOSED_FORM = "catalog: {family: general, source: ours, trainer: closed_form, batches: none, history: rows}\n"


@pytest.fixture(scope="module", autouse=True)
def ray_with_a_fragile_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray of two cores that every search here uses, whose processes know one more model."""
    plugin = tmp_path_factory.mktemp("plugin")
    write_sitecustomize(plugin)
    (plugin / "fragile.py").write_text(FRAGILE)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(plugin), *([before] if before else [])])
    movierec_bench.models.__path__.append(str(plugin))
    with connected(None, cpus=2):
        yield
    movierec_bench.models.__path__.remove(str(plugin))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, ray_with_a_fragile_model: None) -> Path:
    return make(tmp_path_factory.mktemp("searched"))


@pytest.fixture(scope="module")
def tuned(searched: Path) -> Tuned:
    return go(searched, "EASE,BPR")


# -- what a search does -------------------------------------------------------------------------


def test_the_default_is_a_trial_and_the_best_is_no_worse(tuned: Tuned) -> None:
    assert [model.model for model in tuned.models] == ["BPR", "EASE"]
    for model in tuned.models:
        assert [trial.number for trial in model.trials] == [0, 1, 2, 3]
        assert model.default.state == "done"
        assert model.best is not None
        assert model.best.recall == max(trial.recall for trial in model.trials)
    assert dict(tuned.models[1].default.parameters) == {"reg_weight": 500.0}
    assert dict(tuned.models[0].default.parameters) == {"learning_rate": 0.01, "embedding_size": 8}


def test_trials_are_a_plain_table(tuned: Tuned) -> None:
    table = pd.read_csv(tuned.models[0].folder / "trials.csv")
    assert table.columns.tolist() == [
        *("trial", "state", "valid_recall@10", "epochs", "seconds", "error", "fingerprint"),
        *("learning_rate", "embedding_size"),
    ]
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["epochs"].tolist() == [2] * 4
    assert (table["valid_recall@10"] > 0).all()
    epochs = pd.read_csv(tuned.models[0].folder / "epochs.csv")
    best = epochs.groupby("trial")["valid_recall@10"].max()
    assert best.to_numpy() == pytest.approx(table["valid_recall@10"].to_numpy(), abs=1e-12)
    assert len(tuned.to_frame()) == 2


def test_a_trial_measures_what_run_measures(searched: Path, tuned: Tuned) -> None:
    """The default parameters' validation is, epoch by epoch, the one that `run` stops early by."""
    run("BPR", atomic=searched / "atomic_data", out=searched / "runs", configs=searched / "configs", quiet=True)
    there = pd.read_csv(RunFolder(searched / "runs" / "planted").model("BPR").epochs)["valid_recall@10"]
    assert [record.valid_recall for record in tuned.models[0].default.epochs] == pytest.approx(there, abs=1e-9)


def test_run_takes_the_yaml_that_was_written(searched: Path, tuned: Tuned) -> None:
    catalog, default = load_catalog(tuned.configs), load_catalog(searched / "configs")
    for model in tuned.models:
        assert model.best is not None
        expected = {**default[model.model].parameters, **model.best.parameters}
        assert catalog[model.model].parameters == expected
        assert catalog[model.model].path == model.config
    assert "--configs" in tuned.command
    run("EASE,BPR", atomic=searched / "atomic_data", out=searched / "again", configs=tuned.configs, quiet=True)
    for model in tuned.models:
        assert model.best is not None
        took = load_yaml(RunFolder(searched / "again" / "planted").model(model.model).params)
        assert dict(model.best.parameters).items() <= took.items()


def test_the_written_yaml_says_where_it_comes_from(tuned: Tuned) -> None:
    assert tuned.models[0].config is not None
    text = tuned.models[0].config.read_text()
    assert text.startswith("# BPR, small.\n")
    assert "# Tuned on the validation rows of planted, protocol competition, with 4 trials:" in text
    assert "# python -m movierec_bench tune --models EASE,BPR" in text
    assert "float > 0" in text


def test_a_failing_trial_costs_only_itself(tmp_path: Path) -> None:
    make(
        tmp_path,
        models__Fragile=CLOSED_FORM + "way: fine  # fine | raise | kill | good\n",
        tune__Fragile="way: {choice: [raise, kill, fine, good]}\n",
    )
    model = go(tmp_path, "Fragile").models[0]
    ended = {trial.parameters["way"]: trial for trial in model.trials}
    assert {way: trial.state for way, trial in ended.items()} == {
        "fine": "done",
        "good": "done",
        "raise": "failed",
        "kill": "failed",
    }
    assert ended["raise"].error == "MemoryError: no more"
    assert "fit_closed_form" in (model.folder / f"trial_{ended['raise'].number}.txt").read_text()
    assert "its process ended" in str(ended["kill"].error)
    assert model.best is model.default, "an equal recall is no reason to leave the default"
    assert model.config is not None
    assert "none was better than the default parameters" in model.config.read_text()
    before = records(tmp_path, "Fragile")
    again = go(tmp_path, "Fragile").models[0]
    changed = {name for name, written in records(tmp_path, "Fragile").items() if written != before[name]}
    assert changed == {f"{trial.fingerprint}.json" for trial in again.trials if trial.state == "failed"}


def test_a_model_of_which_every_trial_fails_has_no_yaml(tmp_path: Path) -> None:
    make(
        tmp_path,
        models__Fragile=CLOSED_FORM + "way: raise\nelse: 1\n",
        tune__Fragile="else: {choice: [1, 2]}\n",
    )
    tuned = go(tmp_path, "Fragile")
    assert tuned.failed == ["Fragile"]
    assert tuned.models[0].config is None
    assert "every trial failed" in str(list(tuned.to_rich().columns[-1].cells))


def test_the_budget_ends_a_trial(tmp_path: Path) -> None:
    make(tmp_path, models__BPR=BPR.replace("epochs: 2", "epochs: 1000000\nstopping_step: 1000000"))
    trial = go(tmp_path, "BPR", samples=1, budget=0.5).models[0].default
    assert trial.state == "budget"
    assert 1 <= len(trial.epochs) < 1_000_000
    assert trial.budget == 0.5


# -- only validation rows -----------------------------------------------------------------------


def test_no_test_row_reaches_the_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray import cloudpickle

    from movierec_bench.tuning.ray_tune import SearchRows

    stored: list[tuple[type, bytes]] = []
    put = ray.put

    def recording_put(value: Any, **settings: Any) -> Any:
        stored.append((type(value), cloudpickle.dumps(value)))
        return put(value, **settings)

    monkeypatch.setattr(ray, "put", recording_put)
    go(make(tmp_path), "EASE", samples=1)
    split = tmp_path / "tuned" / "planted" / "split"
    train, valid, test = (pd.read_parquet(split / f"{part}.parquet") for part in ("train", "valid", "test"))
    elsewhere = set(train["time"]) | set(valid["time"])

    def is_stored(time_of_a_row: int) -> bool:  # times tell rows apart; arrays are pickled as their bytes
        return any(time_of_a_row.to_bytes(8, sys.byteorder) in content for _, content in stored)

    assert [kind for kind, _ in stored].count(SearchRows) == 1, "stored once for all trials"
    assert all(is_stored(row) for row in [*train["time"], *valid["time"]])
    only_in_test = [row for row in test["time"] if row not in elsewhere]
    assert len(only_in_test) > 50
    assert not any(is_stored(row) for row in only_in_test)


def test_other_test_rows_change_nothing(searched: Path, tuned: Tuned) -> None:
    """The file of the test rows may be anything: it is not opened."""
    (searched / "tuned" / "planted" / "split" / "test.parquet").write_bytes(b"not a table")
    before = {trial.fingerprint: trial.recall for trial in tuned.models[1].trials}
    again = go(searched, "EASE", fresh=True)
    assert {trial.fingerprint: trial.recall for trial in again.models[0].trials} == before


# -- going on -----------------------------------------------------------------------------------


def no_ray(*arguments: object, **settings: object) -> None:
    raise AssertionError("nothing is left to run, and yet Ray was started")


def test_what_is_over_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = go(make(tmp_path), "EASE").models[0]
    before = records(tmp_path, "EASE")
    more = go(tmp_path, "EASE", samples=5).models[0]
    assert {name: records(tmp_path, "EASE")[name] for name in before} == before
    assert [trial.number for trial in more.trials] == [0, 1, 2, 3, 4, 5]
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "connected", no_ray)
        fewer = go(tmp_path, "EASE", samples=2).models[0]
    assert len(fewer.trials) == 6, "those beyond the two asked for still count"
    assert fewer.best is not None
    assert fewer.best.recall >= max(trial.recall for trial in first.trials)
    damaged = tmp_path / "tuned" / "planted" / "trials" / "EASE" / "records" / f"{first.trials[2].fingerprint}.json"
    damaged.write_text(damaged.read_text()[:40])
    assert go(tmp_path, "EASE", samples=5).models[0].trials[2].recall == first.trials[2].recall


def test_other_parameters_of_the_model_are_other_trials(tmp_path: Path) -> None:
    go(make(tmp_path), "BPR", samples=1)
    before = records(tmp_path, "BPR")
    (tmp_path / "configs" / "models" / "BPR.yaml").write_text(BPR.replace("epochs: 2", "epochs: 1"))
    assert [len(trial.epochs) for trial in go(tmp_path, "BPR", samples=1).models[0].trials] == [1, 1]
    assert len(records(tmp_path, "BPR")) == len(before) + 2


def test_a_fresh_search_deletes_no_run(tmp_path: Path) -> None:
    run = write_run(tmp_path, users=30)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="runs/planted holds results of `run`.*another folder as --out"):
        tune("EASE", out=tmp_path / "runs", atomic=tmp_path / "atomic", protocol="last", fresh=True, no_track=True)
    assert {path: path.read_bytes() for path in before} == before


def test_another_protocol_needs_another_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    go(make(tmp_path), "EASE", samples=1)
    with pytest.raises(DataError, match="--fresh"):
        go(tmp_path, "EASE", samples=1, protocol="last")
    tuned = go(tmp_path, "EASE", samples=1, protocol="last", fresh=True)
    assert "under another protocol, which are deleted: EASE" in caplog.text
    assert "--protocol last" in tuned.command


def test_killed_in_the_middle_it_goes_on_from_there(tmp_path: Path) -> None:
    """kill -9 of the whole command: its processes end, trials that were over stay, and the rest is run."""
    make(tmp_path, models__BPR=BPR.replace("epochs: 2", "epochs: 40\nstopping_step: 40"))
    command = [sys.executable, "-m", "movierec_bench", "tune", "--models", "BPR", "--samples", "8"]
    process = subprocess.Popen(
        [*command, "--configs", "configs"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(records(tmp_path, "BPR")) >= 2 or ended(process))
    children = psutil.Process(process.pid).children(recursive=True)
    training = [child for child in children if "agent" not in words_of(child).lower()]  # Ray's notice a minute later
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(training, timeout=40)
    assert not [child for child in training if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    before = records(tmp_path, "BPR")
    assert 2 <= len(before) < 9
    trials = go(tmp_path, "BPR", samples=8).models[0].trials
    after = records(tmp_path, "BPR")
    assert {name: after[name] for name in before} == before
    assert len(trials) == len(after) == 9
    assert {trial.state for trial in trials} <= {"done", "stopped"}


# -- on a cluster -------------------------------------------------------------------------------


def test_a_trial_that_no_machine_has_room_for_is_refused(tmp_path: Path) -> None:
    import ray

    resources = "history: none, resources: {cpu: 64}"
    make(tmp_path, models__BPR=BPR.replace("history: none", resources))
    with pytest.raises(ConfigError, match="asks for 64 CPU on one machine"):
        go(tmp_path, "BPR", ray=ray.get_runtime_context().gcs_address)


# -- bad usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "Pop"}, "Pop has no search space"),
        ({"models": "EASY"}, "did you mean EASE"),
        ({"models": "EASE", "samples": 0}, "--samples is 0"),
        ({"models": "EASE", "workers": 0}, "--workers is 0"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        go(make(tmp_path), **changes)
    assert not (tmp_path / "tuned").exists()


def test_the_command_line_prints_the_table_and_the_next_command(searched: Path, tuned: Tuned) -> None:
    """Nothing is left to run, so that the command is quick."""
    command = [sys.executable, "-m", "movierec_bench", "tune", "--models", "BPR", "--samples", "3"]
    done = subprocess.run([*command, "--configs", "configs"], cwd=searched, capture_output=True, text=True, check=True)
    assert "best parameters" in done.stdout
    assert "next: python -m movierec_bench run --models BPR --dataset planted --configs tuned/planted" in done.stdout
    refused = subprocess.run([*command, "--samples", "few"], cwd=searched, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
