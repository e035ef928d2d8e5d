"""The Python files of a user's own models: read beside their YAML, carried with the job, imported from memory.

A model's process may run on another machine, which has none of the user's folders. So a catalogue entry holds the
text of the module and of the modules beside it that it imports (``from .shared import ...``).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from movierec_bench.errors import ConfigError

_PACKAGE = "movierec_bench_own_"


@dataclass(frozen=True)
class OwnCode:
    """The modules that make up one model of a user's own.

    Attributes:
        name: the model's module, without a package.
        files: text of each module by its name, ``name`` and those it imports from beside it.
        paths: the file each came from, for tracebacks; it need not exist where the code runs.
    """

    name: str
    files: Mapping[str, str]
    paths: Mapping[str, str]

    @property
    def hash(self) -> str:
        """Sha256 (16 hex digits) of the text of all modules."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def module(self) -> str:
        """The dotted name under which `make_importable` offers the model's module: another one for other text."""
        return f"{_PACKAGE}{self.hash}.{self.name}"


def read_own_code(path: Path) -> OwnCode:
    """The code of a model's Python file, with the files beside it that it imports by ``from .name import ...``.

    Raises:
        ConfigError: a file cannot be read or is not Python; the message names file and line.
    """
    files: dict[str, str] = {}
    paths: dict[str, str] = {}
    waiting = [path.stem]
    while waiting:
        name = waiting.pop()
        file = path.with_name(f"{name}.py")
        if name in files or not file.is_file():
            continue  # a module that is not there says so when the model is imported
        files[name], paths[name] = _text(file), str(file)
        waiting += _neighbours(file, files[name])
    return OwnCode(path.stem, files, paths)


def make_importable(code: OwnCode) -> None:
    """Let ``import`` find ``code.module``, without any file."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    _FINDER.add(code)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give it read permission") from error


def _neighbours(path: Path, text: str) -> list[str]:
    """The modules beside this one that it imports relatively."""
    try:
        tree = ast.parse(text, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(f"{path}{line}: {error.args[0]}; correct it, or move the file away") from error
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names += [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
    return names


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of every `OwnCode` it was given."""

    def __init__(self) -> None:
        self._known: dict[str, OwnCode] = {}

    def add(self, code: OwnCode) -> None:
        self._known[code.module.split(".")[0]] = code

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        package, _, name = fullname.partition(".")
        code = self._known.get(package)
        if code is None or (name and name not in code.files):
            return None
        origin = code.paths[name] if name else None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=not name)
        spec.has_location = bool(name)  # gives the module its __file__
        return spec

    def is_package(self, fullname: str) -> bool:
        return "." not in fullname

    def get_source(self, fullname: str) -> str:
        package, _, name = fullname.partition(".")
        return self._known[package].files[name] if name else ""

    def get_code(self, fullname: str) -> types.CodeType:
        package, _, name = fullname.partition(".")
        where = self._known[package].paths[name] if name else f"<{package}>"
        return compile(self.get_source(fullname), where, "exec", dont_inherit=True)


_FINDER = _Finder()
