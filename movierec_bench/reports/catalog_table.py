"""The catalogue as a table for the terminal, and one of its models in full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from movierec_bench.settings.catalog import CLOSED_GROUPS, REQUIREMENTS, ModelEntry
from movierec_bench.settings.published import WHERE


def catalog_table(entries: Iterable[ModelEntry]) -> Table:
    """A rich table of models: name, family, source, groups besides the family, status, what each is."""
    table = Table(box=None, header_style="bold")
    for column in ("model", "family", "source", "groups", "trains", "status", "what it is"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        named = [group for group in entry.groups if group not in CLOSED_GROUPS]
        status = f"needs {entry.needs}" if entry.needs else "ready"
        row = (entry.name, entry.family, entry.source, ", ".join(named), entry.trainer, status, entry.in_a_line)
        table.add_row(*map(Text, row))
    return table


def model_card(entry: ModelEntry, searched: Mapping[str, str], published: Mapping[str, list[str]]) -> Group:
    """All that the catalogue knows of a model.

    Args:
        entry: the model.
        searched: what `tune` searches of each parameter, in words; empty where it has no search space.
        published: what others report for it, by one of ``published.WHERE``.

    Returns:
        Text and tables for rich.
    """
    facts = Table(box=None, show_header=False, pad_edge=False)
    for key, value in _facts(entry, published):
        facts.add_row(Text(key, style="bold"), Text(value))
    parts: list[RenderableType] = [Text(entry.name, style="bold"), Text(entry.summary), Text(), facts, Text()]
    if not entry.parameters:
        return Group(*parts, Text("It has no parameters."))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("parameter", "default", "allowed", "unit", "what it does", "source", "tune searches"):
        table.add_column(column, overflow="fold")
    for key, value in entry.parameters.items():
        said = entry.declared.get(key)
        told = (said.text, said.unit, said.meaning, said.source) if said is not None else ("anything", "", "", "")
        table.add_row(*map(Text, (key, _in_yaml(value), *told, searched.get(key, ""))))
    notes: list[RenderableType] = [] if searched else [Text(), Text("`tune` has no search space for it yet.")]
    return Group(*parts, table, *notes)


def _facts(entry: ModelEntry, published: Mapping[str, list[str]]) -> Iterable[tuple[str, str]]:
    yield "family", entry.family
    yield "groups", ", ".join(entry.groups)
    yield "source", entry.source
    yield "class", f"{entry.module}:{entry.class_name}" if entry.module else f"{entry.class_name} of RecBole"
    if entry.bases:
        base, keys = next(iter(entry.bases.items()))
        yield "variant of", f"{base}, with another {', '.join(keys)}" if keys else base
    yield "trains", f"{entry.trainer}, on {entry.batches}" if entry.batches != "none" else entry.trainer
    yield "reads to rank", entry.history
    yield "requires", "; ".join(REQUIREMENTS[what].split(", and ")[0] for what in entry.requires) or "nothing special"
    if entry.needs:
        yield "cannot run here", f"needs {entry.needs}"
    for where, scores in published.items():
        yield "published", f"{'; '.join(scores)} ({WHERE[where]})"
    yield "written in", str(entry.path)


def _in_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()
