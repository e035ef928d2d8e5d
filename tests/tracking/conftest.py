"""Fixtures of the tests of tracking: MLflow switched on, and a run in the default store."""

from __future__ import annotations

import pytest
from support.mix_runs import ORACLES
from support.mlflow_stores import made_up

from movierec_bench.runs.folder import RunFolder
from movierec_bench.tracking.tracker import track


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIEREC_BENCH_TRACK", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def database(tracked: RunFolder) -> str:
    """The database of `tracked`: to set up another takes seconds."""
    return f"sqlite:///{tracked.path.parent / 'mlflow.db'}"


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """`made_up` in the default store."""
    there = made_up(tmp_path_factory.mktemp("tracked"))
    done = track(there.path)
    assert set(done.uploaded) == {*ORACLES, "Broken", "Absent"}
    assert done.kept == done.unreadable == ()
    return there
