"""The command that made a run, as a line one can paste."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Concatenate, Optional, ParamSpec, TypeVar

from movierec_bench.errors import ConfigError
from movierec_bench.runs.addresses import public_address

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def check_positive(flag: str, value: Optional[float]) -> None:
    """Raise ConfigError unless ``value`` is above 0 or None."""
    if value is not None and not value > 0:
        raise ConfigError(f"{flag} is {value}; expected a number above 0")


def check_seed(seed: int, count: int = 1) -> None:
    """Raise ConfigError unless ``seed`` and the ``count`` - 1 after it are seeds that NumPy and PyTorch take."""
    if not 0 <= seed <= 2**32 - count:
        raise ConfigError(f"--seed is {seed}; expected a whole number from 0 to {2**32 - count}")


def recorded(function: Callable[Concatenate[str, Parameters], Result]) -> Callable[Parameters, Result]:
    """Hand a function, before its own arguments, the shell command that does the same as the call."""
    signature = inspect.signature(function)
    _, *own = signature.parameters.values()
    signature = signature.replace(parameters=own)

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        return function(command_line(function.__name__, _changed(signature, given)), *args, **kwargs)

    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def _changed(signature: inspect.Signature, given: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the arguments that are not the parameter's default."""
    return {name: value for name, value in given.items() if str(value) != str(signature.parameters[name].default)}


def command_line(command: str, arguments: Mapping[str, Any]) -> str:
    """Write the shell command that does what a call of the function of that name with these arguments does."""
    words = ["python", "-m", "movierec_bench", command]
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        value = public_address(str(value)) if name == "tracking_uri" and value is not None else value
        if isinstance(value, bool):
            words += [flag] if value else []
        elif value is not None:
            words += [flag, str(value) if isinstance(value, (str, int, float, Path)) else ",".join(value)]
    return shlex.join(words)
