"""MLflow: what a run leaves in a store, that it is there once only, and that no store can hold a run up.

The server is a real `mlflow server` on 127.0.0.1 that these tests start, kill and start again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import pytest
from filelock import FileLock
from support.mix_runs import ORACLES, write_run
from support.mlflow_stores import Store, told_uploader
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.errors import ConfigError
from movierec_bench.execution.run import run
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.runs.addresses import is_address, public_address, without_secrets
from movierec_bench.runs.command import command_line
from movierec_bench.runs.files import write_text, write_yaml
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.pictures import PicturesFolder
from movierec_bench.runs.records import FAILED, SKIPPED, Seconds, Status
from movierec_bench.tracking import tracker as tracking
from movierec_bench.tracking.entries import COMPLETE, MODEL, as_params
from movierec_bench.tracking.model_runs import ModelResult
from movierec_bench.tracking.tracker import open_tracking, track
from movierec_bench.tracking.upload import upload

pytestmark = pytest.mark.xdist_group("mlflow")  # one process, so that there is one server

BPR = (
    "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\n"
    "epochs: 3\nembedding_size: 8\n"
)
PATIENCE = 180  # seconds for a server to start on a busy machine


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIEREC_BENCH_TRACK", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


# -- what is looked at --------------------------------------------------------------------------


def store_of(folder: RunFolder, uri: Optional[str] = None) -> Store:
    return Store(uri or f"sqlite:///{folder.path.parent / 'mlflow.db'}", folder.read_manifest().run_id, MODEL)


def made_up(folder: Path) -> RunFolder:
    """A finished run: four models, one of them with epochs and a submission, one failed and one skipped."""
    there = write_run(folder, users=60)
    even = there.model("Even")
    write_text(even.epochs, "epoch,train_loss,valid_recall@10,seconds\n1,0.5,,2.0\n2,0.25,0.125,1.5\n")
    write_yaml(even.params, {"layers": [64, 32], "search": {"depth": 3}, "note": "x" * 900, "weight@2": None})
    even.write_status(replace(even.read_status(), seconds=Seconds(load=1.0, fit=4.0), epochs=2, best_epoch=2))
    write_text(even.log, "trained\n")
    write_text(there.submission("Even"), "user,item\n100,10\n")
    there.model("Broken").write_status(Status("Broken", FAILED, "general", "ours", error="in fit: ValueError: odd"))
    there.model("Absent").write_status(Status("Absent", SKIPPED, "tree", "ours", error="needs a package"))
    write_text(there.leaderboard("csv"), "place,model\n1,Even\n")
    return there


@pytest.fixture
def database(tracked: RunFolder) -> str:
    """The database of `tracked`: to set up another takes seconds."""
    return f"sqlite:///{tracked.path.parent / 'mlflow.db'}"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """`made_up` in the default store."""
    there = made_up(tmp_path_factory.mktemp("tracked"))
    done = track(there.path)
    assert set(done.uploaded) == {*ORACLES, "Broken", "Absent"}
    assert done.kept == done.unreadable == ()
    return there


def moved(there: RunFolder, to: Path) -> RunFolder:
    """A copy that takes itself for the run, as a folder does that was moved."""
    copy = RunFolder(shutil.copytree(there.path, to))
    copy.write_manifest(replace(copy.read_manifest(), home=str(to.resolve())))
    return copy


# -- what is in a store -------------------------------------------------------------------------


def test_the_parent_stands_for_the_folder(tracked: RunFolder) -> None:
    store, manifest = store_of(tracked), tracked.read_manifest()
    assert store.client.get_experiment(store.parent.info.experiment_id).name == "planted"
    assert store.parent.info.status == "FINISHED"
    assert store.parent.data.params["data_hash"] == manifest.data_hash
    assert store.parent.data.params["protocol_hash"] == manifest.protocol_hash
    assert store.parent.data.tags["command"] == "made up"
    best = max(tracked.model(name).read_status().metrics["recall@10"] for name in ORACLES)
    assert store.parent.data.metrics == {"best_recall_at_10": best}
    assert store.artifacts(store.parent) == {"leaderboard.csv", "manifest.json"}


def test_a_child_has_parameters_metrics_by_step_tags_and_files(tracked: RunFolder) -> None:
    store, status = store_of(tracked), tracked.model("Even").read_status()
    assert set(store.children) == {*ORACLES, "Broken", "Absent"}
    child = store.children["Even"]
    assert child.info.status == "FINISHED"
    assert child.info.end_time - child.info.start_time == 5000, "milliseconds of the phases"
    params = child.data.params
    assert {key: params[key] for key in ("layers", "search.depth", "weight_at_2")} == {
        "layers": "[64, 32]",
        "search.depth": "3",
        "weight_at_2": "null",
    }
    assert params["note"] == "x" * 497 + "..."
    assert store.history("Even", "train_loss") == [(1, 0.5), (2, 0.25)]
    assert store.history("Even", "valid_recall_at_10") == [(2, 0.125)], "the first epoch was not validated"
    assert store.history("Even", "epoch_seconds") == [(1, 2.0), (2, 1.5)]
    assert store.history("Even", "recall_at_10") == [(0, status.metrics["recall@10"])]
    assert child.data.metrics["fit_seconds"] == 4.0
    assert child.data.metrics["users"] == status.users
    assert child.data.tags["data_hash"] == tracked.read_manifest().data_hash
    assert child.data.tags["protocol_hash"] == tracked.read_manifest().protocol_hash
    assert child.data.tags["family"] == "general"
    files = {"status.json", "params.yaml", "epochs.csv", "per_user.parquet", "log.txt", "submission/Even.csv"}
    assert store.artifacts(child) == files | {f"topk_{part}.parquet" for part in ("valid", "test", "full")}
    stored = store.client.download_artifacts(child.info.run_id, "submission/Even.csv")
    assert Path(stored).read_bytes() == tracked.submission("Even").read_bytes()


def test_failed_and_skipped_models_are_there_with_their_reason(tracked: RunFolder) -> None:
    store = store_of(tracked)
    for name, status, reason in (
        ("Broken", "failed", "in fit: ValueError: odd"),
        ("Absent", "skipped", "needs a package"),
    ):
        child = store.children[name]
        assert child.info.status == "FAILED"
        assert (child.data.tags["status"], child.data.tags["error"]) == (status, reason)
        assert "recall_at_10" not in child.data.metrics


def test_pictures_of_these_very_data_are_the_parents(tmp_path: Path, database: str) -> None:
    there = made_up(tmp_path)
    for dataset, data_hash in (("planted", there.read_manifest().data_hash), ("other", "0" * 16)):
        pictures = PicturesFolder(tmp_path / "eda" / dataset)
        pictures.write_manifest(dataset, data_hash, ["lengths"])
        write_text(pictures.page, "<p>lengths")
        pictures.png("lengths").write_bytes(b"PNG")
    upload(there, database)
    store = store_of(there, database)
    drawn = {"eda/index.html", "eda/lengths.png", "eda/manifest.json"}
    assert store.artifacts(store.parent) == {"leaderboard.csv", "manifest.json"} | drawn
    pictures = PicturesFolder.beside(there, "planted")
    assert pictures.is_of(there.read_manifest().data_hash) and not pictures.is_of("0" * 16)
    write_text(pictures.manifest, "{")
    assert not pictures.is_of(there.read_manifest().data_hash), "a damaged manifest is nobody's"


def test_artifacts_lie_beside_the_runs(tracked: RunFolder) -> None:
    assert any((tracked.path.parent / "mlartifacts").rglob("topk_test.parquet"))


def test_more_parameters_and_metrics_than_a_call_takes(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    write_yaml(there.model("Even").params, {f"p{number}": number for number in range(250)})
    lines = "".join(f"{epoch},0.5,0.25,1.0\n" for epoch in range(1, 701))
    write_text(there.model("Even").epochs, "epoch,train_loss,valid_recall@10,seconds\n" + lines)
    track(there.path, database)
    store = store_of(there, database)
    assert len(store.children["Even"].data.params) == 250
    assert [step for step, _ in store.history("Even", "epoch_seconds")] == list(range(1, 701))


# -- once only ----------------------------------------------------------------------------------


def test_a_second_upload_sends_nothing(tracked: RunFolder) -> None:
    before = store_of(tracked).everything()
    done = track(tracked.path)
    assert done.uploaded == ()
    assert set(done.kept) == {*ORACLES, "Broken", "Absent"}
    assert store_of(tracked).everything() == before


def test_a_half_upload_is_completed_not_doubled(tracked: RunFolder) -> None:
    before = store_of(tracked)
    child = before.children["Even"].info.run_id
    before.client.delete_tag(child, COMPLETE)
    before.client.update_run(child, status="RUNNING")
    assert track(tracked.path).uploaded == ("Even",)
    after = store_of(tracked)
    assert after.children["Even"].info.run_id == child
    assert after.history("Even", "train_loss") == [(1, 0.5), (2, 0.25)]
    assert after.history("Even", "recall_at_10") == before.history("Even", "recall_at_10")
    assert after.children["Even"].info.status == "FINISHED"


def test_what_a_lost_answer_doubled_is_single_again(tracked: RunFolder) -> None:
    before = store_of(tracked)
    for twice in (before.parent, before.children["Weak"]):
        tags = {key: value for key, value in twice.data.tags.items() if key != COMPLETE}
        before.client.create_run(twice.info.experiment_id, twice.info.start_time, tags)
    assert track(tracked.path).uploaded == ()
    after = store_of(tracked)  # which refuses doubles
    assert after.parent.info.run_id == before.parent.info.run_id
    assert after.children["Weak"].info.run_id == before.children["Weak"].info.run_id


def test_a_redone_model_takes_the_place_of_its_earlier_result(
    tmp_path: Path, tracked: RunFolder, database: str
) -> None:
    there = moved(tracked, tmp_path / "planted")  # still the same run
    before = store_of(tracked)
    weak = there.model("Weak")
    weak.write_status(replace(weak.read_status(), seconds=Seconds(fit=9.0)))
    assert track(there.path, database).uploaded == ("Weak",)
    after = store_of(tracked)
    old, new = before.children["Weak"].info.run_id, after.children["Weak"].info.run_id
    assert old != new
    assert old in [found.info.run_id for found in after.search(deleted=True)], "it can be restored"
    assert after.history("Weak", "fit_seconds") == [(0, 9.0)]
    assert {name: child.info.run_id for name, child in after.children.items() if name != "Weak"} == {
        name: child.info.run_id for name, child in before.children.items() if name != "Weak"
    }
    assert track(tracked.path).uploaded == ("Weak",), "leaves the store as the other tests expect it"


def test_children_of_a_parent_that_was_deleted_by_hand_get_a_new_one(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    first = track(there.path, database)
    store_of(there, database).client.delete_run(first.parent_ids[0])
    second = track(there.path, database)
    assert second.uploaded == ()
    assert second.parent_ids != first.parent_ids
    assert set(store_of(there, database).children) == {"Even"}, "and their parent tag names the new one"


def test_a_deleted_experiment_is_named_with_the_way_back(tracked: RunFolder) -> None:
    store = store_of(tracked)
    experiment = store.parent.info.experiment_id
    store.client.delete_experiment(experiment)
    try:
        with pytest.raises(ConfigError, match=f"'planted' was deleted.*mlflow experiments restore -x {experiment}"):
            track(tracked.path)
    finally:
        store.client.restore_experiment(experiment)
    assert track(tracked.path).uploaded == ()


def test_two_uploads_at_once_are_refused(tracked: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movierec_bench.tracking.upload._LOCK_SECONDS", 0)
    with FileLock(tracked.path.parent / ".planted.upload.lock"), pytest.raises(ConfigError, match="another process"):
        upload(tracked, "sqlite:///never_opened.db")


def test_a_damaged_model_leaves_the_others(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"], "Odd": ORACLES["Odd"], "Weak": ORACLES["Weak"]}, users=30)
    write_text(there.model("Even").status, "{")
    write_text(there.model("Odd").params, "a: [")
    there.model("Unfinished").path.mkdir()
    done = track(there.path, database)
    assert done.uploaded == ("Weak",)
    assert done.unreadable == ("Even", "Odd")
    assert "not readable: Even, Odd" in done.describe()


def test_a_run_of_before_there_was_tracking_gets_an_id(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    old = json.loads(there.manifest.read_text())
    del old["run_id"], old["git_revision"]
    there.manifest.write_text(json.dumps(old))
    track(there.path, database)
    assert there.read_manifest().run_id
    assert track(there.path, database).uploaded == ()


# -- beside a benchmark -------------------------------------------------------------------------


def bench(folder: Path, models: str, **changes: Any) -> Any:
    configs = folder / "configs" / "models"
    if not configs.is_dir():
        configs.mkdir(parents=True)
        (configs / "BPR.yaml").write_text(BPR)
        write_atomic(planted_competition(), folder / "atomic", "planted")
    settings = {"atomic": folder / "atomic", "out": folder / "runs", "configs": folder / "configs", "quiet": True}
    return run(models=models, **{**settings, **changes})


def test_a_run_and_its_mix_are_tracked_where_the_line_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *words], check=True)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    there = RunFolder(tmp_path / "runs" / "planted")

    board = bench(tmp_path, "Pop,BPR", out="runs")
    assert board.tracking.startswith("tracked (2 uploaded, 0 there before)")
    assert board.tracking.endswith(
        "in sqlite:///runs/mlflow.db: mlflow ui --backend-store-uri sqlite:///runs/mlflow.db"
    )
    store = store_of(there)
    assert set(store.children) == {"Pop", "BPR"}
    epochs = pd.read_csv(there.model("BPR").epochs)
    assert store.history("BPR", "train_loss") == list(zip(epochs["epoch"], epochs["train_loss"]))
    assert store.children["BPR"].data.params["embedding_size"] == "8"
    for found in (store.parent, *store.children.values()):
        assert found.data.tags["mlflow.source.git.commit"] == revision
        assert found.data.tags["version.recbole"] == "1.2.1"
    assert {"leaderboard.csv", "leaderboard.md", "leaderboard.html"} <= store.artifacts(store.parent)

    mix = ensemble("runs/planted", method="vote", models="Pop,BPR")
    assert mix.describe().split("\n")[-1].startswith("tracked (1 uploaded, 2 there before) in sqlite:///")
    after = store_of(there)
    assert after.children["vote"].data.tags["family"] == "ensemble"
    assert after.children["Pop"].info.run_id == store.children["Pop"].info.run_id


def test_a_benchmark_that_was_killed_leaves_its_run_unfinished(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="killed"))
    assert told_uploader(there.path, database, b"Even\nOdd\n") == [[], ["Even", "Odd"]], "the others have not ended"
    assert store_of(there, database).parent.info.status == "RUNNING"
    assert told_uploader(there.path, database, b"\n") == [[], ["Noise", "Weak"]]
    assert store_of(there, database).parent.info.status == "FINISHED"


def test_a_fresh_run_is_another_one(tmp_path: Path) -> None:
    there = RunFolder(tmp_path / "runs" / "planted")
    bench(tmp_path, "Pop", no_refit=True, no_track=True)
    first = there.read_manifest().run_id
    bench(tmp_path, "Pop", no_refit=True, no_track=True)
    assert there.read_manifest().run_id == first
    bench(tmp_path, "Pop", no_refit=True, no_track=True, fresh=True)
    assert there.read_manifest().run_id not in (first, "")


@pytest.mark.parametrize("switch", ["flag", "environment"])
def test_nothing_is_tracked_unasked(switch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIEREC_BENCH_TRACK", "0" if switch == "environment" else "1")
    there = write_run(tmp_path, users=30)
    mix = ensemble(there.path, method="vote", models="Even,Odd", no_track=switch == "flag")
    assert mix.tracking is None
    assert not (there.path.parent / "mlflow.db").exists()


def test_wrong_settings_are_refused_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--tracking-uri is no address; expected .*http://127.0.0.1:5000") as found:
        bench(tmp_path, "Pop", tracking_uri="me:secret@localhost:5000")
    assert "secret" not in str(found.value), "it may be a password that lacks its address"
    assert RunFolder(tmp_path / "runs" / "planted").models() == []
    monkeypatch.setenv("MOVIEREC_BENCH_TRACK", "perhaps")
    with pytest.raises(ConfigError, match="MOVIEREC_BENCH_TRACK is 'perhaps'"):
        bench(tmp_path, "Pop")


def test_where_a_run_is_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = RunFolder(Path("runs/ml-100k"))
    assert tracking.store_uri(there, None) == "sqlite:///runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.store_uri(there, None) == "http://127.0.0.1:5000"
    assert tracking.store_uri(there, "http://127.0.0.1:6000") == "http://127.0.0.1:6000"


SECRET_ADDRESSES = {
    "postgresql://me:canary/one@host/db": "canary/one",
    "postgresql://me:c@nary@host/db": "c@nary",
    "postgresql://me:can?ry#7@host/db": "can?ry#7",
    "http://me:canary@host:5000": "canary",
    "http://host:5000/path?password=canary&token=canary2": "canary2",
    "http://host:5000/#canary": "canary",
    "mysql+pymysql://canary@host/db": "canary",
    "sqlite:////folder/mlflow.db?key=canary": "canary",
    "postgresql://me:canary@host:notaport/db": "canary",
    "http://me:can%40ry@host": "can@ry",
    "canary@host": "canary",
    "://me:canary@host": "canary",
}


@pytest.mark.parametrize("address", SECRET_ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address: str) -> None:
    secret = SECRET_ADDRESSES[address]
    told = without_secrets(f"ValueError: cannot open {address} with {secret}", address)
    for text in (public_address(address), command_line("run", {"models": "Pop", "tracking_uri": address}), told):
        assert secret not in text
        assert address.rpartition("@")[0] in ("", "://me:canary", "canary") or address.rpartition("@")[0] not in text


def test_an_address_without_secrets_is_shown_whole() -> None:
    for address in (
        "http://127.0.0.1:5000",
        "sqlite:////a@b/runs/mlflow.db",
        "postgresql://host/db",
        "databricks://one",
    ):
        assert public_address(address) == address
    assert without_secrets("at postgresql://me:secret@host/db now") == "at postgresql://***@host/db now"


@pytest.mark.parametrize("address", [one for one in SECRET_ADDRESSES if is_address(one)])
def test_no_secret_of_a_store_that_fails_is_anywhere(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / "mlflow").mkdir(parents=True)
    (tmp_path / "broken" / "mlflow" / "__init__.py").write_text(
        "import os\nuri = os.environ['MLFLOW_TRACKING_URI']\n"
        "raise RuntimeError(f'no {uri}, no {uri.rpartition(chr(64))[0]}, no ' + os.environ['MLFLOW_TRACKING_PASSWORD'])"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-7")
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    with open_tracking(there, address, no_track=False) as tracking_run:
        tracking_run.finished("Even")
    assert "the upload broke with exit code 1" in str(tracking_run.line)
    files = b"".join(path.read_bytes() for path in there.path.parent.rglob("*") if path.is_file())
    for secret in ("canary", "c@nary", "can?ry", "can%40ry"):
        assert secret not in str(tracking_run.line)
        assert secret.encode() not in files


# -- stores that fail ---------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def uploads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tracking"]


def test_a_server_that_never_answers_costs_no_result(
    tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    board = bench(tmp_path, "Pop", tracking_uri=silent, no_refit=True)
    assert board.to_frame()["status"].tolist() == ["done"]
    assert f"not tracked: the MLflow store did not take everything: {silent}: no answer in time" in board.tracking
    assert uploads() == []


def test_a_run_waits_so_long_and_no_longer(tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1000")
    monkeypatch.setattr(tracking, "GRACE_SECONDS", 2)
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    started = time.monotonic()
    with open_tracking(there, silent, no_track=False) as tracking_run:
        tracking_run.finished("Even")
    assert time.monotonic() - started < 30
    assert tracking_run.line == (
        f"not tracked: {silent} was not done after 2 seconds; "
        f"python -m movierec_bench track {there.path} --tracking-uri {silent} uploads later"
    )
    assert uploads() == []


def test_ctrl_c_does_not_wait_for_a_store(tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1000")
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), open_tracking(there, silent, no_track=False):
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30, "the upload's own limit is 60"
    assert uploads() == []


def test_a_server_that_drips_is_given_up(tmp_path: Path) -> None:
    """Each word keeps the request alive; only a limit for all of it ends."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ConfigError, match="was not done after 3 seconds; correct that and run the same command"):
            track(there.path, address, timeout=3)
    assert uploads() == []


