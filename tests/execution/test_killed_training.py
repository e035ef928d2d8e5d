"""A model that was killed in training goes on from its saved state, with the result of one that was not disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from support.planted import ROOT, planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.runs.folder import RunFolder

EPOCHS = {"BPR": 60, "MultiVAE": 40, "SASRec": 4}
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted data set, and models that train for some seconds and never stop early."""
    folder = tmp_path_factory.mktemp("killed")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    (folder / "configs" / "models").mkdir(parents=True)
    for name, epochs in EPOCHS.items():
        content = yaml.safe_load((ROOT / "recbole_configs" / "models" / f"{name}.yaml").read_text())
        changed = {**content, "epochs": epochs, "stopping_step": 1000}
        (folder / "configs" / "models" / f"{name}.yaml").write_text(yaml.safe_dump(changed))
    return folder


def start(folder: Path, model: str, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "movierec_bench", "run", "--models", model, "--configs", "configs", "--quiet"]
    return subprocess.Popen(
        [*command, "--out", out],
        cwd=folder,
        env={**os.environ, "MOVIEREC_BENCH_SAVE_SECONDS": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while not path.exists():
        assert process.poll() is None, f"the run ended before there was {path.name}"
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(folder: Path) -> RunFolder:
    """The models, undisturbed."""
    assert start(folder, ",".join(EPOCHS), "whole").wait() == 0
    return RunFolder(folder / "whole" / "planted")


@pytest.mark.parametrize("model", EPOCHS)
def test_a_killed_model_ends_as_an_undisturbed_one(folder: Path, whole: RunFolder, model: str) -> None:
    run = RunFolder(folder / "killed" / "planted")
    process = start(folder, model, "killed")
    wait_for(run.training_state(model), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run.training_state(model).exists(), "the run was through before it was killed"
    assert not run.model(model).status.exists()
    assert start(folder, model, "killed").wait() == 0
    assert not run.training_state(model).exists()

    assert "training goes on after epoch" in run.model(model).log.read_text()
    assert "training goes on after epoch" not in whole.model(model).log.read_text()
    for part in ("valid", "test", "full"):
        stored = [side.model(model).read_topk(part) for side in (run, whole)]
        pd.testing.assert_frame_equal(*stored, check_exact=True)
    epochs = [pd.read_csv(side.model(model).epochs).drop(columns="seconds") for side in (run, whole)]
    pd.testing.assert_frame_equal(*epochs, check_exact=True)
    assert len(epochs[0]) == EPOCHS[model]
