"""Reading YAML files, the user's own before the packaged ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional

import yaml

from movierec_bench.errors import ConfigError
from movierec_bench.schema import PathLike


class ConfigFolders:
    """Where configurations are looked up: the user's own folder first, then the packaged one.

    Args:
        own: a folder laid out like ``recbole_configs``; ``recbole_configs`` in the working
            directory when not given and present there.
    """

    def __init__(self, own: Optional[PathLike] = None) -> None:
        if own is not None and not Path(own).is_dir():
            raise ConfigError(
                f"configuration folder {own} does not exist; expected a folder laid out like recbole_configs/ "
                "(protocol.yaml, common.yaml, models/*.yaml); check the path"
            )
        local = Path(own) if own is not None else Path("recbole_configs")
        self._folders = [folder for folder in (local, packaged_configs()) if folder.is_dir()]

    def file(self, relative: str) -> Path:
        """The first existing file of that relative path. Raises ConfigError when there is none."""
        for folder in self._folders:
            if (folder / relative).is_file():
                return folder / relative
        raise ConfigError(f"{relative} is in none of {', '.join(map(str, self._folders))}; reinstall or add it")

    def files(self, relative: str) -> list[Path]:
        """The YAML files of a sub-folder, by name; the user's own file hides the packaged one of that name."""
        found: dict[str, Path] = {}
        for folder in reversed(self._folders):
            found.update({path.name: path for path in (folder / relative).glob("*.yaml")})
        return [found[name] for name in sorted(found)]


def packaged_configs() -> Path:
    """The configurations that came with the package (inside a wheel, or beside it in a checkout)."""
    package = Path(__file__).parents[1]
    inside = package / "recbole_configs"
    return inside if inside.is_dir() else package.parent / "recbole_configs"


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. ``1e-4`` is a float, as RecBole reads it. Raises ConfigError with file and line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{line}: {problem}; expected one 'key: value' a line") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: found a {type(content).__name__}; expected 'key: value' lines")
    return content


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-4`` as a float, like RecBole."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
