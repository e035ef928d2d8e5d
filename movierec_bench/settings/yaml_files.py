"""Reading YAML files, the user's own before the packaged ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import yaml

from movierec_bench.errors import ConfigError
from movierec_bench.schema import PathLike

_MOST_BYTES = 1_000_000


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
        packaged = packaged_configs()
        is_other = local.is_dir() and not local.samefile(packaged)  # in a checkout, the two are one folder
        self._folders = [local, packaged] if is_other else [packaged]

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
            # A Mac leaves a file ._NAME beside each one it copies to a foreign disk.
            there = [path for path in (folder / relative).glob("*.yaml") if not path.name.startswith(".")]
            found.update({path.name: path for path in there})
        return [found[name] for name in sorted(found)]


def packaged_configs() -> Path:
    """The configurations that came with the package (inside a wheel, or beside it in a checkout)."""
    package = Path(__file__).parents[1]
    inside = package / "recbole_configs"
    return inside if inside.is_dir() else package.parent / "recbole_configs"


@dataclass(frozen=True)
class YamlFile:
    """A YAML mapping, with what stands around its values.

    Attributes:
        path: the file.
        content: the values, by top-level key.
        comments: what a comment behind a top-level key's value says, by key; those without one are not in it.
        lines: the line of each top-level key, from 1.
        opening: the comment lines the file begins with, as one line.
    """

    path: Path
    content: dict[str, Any]
    comments: Mapping[str, str]
    lines: Mapping[str, int]
    opening: str

    def at(self, key: str) -> str:
        """Where a key stands, for a message: file and line."""
        return f"{self.path} line {self.lines[key]}" if key in self.lines else str(self.path)


def read_yaml(path: Path) -> YamlFile:
    """A YAML mapping of plain values, with its comments. ``1e-4`` is a float, as RecBole reads it.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or not YAML, holds a key twice, a key that is not text, or a
            value by reference (``*name``), of which a few lines can make gigabytes. The message says where.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        found = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{line}: {found}; expected one 'key: value' a line") from error
    except (ValueError, RecursionError) as error:  # such as a number of 5,000 digits, or a date that is none
        raise ConfigError(f"{path}: {str(error)[:200]}; expected one 'key: value' a line") from error
    if content is None:
        return YamlFile(path, {}, {}, {}, _opening(text))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: found a {type(content).__name__}; expected 'key: value' lines")
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    return YamlFile(path, content, _comments(text, node), lines, _opening(text))


def load_yaml(path: Path) -> dict[str, Any]:
    """The values alone of what `read_yaml` reads, which says what is refused."""
    return read_yaml(path).content


def _comments(text: str, node: yaml.MappingNode) -> dict[str, str]:
    """What stands behind ``#`` on the line on which a top-level value ends, or of its key if it goes on below."""
    written = text.split("\n")
    comments = {}
    for key, value in node.value:
        end = value.end_mark if value.end_mark.line == key.end_mark.line else key.end_mark
        behind = written[end.line][end.column :].lstrip(": ") if end.line < len(written) else ""
        if behind.startswith("#"):
            comments[key.value] = behind.lstrip("# ").rstrip()
    return comments


def _opening(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)


def _text(path: Path) -> str:
    """The file's text. Raises ConfigError where it cannot be read as such."""
    try:
        if not path.is_file():  # a folder, or a pipe that would never end
            raise ConfigError(f"{path} is no file; expected a YAML file; move it away or correct the path")
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(
                f"{path} has {path.stat().st_size:,} bytes; expected a configuration of at most {_MOST_BYTES:,}"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give it read permission") from error


# The parser written in C takes a tenth of the time; both give the same values.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]
    """SafeLoader for plain values, that reads ``1e-4`` as a float, like RecBole."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node, which stands in one place only."""
        if node in self.constructed_objects or node in self.recursive_objects:
            problem = "a value by reference (*name); expected it written out"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are text, each there once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                problem = f"the key {str(key.value)[:40]!r} is not text; expected a name, in quotes if need be"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value[:40]!r} stands there twice; expected it once"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
