"""MLflow while a model trains: its numbers are there before it ends, and once only afterwards."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
from support.mix_runs import write_run
from support.mlflow_stores import Store

from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import DONE, Seconds
from movierec_bench.schema import EpochRecord
from movierec_bench.tracking.entries import COMPLETE, MODEL
from movierec_bench.tracking.tracker import open_tracking, track

pytestmark = pytest.mark.xdist_group("mlflow")

EPOCHS = [EpochRecord(number, 1 / number, 0.1 * number, 0.5) for number in (1, 2, 3)]
LOSS = "train_loss"


@pytest.fixture
def there(tmp_path: Path) -> RunFolder:
    """A run in which the model Late has still to train, with its store: two processes cannot both set one up."""
    run = write_run(tmp_path, users=30)
    track(run.path)
    return run


def store_of(run: RunFolder) -> Store:
    return Store(f"sqlite:///{run.path.parent / 'mlflow.db'}", run.read_manifest().run_id, MODEL)


def wait_for(run: RunFolder, condition: Callable[[Store], bool]) -> Store:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        store = store_of(run)
        if condition(store):
            return store
        time.sleep(0.3)
    raise AssertionError("waited in vain")


def end(run: RunFolder, epochs: list[EpochRecord]) -> None:
    """What a model's process leaves."""
    folder = run.model("Late")
    rows = "".join(f"{e.epoch},{e.train_loss!r},{e.valid_recall!r},{e.seconds!r}\n" for e in epochs)
    write_text(folder.epochs, f"epoch,train_loss,valid_recall@10,seconds\n{rows}")
    even = run.model("Even").read_status()
    folder.write_status(replace(even, model="Late", state=DONE, seconds=Seconds(fit=1.5), epochs=3, best_epoch=3))


def test_epochs_are_there_before_the_model_ends_and_once_afterwards(there: RunFolder) -> None:
    with open_tracking(there, None, no_track=False) as told:
        for record in EPOCHS[:2]:
            told.epoch("Late", record)
        store = wait_for(there, lambda store: "Late" in store.children and len(store.history("Late", LOSS)) == 2)
        live = store.children["Late"]
        assert live.info.status == "RUNNING"
        assert live.data.tags["status"] == "training"
        assert store.history("Late", "valid_recall_at_10") == [(1, 0.1), (2, 0.2)]
        told.epoch("Late", EPOCHS[2])
        wait_for(there, lambda store: len(store.history("Late", LOSS)) == 3)
        end(there, EPOCHS)
        told.finished("Late")
        wait_for(there, lambda store: COMPLETE in store.children["Late"].data.tags)
    store = store_of(there)
    ended = store.children["Late"]
    assert ended.info.run_id == live.info.run_id, "the run that was looked at is the one that holds the result"
    assert ended.info.status == "FINISHED"
    assert ended.data.tags["status"] == DONE
    assert store.history("Late", LOSS) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert store.artifacts(ended) >= {"status.json", "epochs.csv"}
    assert store.search(deleted=True) == []


def test_a_model_that_starts_anew_elsewhere_has_one_curve(there: RunFolder) -> None:
    with open_tracking(there, None, no_track=False) as told:
        told.epoch("Late", replace(EPOCHS[0], train_loss=9.0))
        wait_for(there, lambda store: "Late" in store.children and len(store.history("Late", LOSS)) == 1)
        for record in EPOCHS:
            told.epoch("Late", record)
        wait_for(there, lambda store: "Late" in store.children and len(store.history("Late", LOSS)) == 3)
        end(there, EPOCHS)
        told.finished("Late")
    assert store_of(there).history("Late", LOSS) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_what_a_killed_benchmark_left_is_replaced(there: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt), open_tracking(there, None, no_track=False) as told:
        told.epoch("Late", replace(EPOCHS[0], train_loss=9.0))
        wait_for(there, lambda store: "Late" in store.children and len(store.history("Late", LOSS)) == 1)
        raise KeyboardInterrupt
    end(there, EPOCHS)
    track(there.path)
    assert store_of(there).history("Late", LOSS) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert store_of(there).children["Late"].info.status == "FINISHED"


def test_the_experiment_is_one_of_model_training_and_its_runs_name_the_data(there: RunFolder) -> None:
    store, manifest = store_of(there), there.read_manifest()
    kind = store.client.get_experiment(store.parent.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"
    for run in [store.parent, *store.children.values()]:
        (used,) = store.client.get_run(run.info.run_id).inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == (manifest.dataset, manifest.data_hash)
        assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]


def test_an_experiment_of_before_gets_its_kind(there: RunFolder) -> None:
    from mlflow import MlflowClient

    client, name = MlflowClient(tracking_uri=f"sqlite:///{there.path.parent / 'mlflow.db'}"), "planted"
    before = client.get_experiment_by_name(name)
    client.delete_experiment_tag(before.experiment_id, "mlflow.experimentKind")
    track(there.path)
    assert "mlflow.experimentKind" in client.get_experiment_by_name(name).tags
