"""The catalogue as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from movierec_bench.settings.catalog import CLOSED_GROUPS, ModelEntry


def catalog_table(entries: Iterable[ModelEntry]) -> Table:
    """A rich table of models: name, family, source, groups besides the family, status, what is missing to run."""
    table = Table(box=None, header_style="bold")
    for column in ("model", "family", "source", "groups", "trains", "status"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        named = [group for group in entry.groups if group not in CLOSED_GROUPS]
        status = f"needs {entry.needs}" if entry.needs else "ready"
        table.add_row(entry.name, entry.family, entry.source, ", ".join(named), entry.trainer, status)
    return table
