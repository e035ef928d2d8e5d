"""Imports point backwards along the flow, and importing the package is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import movierec_bench

PACKAGE = Path(movierec_bench.__file__).parent

# DESIGN's first line, as folders and single modules: each may import from its own stage and from earlier ones.
FLOW = [
    ["errors", "environment", "kernel_cache"],
    ["schema"],
    ["notebook"],
    ["progress_bars"],
    ["settings"],
    ["data"],
    ["ranking"],
    ["runs"],
    ["evaluation"],
    ["recbole_backend"],
    ["tracking"],
    ["training"],
    ["reports"],
    ["models"],
    ["recbole_models"],
    ["kept"],
    ["mixing"],
    ["execution"],
    ["tuning"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
STAGE = {name: number for number, stage in enumerate(FLOW) for name in stage}


def imports_of(path: Path) -> Iterator[str]:
    """The dotted names of this package that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.startswith("movierec_bench."))


def test_every_room_has_its_place_in_the_flow() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found - {"__init__", "recbole_configs"} == set(STAGE)


def test_imports_point_backwards() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room == "__init__":
            continue  # the package's front door names what is inside
        wrong += [f"{path} imports {name}" for name in imports_of(path) if STAGE[name.split(".")[1]] > STAGE[room]]
    assert wrong == []


def test_parts_know_no_model() -> None:
    parts = (PACKAGE / "models" / "parts").glob("*.py")
    names = [name for path in parts for name in imports_of(path) if name.startswith("movierec_bench.models.")]
    assert [name for name in names if not name.startswith("movierec_bench.models.parts")] == []


@pytest.mark.parametrize("room", [room for room in STAGE if (PACKAGE / room).is_dir()])
def test_every_room_says_its_contract(room: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))


def test_scoring_knows_no_torch() -> None:
    code = "import sys, movierec_bench.evaluation.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_front_door_loads_nothing_heavy() -> None:
    code = (
        "import sys, movierec_bench; heavy = {'torch', 'pandas', 'recbole', 'numba', 'pyarrow'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    for name in movierec_bench.__all__:
        assert getattr(movierec_bench, name) is not None
