"""A page a notebook: its text, its code, and the outputs stored in it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_BADGES = re.compile(r"^\[!\[Open in .*$\n?", re.MULTILINE)  # pictures that a reader's browser would fetch


def notebook_pages() -> dict[str, str]:
    """Return the Markdown of ``notebooks/index.md`` and of every notebook's page, by path in the site."""
    overview = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    pages = {"notebooks/index.md": re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", overview)}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        pages[f"notebooks/{path.stem}.md"] = "\n\n".join(_cell(cell) for cell in notebook.cells) + "\n"
    return pages


def _cell(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return _BADGES.sub("", cell.source)
    parts = [f"```python\n{cell.source}\n```"]
    for output in cell.outputs:
        text = output["text"] if output.output_type == "stream" else output["data"].get("text/plain", "")
        parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)
