"""The fenced blocks of a Markdown page, with the marker that stands before a block.

A block is run as it stands unless an HTML comment directly before it says otherwise:

    <!-- checked, not run: needs a Ray cluster -->     the commands are parsed, nothing is started
    <!-- fails: with the message below -->             it must end with exit code 2 and the text of the next block
    <!-- file: my_models/models/Shortest.yaml -->      the block is written to that file of the page's folder
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)(?P<rest>[^`\n]*)$")
_MARKER = re.compile(r"^\s*<!-- (?P<kind>checked, not run|fails|file): (?P<what>.+?) -->\s*$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: what stands behind the opening fence, such as ``bash``; empty when nothing does.
        text: the lines between the fences, without the fence's own indentation.
        line: line of the opening fence, from 1.
        unrun: why the block is checked only; empty when it is run.
        file: where the block is to be written; empty when it is not a file.
        fails: whether its last command is refused.
    """

    language: str
    text: str
    line: int
    unrun: str = ""
    file: str = ""
    fails: bool = False


def blocks_of(page: Path) -> list[Block]:
    """Return every fenced block of a page, in order."""
    blocks, marker = [], ("", "")
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        fence, said = _FENCE.match(line), _MARKER.match(line)
        if fence is None:
            if said is not None:
                marker = (said["kind"], said["what"])
            elif line.strip():
                marker = ("", "")
            continue
        inside = []
        for _, inner in lines:
            if inner.strip() == fence["ticks"]:
                break
            inside.append(inner[len(fence["indent"]) :])
        kind, what = marker
        unrun, file = (what if kind == "checked, not run" else "", what if kind == "file" else "")
        blocks.append(Block(fence["language"], "\n".join(inside) + "\n", number, unrun, file, kind == "fails"))
        marker = ("", "")
    return blocks


def inline_code_of(page: Path) -> list[str]:
    """Return the `code` of a page's sentences and tables, fenced blocks left out."""
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^ *(```+)[\s\S]*?^ *\1 *$", "", text, flags=re.MULTILINE)
    return _INLINE.findall(outside)
