"""A hash of the source that a model is made of, so that a result of other code is redone."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from movierec_bench.settings.catalog import ModelEntry

_PACKAGE = Path(__file__).parents[1]
_ROOMS = ("movierec_bench.models.", "movierec_bench.recbole_models.")


def code_hash(entry: ModelEntry) -> str:
    """Sha256 (16 hex digits) of the model's own module and of the models and parts it imports; RecBole's module alone.

    Changes elsewhere in the library that move a score raise ``schema.SCORES_VERSION`` instead. A model whose module is
    nowhere has the hash of nothing; building it says what is missing.
    """
    if entry.module and not entry.module.startswith(_ROOMS):
        return entry.code_hash()
    digest = hashlib.sha256()
    for path in _modules(entry.module) if entry.module else _recbole_module(entry):
        digest.update(path.name.encode() + b"\n" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _modules(model: str) -> list[Path]:
    """The model's module and, over any number of imports, those of models and their parts; sorted by name."""
    waiting = [model]
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += _imports(path)
    return [found[name] for name in sorted(found)]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.startswith(_ROOMS))


def _file_of(module: str) -> Path | None:
    """The file of a module of ours, without importing it: its room would bring torch, which takes seconds."""
    _, room, *inner = module.split(".")
    loaded = sys.modules.get(f"movierec_bench.{room}")  # may look into folders of the user's own
    for folder in loaded.__path__ if loaded is not None else [_PACKAGE / room]:
        path = Path(folder).joinpath(*inner).with_suffix(".py")
        if path.is_file():
            return path
    return None


def _recbole_module(entry: ModelEntry) -> list[Path]:
    spec = importlib.util.find_spec("recbole")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return [path for place in places for path in sorted(Path(place).glob(f"model/*/{entry.class_name.lower()}.py"))]
