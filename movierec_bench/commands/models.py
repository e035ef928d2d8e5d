"""``models``: the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional, Union

from rich.console import RenderableType

from movierec_bench.commands.from_function import command_from
from movierec_bench.commands.terminal import say_next, show_table
from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.reports.catalog_table import catalog_table, model_card
from movierec_bench.schema import PathLike
from movierec_bench.settings.catalog import groups, load_catalog, select
from movierec_bench.settings.published import published_scores
from movierec_bench.settings.yaml_files import ConfigFolders
from movierec_bench.tuning.space import has_space, load_space


@dataclass(frozen=True)
class Catalogued:
    """What the catalogue says.

    Attributes:
        shown: for the terminal.
        model: the model it is all about; None for a list of models.
        ready: the listed models that can run here.
        configs: the user's own configuration folder; None without one.
    """

    shown: RenderableType
    model: Optional[str]
    ready: tuple[str, ...]
    configs: Optional[PathLike]

    def __rich__(self) -> RenderableType:
        """For the terminal."""
        return self.shown


def models(
    name: Optional[str] = None, models: Union[str, Iterable[str]] = "all,variants", configs: Optional[PathLike] = None
) -> Catalogued:
    """List the catalogue: name, family, source, groups, status, and what each model is; or all about one model.

    Args:
        name: a model, of which to print every parameter with what it may be, its search space and what others report.
        models: names and groups, comma-separated or a sequence; ``-Name`` leaves one out.
        configs: a folder laid out like ``recbole_configs`` whose files win over the packaged ones.

    Raises:
        ConfigError: there is no such model, or a file of the configurations is malformed.
    """
    catalog = load_catalog(configs)
    if name is None:
        listed = select(catalog, models)
        ready = tuple(entry.name for entry in listed if not entry.needs)
        return Catalogued(catalog_table(listed), None, ready, configs)
    if name in groups(catalog):
        raise ConfigError(f"{name} is a group; expected a model, or `models --models {name}` for all of the group")
    if name not in catalog:
        hint = did_you_mean(name, catalog) or "`python -m movierec_bench models` lists them all"
        raise ConfigError(f"unknown model {name!r}; {hint}")
    entry, folders = catalog[name], ConfigFolders(configs)
    domains = load_space(entry, folders).domains if has_space(entry, folders) else {}
    searched = {key: domain.in_words for key, domain in domains.items()}
    shown = model_card(entry, searched, published_scores().get(name, {}))
    return Catalogued(shown, name, () if entry.needs else (name,), configs)


def _show(found: Catalogued) -> None:
    show_table(found)
    configs = None if found.configs is None else str(found.configs)
    if found.ready and found.model is None:
        say_next("models", found.ready[0], configs=configs)
    elif found.ready:
        say_next("run", models=found.model, configs=configs)


command = command_from(models, _show, arguments=("name",))