def drip(listening: socket.socket) -> None:
    try:
        connection, _ = listening.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: 1\r\n")
            time.sleep(0.2)
    except OSError:
        return


def test_a_banner_of_the_site_is_no_answer(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("print('{\"error\": 1}\\nWelcome!', end='', flush=True)")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="banner"))
    assert track(there.path, database).uploaded == ("Even",)


def test_an_upload_that_ends_without_an_answer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken" / "mlflow").mkdir(parents=True)
    (tmp_path / "broken" / "mlflow" / "__init__.py").write_text("import os\nos._exit(0)")
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    with pytest.raises(ConfigError, match="the upload ended without an answer: nothing said"):
        track(there.path)


def test_a_copy_of_a_folder_is_another_run_and_a_moved_one_the_same(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path / "first", {"Even": ORACLES["Even"]}, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="copied"))
    track(there.path, database)
    copy = RunFolder(tmp_path / "second" / "planted")
    shutil.copytree(there.path, copy.path)
    assert track(copy.path, database).uploaded == ("Even",)
    assert track(there.path, database).kept == ("Even",)
    assert copy.read_manifest().run_id != there.read_manifest().run_id == "copied"
    moved = RunFolder(tmp_path / "third" / "planted")
    moved.path.parent.mkdir()
    there.path.rename(moved.path)
    assert track(moved.path, database).kept == ("Even",)
    assert moved.read_manifest().run_id == "copied"


