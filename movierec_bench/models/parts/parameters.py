"""Reads a model's parameters and refuses values that mean nothing, naming the model, the key and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.model_contract import ModelConfig


def choice(config: ModelConfig, key: str, allowed: Sequence[str]) -> str:
    """One of ``allowed``. Raises ConfigError for anything else."""
    value = config[key]
    if value not in allowed:
        raise _refused(config, key, value, f"one of {', '.join(allowed)}")
    return str(value)


def whole_number(config: ModelConfig, key: str, lowest: int = 1) -> int:
    """An integer of at least ``lowest``. Raises ConfigError for anything else."""
    value = config[key]
    if not _is_integer(value) or value < lowest:
        raise _refused(config, key, value, f"an integer >= {lowest}")
    return int(value)


def number(config: ModelConfig, key: str, above: float) -> float:
    """A finite number greater than ``above``. Raises ConfigError for anything else."""
    value = config[key]
    if not _is_number(value) or not above < value < float("inf"):
        raise _refused(config, key, value, f"a number > {above:g}")
    return float(value)


def number_from(config: ModelConfig, key: str, lowest: float) -> float:
    """A finite number of at least ``lowest``. Raises ConfigError for anything else."""
    value = config[key]
    if not _is_number(value) or not lowest <= value < float("inf"):
        raise _refused(config, key, value, f"a number >= {lowest:g}")
    return float(value)


def whole_numbers(config: ModelConfig, key: str) -> list[int]:
    """A list of at least one positive integer. Raises ConfigError for anything else."""
    value = config[key]
    if not isinstance(value, (list, tuple)) or not value or not all(_is_integer(v) and v >= 1 for v in value):
        raise _refused(config, key, value, "a list of integers >= 1, such as [3, 2, 1]")
    return [int(v) for v in value]


def flag(config: ModelConfig, key: str) -> bool:
    """True or False. Raises ConfigError for anything else."""
    value = config[key]
    if not isinstance(value, bool):
        raise _refused(config, key, value, "true or false")
    return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refused(config: ModelConfig, key: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"{config['model']}: {key} is {value!r}; expected {expected}; change it in the model's YAML")
