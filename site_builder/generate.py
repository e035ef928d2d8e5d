"""Run by mkdocs-gen-files: every page of the site that is made of code or of files outside `docs/`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import mkdocs_gen_files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from site_builder.api_page import api_page  # noqa: E402
from site_builder.cli_page import cli_page  # noqa: E402
from site_builder.hooks import PAGES_OF_FILES  # noqa: E402
from site_builder.model_pages import model_pages  # noqa: E402
from site_builder.notebook_pages import notebook_pages  # noqa: E402

_MADE_OTHERWISE = ("index.md", "tutorial.ko.md", "notebooks/index.md")


def _copy_of(file: str) -> str:
    """Return a file of the repository as a page: YAML as a listing, links to its neighbours as links to pages."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".yaml"):
        return f"# {Path(file).name}\n\n```yaml\n{text}```\n"
    return re.sub(r"\]\(README\.md\)", "](index.md)", re.sub(r"\]\(RESULTS\.md\)", "](results.md)", text))


pages = {"reference/cli.md": cli_page(), "reference/api.md": api_page(), **model_pages(), **notebook_pages()}
pages |= {page: _copy_of(file) for file, page in PAGES_OF_FILES.items() if page not in _MADE_OTHERWISE}
for path, text in pages.items():
    with mkdocs_gen_files.open(path, "w", encoding="utf-8") as out:
        out.write(text)
