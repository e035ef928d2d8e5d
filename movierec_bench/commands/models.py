"""``models``: the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Union

from rich.table import Table

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import show_table
from movierec_bench.reports.catalog_table import catalog_table
from movierec_bench.schema import PathLike
from movierec_bench.settings.catalog import load_catalog, select


def models(models: Union[str, Iterable[str]] = "all", configs: Optional[PathLike] = None) -> Table:
    """List the catalogue: name, family, source, groups, status, what a model needs.

    Args:
        models: names and groups, comma-separated or a sequence; ``-Name`` leaves one out.
        configs: a folder laid out like ``recbole_configs`` whose files win over the packaged ones.
    """
    return catalog_table(select(load_catalog(configs), models))


command = command_from(models, show_table)
