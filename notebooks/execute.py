"""Run notebooks in folders of their own: ``python notebooks/execute.py [NAME ...]`` stores their outputs anew."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SECONDS = 600  # most time a cell may take


def execute(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of running it in an empty folder; the file stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised; the error holds the cell and its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["MOVIEREC_BENCH_TRACK"] = "0"  # the kernel inherits it: a run of the tests leaves MLflow alone
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=SECONDS, resources={"metadata": {"path": folder}}, kernel_name="python3"
        )
        client.execute()
    for cell in notebook.cells:
        cell.metadata = {}  # when each cell ran
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.name for path in HERE.glob("*.ipynb"))
    for name in names:
        nbformat.write(execute(HERE / name), HERE / name)
