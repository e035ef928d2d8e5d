"""Fixtures every test module may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.planted import planted_competition

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic


@pytest.fixture(scope="session", autouse=True)
def untracked() -> Iterator[None]:
    """No MLflow unless a test switches it on: to set up its database takes seconds a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOVIEREC_BENCH_TRACK", "0")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> AtomicData:
    """60 users, 40 movies, two tastes, in atomic files."""
    return read_atomic(write_atomic(planted_competition(), tmp_path_factory.mktemp("atomic"), "planted"))
