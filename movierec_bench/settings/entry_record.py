"""A catalogue entry as plain values, for a kept model, and back, without trusting them to name any code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.schema import PathLike
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.entry import ModelEntry
from movierec_bench.settings.entry_reading import declared_of, is_packaged

_NOT_STORED = ("path", "summary", "declared", "bases", "code")
_TUPLES = ("groups", "requires")  # fields of which JSON makes lists


def record_of(entry: ModelEntry) -> dict[str, Any]:
    """What `entry_of` makes the entry of again; no code, but its hash where it is the user's own."""
    stored = {field.name: getattr(entry, field.name) for field in fields(entry) if field.name not in _NOT_STORED}
    return {**stored, "code_hash": entry.code.hash if entry.code is not None else ""}


def entry_of(record: Mapping[str, Any], path: Path, configs: Optional[PathLike] = None) -> ModelEntry:
    """The entry of a record, whose class is one of the library's, or one of the configurations used here.

    Args:
        record: from `record_of`; it may have been changed by a stranger.
        path: the file it was read from, for messages.
        configs: the user's own configuration folder; see `ConfigFolders`.

    Raises:
        DataError: a field is missing, or a parameter has a value that it may not have.
        ConfigError: the class is the user's own, and no model here has it.
    """
    try:
        values = {field.name: record[field.name] for field in fields(ModelEntry) if field.name not in _NOT_STORED}
        values.update({name: tuple(record[name]) for name in _TUPLES})
        entry = ModelEntry(**values, path=path)
        own = record["code_hash"]
        if own or not is_packaged(entry.module, entry.class_name):
            entry = replace(entry, code=_same_model_here(entry, own, path, configs).code)
        entry = replace(entry, declared=declared_of(entry.module, entry.class_name))
        for key, value in entry.parameters.items():
            entry.check(key, value)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        if isinstance(error, ConfigError) and "no model here" in str(error):
            raise
        raise DataError(f"{path}: {error}; expected every field of a catalogue entry; run it again") from error
    return entry


def _same_model_here(entry: ModelEntry, code_hash: str, path: Path, configs: Optional[PathLike]) -> ModelEntry:
    """The model of that name in the catalogue, of the same class and the same code."""
    here = load_catalog(configs).get(entry.name)
    if here is None or (here.module, here.class_name, here.code.hash if here.code is not None else "") != (
        entry.module,
        entry.class_name,
        code_hash,
    ):
        raise ConfigError(
            f"{path}: the class of {entry.name} is none of this library's, and no model here has it; expected its "
            f"{entry.name}.yaml and {entry.name}.py, as they were when it was kept, in models/ of the folder given "
            "with --configs, or in recbole_configs/models of the working directory"
        )
    return here
