"""Where RecBole is installed; found without importing it, which would take seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from movierec_bench.errors import ConfigError

INSTALL = "pip install --no-deps recbole==1.2.1"


def recbole_folder() -> Path:
    """The folder of the package ``recbole``.

    Raises:
        ConfigError: it is not installed. From Python 3.12 pip cannot bring it along, because its pin of Ray ends
            there; all else that it needs comes with this library.
    """
    spec = importlib.util.find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"RecBole is not installed; expected recbole 1.2.1 beside movierec_bench; run `{INSTALL}`")
    return Path(next(iter(spec.submodule_search_locations)))
