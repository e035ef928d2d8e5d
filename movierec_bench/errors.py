"""The error classes: what this library refuses, and how it says so."""

from __future__ import annotations


class BenchError(Exception):
    """Anything this library refuses; its message says what was found, expected, where, and the next step."""


class DataError(BenchError):
    """The input data are not what the competition's format promises."""


class ConfigError(BenchError):
    """A setting, flag, YAML key or model name is not one we know."""


class ModelError(BenchError):
    """A model cannot be trained or cannot rank."""
