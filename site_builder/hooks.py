"""MkDocs hooks: formulas become MathML, and links to files of the repository lead to their pages of the site."""

from __future__ import annotations

import html
import posixpath
import re
from typing import Any

import latex2mathml.converter

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[(\[])(?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
# Files of the repository, outside docs/, that are pages of the site too.
PAGES_OF_FILES = {
    "README.md": "index.md",
    "README.ko.md": "tutorial.ko.md",
    "atomic_data/README.md": "data-files.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "CHANGELOG.md": "changelog.md",
    "notebooks/README.md": "notebooks/index.md",
    "recbole_configs/protocol.yaml": "reference/protocol-yaml.md",
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave `docs/` to the page made of that file."""
    folder = posixpath.dirname(posixpath.join("docs", page.file.src_uri))

    def site_link(match: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(folder, match["target"]))
        made = file.replace(".ipynb", ".md") if file.startswith("notebooks/") else ""
        page_of_file = PAGES_OF_FILES.get(file, made)
        if not page_of_file:
            return match[0]
        inside = posixpath.relpath(page_of_file, posixpath.dirname(page.file.src_uri) or ".")
        return inside + (match["anchor"] or "")

    return _LINK.sub(site_link, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write each formula as MathML, which browsers draw without a script."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match["open"] == "[" else "inline"
        return latex2mathml.converter.convert(html.unescape(match["tex"].strip()), display=display)

    return _FORMULA.sub(mathml, content)
