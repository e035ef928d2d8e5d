"""A kept model in MLflow: an artifact of its run, which a real `mlflow models serve` on 127.0.0.1 answers with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mlflow_stores import Store
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.data.atomic import write_atomic
from movierec_bench.runs.folder import RunFolder
from movierec_bench.tracking.entries import MODEL

pytestmark = pytest.mark.xdist_group("mlflow")

PATIENCE = 180  # seconds for a server to start on a busy machine


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunFolder, Store]]:
    folder = tmp_path_factory.mktemp("tracked")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOVIEREC_BENCH_TRACK", "1")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        where = {"atomic": folder / "atomic_data", "out": folder / "runs", "quiet": True}
        mb.run("Pop", **where)
        mb.run("EASE", keep_models=True, **where)
        run = RunFolder(folder / "runs" / "planted")
        yield run, Store(f"sqlite:///{folder / 'runs' / 'mlflow.db'}", run.read_manifest().run_id, MODEL)


@pytest.fixture(scope="module")
def address(tracked: tuple[RunFolder, Store], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where EASE is served."""
    _, store = tracked
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = f"runs:/{store.children['EASE'].info.run_id}/model"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": store.uri,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # it looks for uvicorn there
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    address, started = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() - started < PATIENCE, log.read_text()
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def ask(address: str, records: list[dict[str, Any]]) -> Any:
    body = json.dumps({"dataframe_records": records}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)["predictions"]


def test_a_kept_model_is_an_artifact_and_nothing_of_it_is_pickled(tracked: tuple[RunFolder, Store]) -> None:
    run, store = tracked
    assert not any(path.startswith("model/") for path in store.artifacts(store.children["Pop"]))
    below = store.client.list_artifacts(store.children["EASE"].info.run_id, "model/data/kept")
    assert {Path(entry.path).name for entry in below} == {"model.json", "learned.npz", "data.npz"}
    there = store.artifacts(store.children["EASE"])
    assert "model/MLmodel" in there and not [path for path in there if path.endswith((".pkl", ".py", ".pth"))]
    before = store.everything()
    assert mb.track(run.path, store.uri).uploaded == ()
    assert store.everything() == before


def test_the_server_answers_users_and_strangers(tracked: tuple[RunFolder, Store], address: str) -> None:
    run, _ = tracked
    ease = mb.load(run.path, "EASE")
    known, stranger, few = ask(
        address, [{"user": 100}, {"items": [10, 30, 50]}, {"user": 101, "k": 3, "filter": "unpopular:15"}]
    )
    for reply, ranked in (
        (known, ease.recommend(users=[100])),
        (stranger, ease.recommend(items=[10, 30, 50])),
        (few, ease.recommend(users=[101], k=3, filter="unpopular:15")),
    ):
        assert reply["items"] == ranked.table["item"].tolist()
        assert reply["titles"] == ranked.table["title"].tolist()
        assert reply["scores"] == pytest.approx(ranked.table["score"].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"items": [11]}, "movie 11 is not among the 40 movies of planted"),
        ({"users": 100}, "the request has a column 'users'; expected some of user, items, k, filter"),
        ({"user": 7}, "user 7 is not among the 60 users"),
        ({"k": 3}, "expected --users or --items, one of them"),
    ],
)
def test_what_cannot_be_answered_is_a_bad_request(address: str, record: dict[str, Any], reason: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(address, [record])
    assert refused.value.code == 400
    assert reason in json.loads(refused.value.read())["message"]
