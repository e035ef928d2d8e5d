"""MLflow beside a benchmark: where a run is tracked, and that no store can hold it up or learn its secrets."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.mix_runs import ORACLES, write_run
from support.mlflow_stores import bench, store_of, told_uploader

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.runs.addresses import is_address, public_address, without_secrets
from movierec_bench.runs.command import command_line
from movierec_bench.runs.folder import RunFolder
from movierec_bench.tracking import tracker as tracking
from movierec_bench.tracking.tracker import open_tracking, track

pytestmark = pytest.mark.xdist_group("mlflow")  # one process, so that the default store is set up once


# -- beside a benchmark -------------------------------------------------------------------------


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
