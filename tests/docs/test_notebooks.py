"""The notebooks run from top to bottom in an empty folder, and show what is stored in them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from support.command_check import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Outputs are stored with NumPy 1 and what goes with it, and there every digit counts.
_NEAR = 0.0025 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 0.0

pytestmark = pytest.mark.xdist_group("notebooks")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_is_stored(path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    run = _execute_module().execute(path)
    for number, (before, now) in enumerate(zip(stored.cells, run.cells)):
        words, expected = _shown(now), _shown(before)
        unlike = [pair for pair in zip(words, expected) if not _alike(*pair)]
        assert not unlike and len(words) == len(expected), (
            f"{path.name}, cell {number}: run `python notebooks/execute.py {path.name}`; {unlike[:5]}"
        )
    shown = [word for cell in stored.cells for word in _shown(cell)]
    assert len(shown) > 20, "a notebook is shipped with its outputs"
    assert not any("/tmp" in word or "/home" in word for word in shown), "no path of the machine that ran it"


def test_there_is_a_list_of_them() -> None:
    listed = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) >= 5
    for path in NOTEBOOKS:
        assert f"({path.name})" in listed
        text = path.read_text(encoding="utf-8")
        assert f"blob/main/notebooks/{path.name}" in text, "badges that open it in Colab and Kaggle"


def _shown(cell: nbformat.NotebookNode) -> list[str]:
    """Return the words of a cell's outputs: printed text and the value of its last line."""
    texts = []
    for output in cell.get("outputs", []):
        texts.append(output["text"] if output.output_type == "stream" else output["data"].get("text/plain", ""))
    return " ".join(texts).split()


def _alike(word: str, expected: str) -> bool:
    """Whether it is the same word, or a fraction that another NumPy or PyTorch has rounded a trained model to."""
    if word == expected:
        return True
    is_fraction = all(re.fullmatch(r"0\.\d{3,}", one) for one in (word, expected))
    return is_fraction and abs(float(word) - float(expected)) < _NEAR


def _execute_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
