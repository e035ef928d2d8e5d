"""Imports point backwards along the flow, and importing the package is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import movierec_bench

PACKAGE = Path(movierec_bench.__file__).parent

# DESIGN's first line, as modules: a module may import from its own stage and from earlier ones.
FLOW = [
    ["schema"],
    ["delimited", "competition"],
    ["atomic_format", "atomic"],
    ["split"],
    ["catalog"],
    ["search_space"],
    ["products"],
    ["recbole_backend", "models"],
    ["ranking_kernels", "product_ranking", "ranking", "filters"],
    ["scoring"],
    ["validation"],
    ["results"],
    ["segments", "mixing_kernels", "mixing", "mix_search"],
    ["trials"],
    ["mlflow_entries", "mlflow_models", "mlflow_trials", "upload", "tracking"],
    ["outputs"],
    ["jobs", "processes", "progress"],
    ["cluster", "cluster_tasks"],
    ["bench"],
    ["ray_trials"],
    ["tuning"],
    ["cli", "__main__"],
]


def stage_of(module: str) -> int:
    return next(number for number, stage in enumerate(FLOW) if module in stage)


def test_every_module_has_its_place_in_the_flow() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found - {"__init__", "recbole_configs"} <= {module for stage in FLOW for module in stage}


def test_imports_point_backwards() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue  # the package's front door names what is inside
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                target = name.split(".")
                if target[0] == "movierec_bench" and len(target) > 1 and stage_of(target[1]) > stage_of(parts[0]):
                    wrong.append(f"{'/'.join(parts)} imports {name}")
    assert wrong == []


def test_scoring_knows_no_torch() -> None:
    code = "import sys, movierec_bench.scoring; sys.exit('torch' in sys.modules)"
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
