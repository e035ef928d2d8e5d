"""The command that made a run, as a line one can paste."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError


def check_positive(flag: str, value: Optional[float]) -> None:
    """Raises ConfigError unless ``value`` is above 0 or None."""
    if value is not None and not value > 0:
        raise ConfigError(f"{flag} is {value}; expected a number above 0")


def command_line(command: str, arguments: Mapping[str, Any]) -> str:
    """The shell command that does what a call of the function of that name with these arguments did."""
    words = ["python", "-m", "movierec_bench", command]
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        value = hide_password(value) if name == "tracking_uri" and value is not None else value
        if isinstance(value, bool):
            words += [flag] if value else []
        elif value is not None:
            words += [flag, str(value) if isinstance(value, (str, int, float, Path)) else ",".join(value)]
    return shlex.join(words)


def hide_password(text: str) -> str:
    """The text with the user and password of every URL in it left out."""
    return re.sub(r"://[^@/\s]+@", "://***@", text)
