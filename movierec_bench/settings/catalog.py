"""The catalogue: every model, discovered from ``recbole_configs/models/*.yaml``.

A file's name is the model's name. Its ``catalog:`` block says what the model is and needs; every
other top-level key is a parameter. A file with ``base: NAME`` is a variant of that model. A user's own
``recbole_configs`` folder wins over the packaged one, file by file; a Python file beside a YAML holds its class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional, Union

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.schema import PathLike
from movierec_bench.settings.entry import CLOSED_GROUPS, KNOWN_USERS, REQUIREMENTS, ModelEntry
from movierec_bench.settings.entry_reading import EntryReader, recbole_defaults
from movierec_bench.settings.yaml_files import ConfigFolders, packaged_configs

__all__ = [
    "CLOSED_GROUPS",
    "KNOWN_USERS",
    "REQUIREMENTS",
    "ModelEntry",
    "groups",
    "load_catalog",
    "packaged_configs",
    "recbole_defaults",
    "select",
]


def load_catalog(configs: Optional[PathLike] = None) -> dict[str, ModelEntry]:
    """Every catalogued model by name.

    Args:
        configs: a user's own configuration folder; see `ConfigFolders`.

    Raises:
        ConfigError: a YAML is malformed; the message names the file, the key and what is allowed.
    """
    return EntryReader(ConfigFolders(configs)).entries()


def select(catalog: Mapping[str, ModelEntry], models: Union[str, Iterable[str]]) -> list[ModelEntry]:
    """The entries a ``--models`` expression names, in catalogue order.

    Args:
        catalog: from `load_catalog`.
        models: names and groups, comma-separated or a sequence; ``-Name`` or ``-group`` leaves out.

    Raises:
        ConfigError: an unknown name; the message suggests the close ones.
    """
    words = _words(models)
    if not words:
        raise ConfigError("no model was named; expected names or groups, such as --models fast or --models EASE,BPR")
    chosen: set[str] = set()
    if all(word.startswith("-") for word in words):
        chosen = set(catalog)
    for word in words:
        names = _members(catalog, word.lstrip("-"))
        chosen = chosen - names if word.startswith("-") else chosen | names
    if not chosen:
        raise ConfigError(f"--models {','.join(words)} leaves no model; name at least one that is not left out again")
    return [entry for name, entry in catalog.items() if name in chosen]


def groups(catalog: Mapping[str, ModelEntry]) -> list[str]:
    """All group names: ``all``, the families, and those the YAMLs name."""
    named = {group for entry in catalog.values() for group in entry.groups}
    return [*CLOSED_GROUPS, *sorted(named - set(CLOSED_GROUPS))]


def _words(models: Union[str, Iterable[str]]) -> list[str]:
    parts: Sequence[str] = [models] if isinstance(models, str) else list(models)
    return [word for part in parts for word in re.split(r"[,\s]+", part) if word]


def _members(catalog: Mapping[str, ModelEntry], word: str) -> set[str]:
    if word in catalog:
        return {word}
    members = {name for name, entry in catalog.items() if word in entry.groups}
    if members or word in CLOSED_GROUPS:
        return members
    hint = did_you_mean(word, [*groups(catalog), *catalog]) or f"groups are {', '.join(groups(catalog))};"
    raise ConfigError(f"unknown model or group {word!r}; {hint} `python -m movierec_bench models` lists them all")