def test_links_out_of_a_folder_are_not_sent(tmp_path: Path, database: str) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    there = write_run(tmp_path / "run", {"Even": ORACLES["Even"]}, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="links"))
    even = there.model("Even")
    (even.path / "mine.txt").symlink_to(secret)
    there.submission("Even").parent.mkdir()
    there.submission("Even").symlink_to(secret)
    there.leaderboard("csv").unlink(missing_ok=True)
    there.leaderboard("csv").symlink_to(secret)
    track(there.path, database)
    store = store_of(there, database)
    assert "mine.txt" not in store.artifacts(store.children["Even"])
    assert "submission/Even.csv" not in store.artifacts(store.children["Even"])
    assert "leaderboard.csv" not in store.artifacts(store.parent)


def test_an_upload_that_breaks_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken" / "mlflow").mkdir(parents=True)
    (tmp_path / "broken" / "mlflow" / "__init__.py").write_text("raise RuntimeError('no such luck')")
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    with open_tracking(there, None, no_track=False) as tracking_run:
        tracking_run.finished("Even")
    assert "the upload broke with exit code 1: RuntimeError: no such luck" in str(tracking_run.line)
    with pytest.raises(ConfigError, match="the upload broke with exit code 1: RuntimeError: no such luck"):
        track(there.path)


