"""The best parameters of a search as a model's YAML."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import yaml

from movierec_bench.runs.files import write_text
from movierec_bench.runs.trials import _SHARED_FILES, Trial
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.yaml_files import ConfigFolders, load_yaml, packaged_configs, read_yaml


def write_best(path: Path, entry: ModelEntry, best: Trial, notes: Sequence[str], folders: ConfigFolders) -> None:
    """Write a complete model YAML that holds the best parameters.

    Args:
        path: the file to write, ``configs/models/<Model>.yaml``. Beside its folder come the user's own
            protocol.yaml and common.yaml, if there are any, and beside it the Python files of a model of the user's own
            and the user's own bases of a variant, so that the folder means the same everywhere.
        entry: the model with its default parameters.
        best: the trial whose parameters are written.
        notes: comment lines that say where the values come from.
        folders: where the defaults came from.
    """
    for name in _SHARED_FILES:
        source = folders.file(name)
        if not source.is_relative_to(packaged_configs()):
            write_text(path.parent.parent / name, source.read_text(encoding="utf-8"))
    for base in entry.bases:
        source = folders.file(f"models/{base}.yaml")
        if not source.is_relative_to(packaged_configs()):
            write_text(path.with_name(source.name), source.read_text(encoding="utf-8"))
    if entry.code is not None:
        for name, text in entry.code.files.items():
            write_text(path.with_name(f"{name}.py"), text)
    common = load_yaml(folders.file("common.yaml")) if entry.trainer == "epochs" else {}
    file = read_yaml(entry.path)
    comments = {**_comments_of_bases(entry, folders), **file.comments}
    lines = [line for line in entry.path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines += ["#", *(f"# {note}" for note in notes)]
    lines += [_line("base", file.content["base"])] if "base" in file.content else []
    if "catalog" in file.content:
        lines += ["catalog:", *(f"  {_line(key, value)}" for key, value in file.content["catalog"].items())]
    for name, default in entry.parameters.items():
        value = best.parameters.get(name, default)
        if name in common and value == common[name] and name not in best.parameters:
            continue
        said = [f"tuned, was {_inline(default)}"] if name in best.parameters and value != default else []
        # The declaration stays in front: it says what the parameter may be.
        said = [comments[name], *said] if name in comments else said
        lines.append(f"{_line(name, value):<29} {'# ' + '; '.join(said) if said else ''}".rstrip())
    write_text(path, "\n".join(lines) + "\n")


def _comments_of_bases(entry: ModelEntry, folders: ConfigFolders) -> dict[str, str]:
    """What the YAMLs of a variant's bases say of its parameters, the nearest last."""
    comments: dict[str, str] = {}
    for base in reversed(list(entry.bases)):
        comments.update(read_yaml(folders.file(f"models/{base}.yaml")).comments)
    return comments


def _line(key: str, value: Any) -> str:
    return f"{key}: {_inline(value)}"


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
