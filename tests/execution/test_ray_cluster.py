"""A run on a real Ray cluster: the same results, and what a lost node, a bad model or a wrong address costs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pandas as pd
import pytest
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.errors import ConfigError
from movierec_bench.execution import ray_cluster as cluster
from movierec_bench.execution.processes import usable_cpus
from movierec_bench.execution.ray_cluster import _refusal, connected
from movierec_bench.execution.ray_cluster import environment as environment_here
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import BOARD_COLUMNS

pytest.importorskip("ray")

pytestmark = pytest.mark.xdist_group("ray")

WAIT = ("Gated", "Held")  # two models alike
SHARE = {"Sharing": "{cpu: 0.5, gpu: 0.5}", "Sparing": "{cpu: 0.5}"}  # two more that fit on one CPU together
HEAD = "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none"
SMALL = "epochs: 8\nembedding_size: 8\n"
WAITING = '''
import os
import pathlib
import time

from recbole.model.general_recommender.bpr import BPR


class {name}(BPR):
    """BPR that trains five steps and goes on once the file `gate` is there: a model caught halfway."""

    steps = 0

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.gate = pathlib.Path(config["gate"])
        print("GPUs:", os.environ.get("CUDA_VISIBLE_DEVICES"))

    def calculate_loss(self, interaction):
        self.steps += 1
        while self.steps > 5 and not self.gate.exists():
            time.sleep(0.1)
        return super().calculate_loss(interaction)
'''


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a data set, configurations, with models of the user's own that wait for a gate."""
    with tempfile.TemporaryDirectory(
        prefix="mb-"
    ) as folder:  # short: Ray's sockets in it have names of 107 bytes at most
        yield _filled(Path(folder))


def _filled(folder: Path) -> Path:
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    models = folder / "configs" / "models"
    models.mkdir(parents=True)
    for name in (*WAIT, *SHARE):
        (models / f"{name}.py").write_text(WAITING.replace("{name}", name))
    (models / "BPR.yaml").write_text(f"{HEAD}}}\n{SMALL}")
    for name in (*WAIT, *SHARE):
        block = f"{HEAD.replace('recbole', 'ours')}, resources: {SHARE.get(name, '{}')}}}"
        (models / f"{name}.yaml").write_text(f"{block}\n{SMALL}gate: {folder / 'gate'}\n")
    (models / "Wrong.yaml").write_text(f"{HEAD}, class: BPR}}\n{SMALL}learning_rate: 1e30\n")
    (models / "Huge.yaml").write_text(f"{HEAD}, class: BPR, resources: {{cpu: 3, gpu: 1}}}}\n{SMALL}")
    return folder


@pytest.fixture(scope="module")
def ray_cluster(place: Path) -> Iterator[Any]:
    """A cluster of one node with one CPU and one (imagined) GPU, on 127.0.0.1; tests add more."""
    with environment(
        RAY_USAGE_STATS_ENABLED="0",
        TMPDIR=str(place),
    ):
        from ray.cluster_utils import Cluster

        nodes = Cluster(initialize_head=True, head_node_args={**node_of_one_cpu(), "num_gpus": 1})
        yield nodes
        nodes.shutdown()


def node_of_one_cpu() -> dict[str, Any]:
    return {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}


