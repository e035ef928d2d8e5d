"""Uploads to a real `mlflow server` on 127.0.0.1, which these tests start, kill and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest
from support.mix_runs import ORACLES, write_run
from support.mlflow_stores import Store, bench, store_of

from movierec_bench.errors import ConfigError
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.tracking.entries import COMPLETE, as_params
from movierec_bench.tracking.model_runs import ModelResult
from movierec_bench.tracking.tracker import track

pytestmark = pytest.mark.xdist_group("mlflow")  # one process, so that there is one server


PATIENCE = 180  # seconds for a server to start on a busy machine


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


def test_a_server_that_is_down_then_up_then_killed_halfway(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-7")
    # Down: the run goes on and says so; nothing of the password in the address is kept or shown.
    uri_with_password = server.uri.replace("http://", "http://me:canary-6@")
    board = bench(tmp_path, "Pop", tracking_uri=uri_with_password)
    small = RunFolder(tmp_path / "runs" / "planted")
    assert board.to_frame()["status"].tolist() == ["done"]
    assert small.submission("Pop").is_file()
    assert "not tracked: " in board.tracking
    assert "connection refused" in board.tracking
    assert f"python -m movierec_bench track {small.path} --tracking-uri" in board.tracking
    assert "canary-6" not in board.tracking + small.manifest.read_text()
    refused = command("track", str(small.path), "--tracking-uri", server.uri)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: the MLflow store did not take everything: {server.uri}: nothing answers")

    # Up: `track` uploads, and no password.
    server.start()
    done = command("track", str(small.path), "--tracking-uri", uri_with_password)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"tracked (1 uploaded, 0 there before) in http://***@127.0.0.1:{server.port}/#/")
    store = store_of(small, server.uri)
    assert store.artifacts(store.children["Pop"]) == {*contents(small.model("Pop")), "submission/Pop.csv"}
    assert any((server.folder / "mlartifacts").rglob("topk_test.parquet")), "through the server, to its own folder"
    for password in ("canary-6", "canary-7"):
        holders = [
            str(path) for path in tmp_path.rglob("*") if path.is_file() and password.encode() in path.read_bytes()
        ]
        assert holders == [] and password not in done.stdout + done.stderr

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
