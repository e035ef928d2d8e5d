"""Pieces of the runs on a cluster: a Ray of one's own, lost nodes, results cut off, the hash of our code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from movierec_bench.execution import ray_cluster as cluster
from movierec_bench.execution import ray_tasks
from movierec_bench.execution.jobs import Job
from movierec_bench.execution.processes import Task
from movierec_bench.execution.ray_cluster import connected
from movierec_bench.execution.ray_tasks import MAX_LOSSES
from movierec_bench.settings.catalog import load_catalog

exceptions = pytest.importorskip("ray.exceptions")

pytestmark = pytest.mark.xdist_group("ray")


def test_a_ray_of_its_own_listens_on_loopback_only() -> None:
    import ray

    before = dict(os.environ)
    with connected(None, cpus=1):
        assert ray.cluster_resources()["CPU"] == 1
        ray.get(ray.remote(lambda: None).remote())  # so that a worker is there as well
        ours = {process.pid for process in psutil.Process().children(recursive=True)}
        listening = {
            connection.laddr.ip.replace("::ffff:", "")
            for connection in psutil.net_connections(kind="inet")
            if connection.pid in ours and connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}
    assert {name for name in os.environ if name.startswith("RAY_")} == {
        name for name in before if name.startswith("RAY_")
    }


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (exceptions.WorkerCrashedError(), True),
        (exceptions.NodeDiedError("gone"), True),
        (exceptions.RayTaskError("work", "...", exceptions.RaySystemError("Broken pipe")), True),
        (exceptions.RayTaskError("work", "...", OSError("No space left on device")), False),
        (exceptions.OutOfMemoryError("the node ran low on memory"), False),
    ],
)
def test_only_a_lost_node_is_a_reason_to_start_again(
    error: Exception, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.get", raising(error))
    task = Task("BPR", None, Path("log.txt"))
    first, last = (ray_tasks._end(None, ray_tasks._Attempt(task, n, "10.0.0.3")) for n in (1, MAX_LOSSES))
    assert (first is None) == lost
    assert last is not None
    assert ("was lost" in str(last.error)) == lost
    assert "node 10.0.0.3" in str(last.error)


def raising(error: Exception) -> Callable[[Any], Any]:
    def get(reference: Any) -> Any:
        raise error

    return get


def test_files_cut_off_by_a_kill_are_no_results(tmp_path: Path) -> None:
    dataset = tmp_path / "atomic_data" / "planted"
    job = Job(load_catalog()["Pop"], dataset, tmp_path, "d", "p", "train", 42, None, "", refit=True, code_hash="c")
    for name in ("models/Pop/log.txt", "models/Pop/.status.json.7.tmp", "split/train.parquet", "submissions/Pop.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    results = ray_tasks._results(job)
    assert {name: content.tobytes().decode() for name, content in results.items()} == {
        name: name for name in ("models/Pop/log.txt", "submissions/Pop.csv")
    }


def test_the_hash_of_our_code_follows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "pop.py").write_text("a = 1\n")
    monkeypatch.setattr(cluster, "__file__", str(tmp_path / "execution" / "ray_cluster.py"))
    before = cluster.environment()
    (tmp_path / "models" / "pop.py").write_text("a = 2\n")
    after = cluster.environment()
    assert [name for name in before if before[name] != after[name]] == ["code of movierec_bench"]
    assert cluster.difference(before, before) == ""
    assert "has code of movierec_bench" in cluster.difference(after, before)
