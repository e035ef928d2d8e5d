"""The best parameters of a search as a model's YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import yaml

from movierec_bench.runs.files import write_text
from movierec_bench.runs.trials import _SHARED_FILES, Trial
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.yaml_files import ConfigFolders, load_yaml, packaged_configs


def write_best(path: Path, entry: ModelEntry, best: Trial, notes: Sequence[str], folders: ConfigFolders) -> None:
    """Write a complete model YAML that holds the best parameters.

    Args:
        path: the file to write, ``configs/models/<Model>.yaml``. Beside its folder come the user's own
            protocol.yaml and common.yaml, if there are any, so that the folder means the same everywhere.
        entry: the model with its default parameters.
        best: the trial whose parameters are written.
        notes: comment lines that say where the values come from.
        folders: where the defaults came from.
    """
    for name in _SHARED_FILES:
        source = folders.file(name)
        if not source.is_relative_to(packaged_configs()):
            write_text(path.parent.parent / name, source.read_text(encoding="utf-8"))
    common = load_yaml(folders.file("common.yaml")) if entry.trainer == "epochs" else {}
    source_text = entry.path.read_text(encoding="utf-8")
    lines = [line for line in source_text.splitlines() if line.startswith("#")]
    lines += ["#", *(f"# {note}" for note in notes), "catalog:"]
    lines += [f"  {_line(key, value)}" for key, value in load_yaml(entry.path)["catalog"].items()]
    for name, default in entry.parameters.items():
        value = best.parameters.get(name, default)
        if name in common and value == common[name] and name not in best.parameters:
            continue
        said = re.search(rf"^{re.escape(name)}:.*?\s#\s*(.*)$", source_text, flags=re.MULTILINE)
        comments = [f"tuned, was {_inline(default)}"] if name in best.parameters and value != default else []
        comments += [said.group(1)] if said else []
        lines.append(f"{_line(name, value):<29} {'# ' + '; '.join(comments) if comments else ''}".rstrip())
    write_text(path, "\n".join(lines) + "\n")


def _line(key: str, value: Any) -> str:
    return f"{key}: {_inline(value)}"


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