# -- a real server ------------------------------------------------------------------------------


@dataclass
class Server:
    """An `mlflow server` with one database, that can be killed and started again at the same address."""

    folder: Path
    port: int
    process: Optional[subprocess.Popen[bytes]] = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["server", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        words += ["--artifacts-destination", str(self.folder / "mlartifacts"), "--workers", "1"]
        words += ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                    assert answer.status == 200
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "server.txt").read_text()
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.2)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)  # its workers are processes of their own
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(tmp_path, port)
    try:
        yield server
    finally:
        server.kill()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "movierec_bench", *words], capture_output=True, text=True, check=False)


def complete(store: Store) -> set[str]:
    return {name for name, child in store.children.items() if COMPLETE in child.data.tags}


def contents(folder: ModelFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


def test_a_server_that_is_down_then_up_then_killed_halfway(tmp_path: Path, server: Server) -> None:
    # Down: the run goes on and says so; nothing of the password in the address is kept or shown.
    uri_with_password = server.uri.replace("http://", "http://me:secret@")
    board = bench(tmp_path, "Pop", tracking_uri=uri_with_password)
    small = RunFolder(tmp_path / "runs" / "planted")
    assert board.to_frame()["status"].tolist() == ["done"]
    assert small.submission("Pop").is_file()
    assert "not tracked: " in board.tracking
    assert "connection refused" in board.tracking
    assert f"python -m movierec_bench track {small.path} --tracking-uri" in board.tracking
    assert "secret" not in board.tracking + small.manifest.read_text()
    refused = command("track", str(small.path), "--tracking-uri", server.uri)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: the MLflow store did not take everything: {server.uri}: nothing answers")

    # Up: `track` uploads.
    server.start()
    done = command("track", str(small.path), "--tracking-uri", server.uri)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"tracked (1 uploaded, 0 there before) in {server.uri}/#/experiments/")
    store = store_of(small, server.uri)
    assert store.artifacts(store.children["Pop"]) == {*contents(small.model("Pop")), "submission/Pop.csv"}
    assert any((server.folder / "mlartifacts").rglob("topk_test.parquet")), "through the server, to its own folder"

    # Killed halfway.
    big = write_run(
        tmp_path / "big", {f"{name}{number}": ORACLES[name] for number in range(2) for name in ORACLES}, users=60
    )
    epochs = "".join(f"{epoch},0.5,0.25,1.0\n" for epoch in range(1, 51))
    for folder in big.models():
        write_text(folder.epochs, "epoch,train_loss,valid_recall@10,seconds\n" + epochs)
    broke: list[BaseException] = []

    def uploading() -> None:
        try:
            track(big.path, server.uri)
        except ConfigError as error:
            broke.append(error)

    thread = threading.Thread(target=uploading)
    thread.start()
    while len(list((server.folder / "mlartifacts").rglob("topk_valid.parquet"))) < 3:
        assert thread.is_alive()
        time.sleep(0.05)
    server.kill()
    thread.join()
    assert "did not take everything" in str(broke[0])

    # Up again: what is missing is uploaded, once only.
    server.start()
    halfway = store_of(big, server.uri)
    assert 1 <= len(complete(halfway)) < len(big.models())
    done = track(big.path, server.uri)
    assert set(done.kept) == complete(halfway)
    assert set(done.uploaded) == {folder.name for folder in big.models()} - complete(halfway)
    store = store_of(big, server.uri)
    assert complete(store) == {folder.name for folder in big.models()}
    assert store.search(deleted=True) == [], "what was half there was completed"
    assert {name: child.info.run_id for name, child in halfway.children.items()}.items() <= {
        name: child.info.run_id for name, child in store.children.items()
    }.items()
    for folder in big.models():
        assert store.artifacts(store.children[folder.name]) == contents(folder)
        assert [step for step, _ in store.history(folder.name, "train_loss")] == list(range(1, 51))
        assert len(store.children[folder.name].data.params) == len(
            as_params(ModelResult(big, big.read_manifest(), folder).params())
        )
    before = store.everything()
    assert track(big.path, server.uri).uploaded == ()
    assert store_of(big, server.uri).everything() == before
