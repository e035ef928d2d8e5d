"""Which devices are refused, and what a model is told. No GPU is needed: PyTorch's answers are made up, or a CPU's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
import torch
from support.mix_runs import write_run
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic
from movierec_bench.errors import ConfigError
from movierec_bench.execution.devices import check_device, devices_here, every_gpu_visible, refuse
from movierec_bench.execution.run import run
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.settings.catalog import load_catalog

CPU = {"cpu": "the processor"}
TWO = {**CPU, "cuda:0": "GPU A", "cuda:1": "GPU B"}


@pytest.mark.parametrize(
    ("device", "workers", "here"),
    [
        (None, 1, CPU),
        (None, 4, CPU),
        (None, 1, TWO),
        ("cuda", 1, TWO),
        ("cuda:1", 1, TWO),
        ("cuda:1", 4, TWO),  # asked for
        ("mps", 1, {**CPU, "mps": "Apple's GPU"}),
    ],
)
def test_what_is_there_and_asked_for_is_taken(device: Optional[str], workers: int, here: dict[str, str]) -> None:
    refuse(device, workers, here)


@pytest.mark.parametrize(
    ("device", "workers", "here", "words"),
    [
        ("cuda", 1, CPU, ["--device cuda is not there", "cpu (the processor)", "choose one of these"]),
        ("cuda:2", 1, TWO, ["cuda:2 is not there", "cuda:0 (GPU A), cuda:1 (GPU B)"]),
        ("mps", 1, TWO, ["mps is not there"]),
        (None, 2, TWO, ["--workers 2", "cuda:0, GPU A", "--workers 1", "--device cuda:0", "--device cpu"]),
    ],
)
def test_others_are_refused_with_what_is_there(
    device: Optional[str], workers: int, here: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        refuse(device, workers, here)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:a", "CPU", "tpu", ""])
def test_a_word_that_names_no_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="expected cpu, cuda, cuda:N"):
        check_device(device, 1, on_cluster=False)


def test_on_a_cluster_a_number_means_nothing() -> None:
    check_device("cuda", 2, on_cluster=True)
    with pytest.raises(ConfigError, match="gives each model GPUs of its own"):
        check_device("cuda:1", 2, on_cluster=True)


def test_one_worker_without_a_wish_costs_no_import_of_torch() -> None:
    code = (
        "import sys; from movierec_bench.execution.devices import check_device;"
        "check_device(None, None, False); check_device('cpu', 4, False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pytorchs_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "AB"[number])
    here = devices_here()
    assert {name: here[name] for name in ("cpu", "cuda:0", "cuda:1")} == {**CPU, "cuda:0": "A", "cuda:1": "B"}


def test_a_device_that_is_not_there_ends_run_before_it_begins(tmp_path: Path) -> None:
    write_atomic(planted_competition(), tmp_path / "atomic_data", "planted")
    with pytest.raises(ConfigError, match="cuda:99 is not there"):
        run(models="Pop", atomic=tmp_path / "atomic_data", out=tmp_path / "runs", device="cuda:99")
    assert not (tmp_path / "runs").exists()


def test_a_model_is_told_its_device_and_the_board_says_it(tmp_path: Path) -> None:
    """PyTorch's device `meta`, which holds no numbers, is on every machine and is not the one RecBole would choose."""
    config = build_config(load_catalog()["BPR"], seed=1, scratch=tmp_path, device="meta")
    assert config["device"] == torch.device("meta")
    assert build_config(load_catalog()["BPR"], seed=1, scratch=tmp_path, device="cpu")["device"] == torch.device("cpu")
    write_atomic(planted_competition(), tmp_path / "atomic_data", "planted")
    board = run(models="Pop", atomic=tmp_path / "atomic_data", out=tmp_path / "runs", device="cpu", no_track=True)
    assert board.table["device"].tolist() == ["cpu"]


def test_the_board_names_what_was_not_trained_on_the_processor(tmp_path: Path) -> None:
    there = write_run(tmp_path, users=30)
    folder = there.model("Even")
    folder.write_status(replace(folder.read_status(), device="cuda:1"))
    caption: Any = build_board(there).to_rich().caption
    assert "trained on cuda:1: Even" in str(caption)


def test_ray_is_told_to_hide_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
    monkeypatch.delenv(switch, raising=False)
    with every_gpu_visible():
        assert os.environ[switch] == "1"
    assert switch not in os.environ
