"""A page: sections of figures, tables and notes, made into one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from movierec_bench.reports.pages.figure import Figure, by_column, chart_library, plain
from movierec_bench.reports.pages.theme import CONFIGS
from movierec_bench.runs.files import write_text

_TEMPLATES = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True)
class Note:
    """A paragraph, such as why a picture is not possible with these data."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table that a click or a key on a heading sorts, with its CSV.

    Args:
        name: as of a `Figure`.
        title: as of a `Figure`.
        notice: as of a `Figure`.
        frame: the rows; numbers are shown to four significant digits.
    """

    name: str
    title: str
    notice: str
    frame: pd.DataFrame

    def is_number(self, column: str) -> bool:
        """Whether that column holds numbers, which stand on the right and sort as numbers."""
        return pd.api.types.is_numeric_dtype(self.frame[column])

    def for_page(self) -> dict[str, Any]:
        """What the page's script turns into CSV."""
        return {"table": by_column(self.frame)}


Part = Union[Figure, Table, Note]


@dataclass(frozen=True)
class Section:
    """A chapter of a page.

    Args:
        name: its anchor.
        title: its heading, and its entry in the contents.
        intro: a paragraph; none when empty.
        parts: what it shows, in this order.
        template: a template of ours that shows ``content`` before the parts; None for none.
        content: what that template needs, as ``content``.
    """

    name: str
    title: str
    intro: str = ""
    parts: tuple[Part, ...] = ()
    template: Optional[str] = None
    content: Any = None


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: of the page and its tab.
        lead: a paragraph below it.
        sections: the chapters, in this order.
        facts: headline numbers: (what, value).
        scripts: names of further scripts among the templates, run after the page's own.
        styles: names of further style sheets among the templates.
        data: JSON that those scripts read, by the id of its element.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = ()
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def figures(self) -> list[Figure]:
        """Every figure, in the page's order."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Figure)]


def render_page(page: Page) -> str:
    """The page as HTML. Whatever text it holds is shown as it is: none of it is markup, and no script of it runs."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    environment.filters["prose"] = prose
    environment.filters["json_number"] = lambda value: "" if plain(value) is None else plain(value)
    environment.tests["figure"] = lambda part: isinstance(part, Figure)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    scripts = [chart_library()] if page.figures() else []
    scripts += [_read(name) for name in ("page.js", *page.scripts)]
    parts = {
        part.name: part.for_page()
        for section in page.sections
        for part in section.parts
        if isinstance(part, (Figure, Table))
    }
    return environment.get_template("page.html").render(
        page=page,
        style=Markup("".join(map(_read, ("page.css", *page.styles)))),
        policy=_policy(scripts),
        scripts=[Markup(script) for script in scripts],
        data={name: Markup(script_json(value)) for name, value in page.data.items()},
        parts={name: Markup(script_json(value)) for name, value in parts.items()},
        themes=Markup(script_json(CONFIGS)),
    )


def write_page(path: Path, page: Page) -> None:
    """Write the page as ``path``, whole or not at all."""
    write_text(path, render_page(page))


def script_json(value: Any) -> str:
    """``value`` as JSON that no HTML parser takes for the end of its element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def prose(text: str) -> Markup:
    """``text`` as it is, with what stands between two backquotes as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def number_text(value: Any) -> str:
    """A cell's text: integers with thousands separated, other numbers to four significant digits."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, (str, bool)):
        return str(value)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """A content security policy: only ``scripts`` run, and nothing is loaded from anywhere."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
