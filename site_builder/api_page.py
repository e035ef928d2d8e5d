"""The Python interface's page: what `movierec_bench` offers, each by its docstring."""

from __future__ import annotations

import movierec_bench as mb


def api_page() -> str:
    """Return the Markdown of ``reference/api.md``; mkdocstrings fills in the docstrings."""
    lines = [
        "# Python interface",
        "",
        "`import movierec_bench as mb` offers these; importing it is quick: a function imports what it needs.",
        "",
    ]
    for name in mb.__all__:
        found = getattr(mb, name)
        lines += [f"::: {found.__module__}.{found.__qualname__}", ""]
    lines += ["## For models of your own", "", "See [Add a model](../how-to/add-a-model.md).", ""]
    for base in _model_bases():
        lines += [f"::: {base.__module__}.{base.__qualname__}", "    options:", "      members: true", ""]
    return "\n".join(lines)


def _model_bases() -> list[type]:
    from movierec_bench.models import EmbeddingModel, HistoryModel

    return [HistoryModel, EmbeddingModel]