@contextmanager
def environment(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


class Command:
    """`python -m movierec_bench run ...` in a process of its own, whose lines can be waited for."""

    def __init__(self, place: Path, *options: str) -> None:
        command = [sys.executable, "-m", "movierec_bench", "run", "--configs", "configs", "--quiet", *options]
        self.process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180
        while not condition():
            assert self.process.poll() is None, f"ended too soon:\n{self.text()}"
            assert time.monotonic() < deadline, f"waited in vain:\n{self.text()}"
            time.sleep(0.1)

    def count(self, *words: str) -> int:
        return sum(all(word in line for word in words) for line in self.lines)

    def text(self) -> str:
        return "\n".join(self.lines)

    def end(self) -> int:
        try:
            code = self.process.wait(timeout=300)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end:\n{self.text()}") from None
        self._reader.join()
        return code


def test_a_node_that_dies_halfway_costs_only_its_models(place: Path, ray_cluster: Any) -> None:
    """One that waits fills the first node; the other goes to a second, which joins late and dies while it trains."""
    names = "BPR,EASE,Gated,Held,Huge,Pop,Wrong"
    there = Command(place, "--models", names, "--out", "there", "--ray", ray_cluster.address)
    there.wait_for(lambda: there.count(": epoch 5", "BPR") < there.count(": epoch 5"))
    kept, lost = WAIT if there.count(f"{WAIT[0]}: epoch 5") else reversed(WAIT)
    node = ray_cluster.add_node(**node_of_one_cpu())
    there.wait_for(lambda: there.count(f"{lost}: epoch 5") > 0)
    ray_cluster.remove_node(node)
    there.wait_for(lambda: there.count(f"{lost}: node 127.0.0.1", "was lost", "starts again") > 0)
    (place / "gate").touch()
    assert there.end() == 1, there.text()  # Huge and Wrong fail
    assert {name: there.count(f"{name}: on node") for name in names.split(",")} == {
        "BPR": 1,
        "EASE": 1,
        kept: 1,
        lost: 2,
        "Huge": 0,
        "Pop": 1,
        "Wrong": 1,
    }, there.text()
    assert_same_as_here(place, names)


def assert_same_as_here(place: Path, names: str) -> None:
    """A run on this machine leaves the same, but for times and for the model that is too big for the cluster."""
    one_thread_each = str(usable_cpus())
    Command(place, "--models", names, "--out", "here", "--workers", one_thread_each).end()
    there, here = (RunFolder(place / out / "planted") for out in ("there", "here"))
    measured = {"place", "fit_seconds", "rank_seconds", "refit_seconds", "peak_rss_mb"}
    columns = [column for column in BOARD_COLUMNS if column not in measured]
    found, expected = (
        pd.read_csv(folder.leaderboard("csv"))[columns].set_index("model").sort_index() for folder in (there, here)
    )
    pd.testing.assert_frame_equal(found.drop(index="Huge"), expected.drop(index="Huge"))
    assert expected.loc[["BPR", "EASE", "Gated", "Held", "Pop"], "status"].eq("done").all()
    assert expected.loc["Wrong", "status"] == "failed"
    assert "in fit: " in expected.loc["Wrong", "error"]
    assert found.loc["Huge", "error"].startswith("in start: no node of the cluster has 3 CPU and 1 GPU")
    for model in here.models():
        if model.name == "Huge":
            continue
        assert {path.name for path in model.path.iterdir()} == {
            path.name for path in there.model(model.name).path.iterdir()
        }
        if expected.loc[model.name, "status"] == "done":
            for part in ("valid", "test", "full"):
                pd.testing.assert_frame_equal(there.model(model.name).read_topk(part), model.read_topk(part))
            assert there.submission(model.name).read_bytes() == here.submission(model.name).read_bytes()
    assert "Traceback" in there.model("Wrong").log.read_text()


def test_ctrl_c_stops_what_runs_on_the_nodes(place: Path, ray_cluster: Any) -> None:
    (place / "gate").unlink(missing_ok=True)
    before = scratch_folders(place)  # a node that was killed leaves its own
    there = Command(place, "--models", "Gated", "--out", "stopped", "--ray", ray_cluster.address)
    there.wait_for(lambda: there.count("Gated: epoch 5") > 0)
    assert scratch_folders(place) > before
    there.process.send_signal(signal.SIGINT)
    assert there.end() == 130, there.text()
    assert "running again goes on from there" in there.text()
    assert "Traceback" not in there.text()
    assert scratch_folders(place) == before


@pytest.mark.parametrize("limit", [("--timeout", "25"), pytest.param(("--hours", "0.02"), marks=pytest.mark.slow)])
def test_a_model_that_never_ends_is_ended_on_its_node_when_its_time_is_up(
    place: Path, ray_cluster: Any, limit: tuple[str, str]
) -> None:
    (place / "gate").unlink(missing_ok=True)
    before = scratch_folders(place)
    out = f"timed{limit[0]}"
    there = Command(place, "--models", "Pop,Gated", "--out", out, "--ray", ray_cluster.address, *limit)
    assert there.end() == 1, there.text()
    run = RunFolder(place / out / "planted")
    assert run.model("Pop").read_status().state == "done" and run.submission("Pop").is_file()
    ended = run.model("Gated").read_status()
    assert ended.state == "failed"
    assert "seconds that --timeout or --hours gave it" in str(ended.error)
    assert scratch_folders(place) == before


def scratch_folders(place: Path) -> set[str]:
    """Where the nodes' tasks work: their TMPDIR is ``place``. A Ray worker keeps one for sockets while it waits."""
    return {path.name for path in place.glob("movierec_bench-*") if not list(path.glob("pymp-*"))}


@pytest.mark.parametrize(("workers", "second_starts"), [([], "beside"), (["--workers", "1"], "after")])
def test_models_share_a_node_unless_workers_forbids(
    place: Path, ray_cluster: Any, workers: list[str], second_starts: str
) -> None:
    (place / "gate").unlink(missing_ok=True)
    out = f"share-{second_starts}"
    there = Command(place, "--models", "Sharing,Sparing", "--out", out, "--ray", ray_cluster.address, *workers)
    at_once = {"beside": 2, "after": 1}[second_starts]
    there.wait_for(lambda: there.count(": epoch 5") == at_once)
    (place / "gate").touch()
    assert there.end() == 0, there.text()
    starts = [number for number, line in enumerate(there.lines) if ": on node" in line]
    first_end = next(number for number, line in enumerate(there.lines) if "[1/2]" in line)
    assert (starts[1] > first_end) == (second_starts == "after")
    logs = [RunFolder(place / out / "planted").model(name).log.read_text() for name in SHARE]
    assert "GPUs: 0\n" in logs[0]
    assert "GPUs: \n" in logs[1]  # not asked for, so not seen, whatever the machine has


# -- what is refused ----------------------------------------------------------------------------


def test_a_cluster_that_cannot_be_reached_is_told_at_once(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: refused
        command = Command(place, "--models", "Pop", "--out", "refused", "--ray", f"127.0.0.1:{taken.getsockname()[1]}")
        started = time.monotonic()
        assert command.end() == 2
    assert time.monotonic() - started < 60  # Ray itself would try for minutes
    assert "no Ray cluster answers at 127.0.0.1:" in command.text()
    assert "ray start --head" in command.text()
    assert not (place / "refused" / "planted").exists()


def test_auto_without_a_cluster_is_told_at_once() -> None:
    message = r"no Ray cluster answers at 127\.0\.0\.1:1 \("
    with environment(RAY_ADDRESS="127.0.0.1:1"), pytest.raises(ConfigError, match=message), connected("auto"):
        pass


@pytest.mark.parametrize("address", ["somewhere", "ray://127.0.0.1:10001", "127.0.0.1:port", ":6379"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with (
        pytest.raises(ConfigError, match="expected HOST:PORT of a running cluster's head, or auto"),
        connected(address),
    ):
        pass


def test_another_server_is_not_taken_for_a_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6")

        threading.Thread(target=answer, daemon=True).start()
        host, port = server.getsockname()
        assert _refusal(host, port) == "something else listens there"


def test_a_node_with_another_environment_is_refused(ray_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "environment", lambda: {**environment_here(), "torch": "0.4.1"})
    message = r"node 127\.0\.0\.1 has torch \S+; expected torch 0\.4\.1, as where the run was started; install"
    with pytest.raises(ConfigError, match=message), connected(ray_cluster.address):
        pass


def test_a_connection_to_another_cluster_is_not_taken(ray_cluster: Any) -> None:
    import ray

    with environment(RAY_ADDRESS=ray_cluster.address), connected("auto"):
        with connected(ray_cluster.address):
            pass
        assert ray.is_initialized()  # the inner block has left it open
        with (
            pytest.raises(ConfigError, match=r"connected to Ray at .*; expected 127.0.0.1:1;"),
            connected("127.0.0.1:1"),
        ):
            pass
    assert not ray.is_initialized()
