"""RecBole's Config comes from our dictionary alone, and every key of ours survives."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.config import build_config, effective_parameters, load_model_class
from movierec_bench.settings.catalog import ModelEntry, load_catalog


def with_unchecked(name: str, **values: object) -> ModelEntry:
    """The model with values that its declarations would refuse."""
    entry = load_catalog()[name]
    return replace(entry, parameters={**entry.parameters, **values})


def test_the_command_line_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--embedding_size=3", "--epochs=1"])
    config = build_config(load_catalog()["BPR"], seed=1, scratch=tmp_path)
    assert config["embedding_size"] == 64
    assert config["epochs"] == load_catalog()["BPR"].parameters["epochs"]


def test_strings_are_not_evaluated(tmp_path: Path) -> None:
    entry = with_unchecked("SASRec", hidden_act="__import__('os').getcwd()")
    assert build_config(entry, seed=1, scratch=tmp_path)["hidden_act"] == "__import__('os').getcwd()"


def test_the_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    build_config(load_catalog()["BPR"], seed=1, scratch=tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_cuda_is_asked_while_the_callers_devices_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA keeps what it reads at the first question: a process that was given GPU 3 must not take GPU 0."""
    seen = []

    def is_available() -> bool:
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return False

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr("torch.cuda.is_available", is_available)
    build_config(load_catalog()["BPR"], seed=1, scratch=tmp_path)
    assert seen[0] == "3"


def test_the_entry_is_left_alone(tmp_path: Path) -> None:
    entry = load_catalog()["BPR"]
    before = repr(entry.parameters)
    build_config(entry, seed=1, scratch=tmp_path)
    assert repr(entry.parameters) == before


def test_a_value_recbole_changes_is_an_error(tmp_path: Path) -> None:
    entry = with_unchecked("BPR", train_neg_sample_args="None")
    with pytest.raises(ConfigError, match="train_neg_sample_args"):
        build_config(entry, seed=1, scratch=tmp_path)


def test_every_catalogued_class_is_there_and_never_takes_recboles_name() -> None:
    for entry in load_catalog().values():
        if entry.needs:
            continue
        model_class = load_model_class(entry)
        if entry.source == "ours":
            from recbole.utils import get_model

            with pytest.raises((ValueError, ModuleNotFoundError)):
                get_model(model_class.__name__)


def test_a_missing_class_or_file_says_so(tmp_path: Path) -> None:
    ours = replace(load_catalog()["BPR"], source="ours", name="Nothing", module="movierec_bench.models.nothing")
    with pytest.raises(ConfigError, match="movierec_bench/models/nothing.py"):
        load_model_class(ours)
    with pytest.raises(ConfigError, match="no model 'BPRR'"):
        load_model_class(replace(load_catalog()["BPR"], class_name="BPRR"))


def test_effective_parameters_hold_recboles_defaults_too(tmp_path: Path) -> None:
    entry = load_catalog()["BPR"]
    trimmed = replace(entry, parameters={k: v for k, v in entry.parameters.items() if k != "embedding_size"})
    parameters = effective_parameters(trimmed, build_config(trimmed, seed=1, scratch=tmp_path))
    assert parameters["embedding_size"] == 64
    assert parameters["learning_rate"] == 0.001


def test_the_config_names_the_catalogues_model(tmp_path: Path) -> None:
    assert build_config(load_catalog()["EASE"], seed=1, scratch=tmp_path)["model"] == "EASE"
