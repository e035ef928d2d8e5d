"""A search on a real Ray cluster, of which a machine dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from support.searches import BPR, ended, make, wait_for, words_of

pytestmark = pytest.mark.xdist_group("ray")  # one process, so that one Ray serves all

NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of one machine, on 127.0.0.1 only; the test adds another."""
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    nodes = Cluster(initialize_head=True, head_node_args=NODE)
    yield nodes
    nodes.shutdown()


def test_a_machine_that_dies_costs_no_trial(tmp_path: Path, cluster: Any) -> None:
    """The second machine joins when the search has begun, gets a trial, and dies."""
    endless = "epochs: 1000000\nstopping_step: 1000000\neval_step: 1000000"  # unvalidated trials are not stopped early
    make(tmp_path, models__BPR=BPR.replace("epochs: 2", endless))
    command = [sys.executable, "-m", "movierec_bench", "tune", "--models", "BPR", "--samples", "2", "--budget", "15"]
    process = subprocess.Popen(
        [*command, "--configs", "configs", "--ray", cluster.address],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: trains_on(cluster.head_node) or ended(process))
        second = cluster.add_node(**NODE)
        wait_for(lambda: trains_on(second) or ended(process))
        raylet_of(second).kill()
        _, log = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert "Traceback" not in log
    table = pd.read_csv(tmp_path / "tuned" / "planted" / "trials" / "BPR" / "trials.csv")
    assert table["trial"].tolist() == [0, 1, 2]
    assert table["state"].tolist() == ["budget"] * 3


def raylet_of(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def trains_on(node: Any) -> bool:
    return any("ImplicitFunc.train" in words_of(child) for child in raylet_of(node).children())
