"""A page a model, and the table of all of them, from the catalogue, its YAML files, docstrings and recorded boards."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import movierec_bench as mb
from movierec_bench.schema import FAMILIES, MAIN_METRIC
from movierec_bench.settings.catalog import CLOSED_GROUPS, ModelEntry
from movierec_bench.settings.published import WHERE, published_scores
from site_builder.boards import Place, recorded_places

HERE = Path(__file__).parent
_FAMILIES = {
    "rule": "Rules: nothing is learned but counts",
    "general": "General: who watched what, without order",
    "sequential": "Sequential: the order of a history",
    "context": "Context-aware: features of user and movie",
    "knowledge": "Knowledge-aware: movies in a graph of genres and people",
    "tree": "Gradient-boosted trees",
}
_SOURCES = {"ours": "this library", "recbole": "RecBole", "adapted": "RecBole, adapted here"}
_TRAINS = {"closed_form": "one computation, no epochs", "epochs": "by epochs, stopped early on validation rows"}
_READS = {
    "none": "nothing: a vector of each user was learned in training",
    "rows": "the user's rows of the log",
    "autoencoder": "the user's row of the interaction matrix",
    "interaction_matrix": "the interaction matrix",
    "history_matrix": "the user's movies as a padded list",
    "sequence": "the user's last movies, in order",
}
_INTRODUCTION = """# The models

The {count} models of the catalogue, by family. *Ours* are written here, *recbole* are RecBole's own, *adapted* are
RecBole's with changes of ours. A score is {metric} on ml-100k, where a [recorded board](../boards.md) has the model.
*Reported* says what competitors wrote about the competition's hidden rows; the two must not be compared.
`python -m movierec_bench models` prints the same list, and `--models` takes names, families and groups.

Codes such as t3-16 name a team of the competition (cohort 3, team 16), whose public repository a setting or a score
comes from.
"""
_PARAMETER = re.compile(r"^(?P<key>[\w-]+):\s*(?P<value>.*?)(?:\s+#\s*(?P<comment>.*))?$")


def model_pages() -> dict[str, str]:
    """Return the Markdown of ``models/index.md`` and of every model's page, by path in the site."""
    catalog = mb.load_catalog()
    places = recorded_places(HERE.parent / "docs" / "boards.md")
    published = published_scores()
    unknown = sorted(set(published) - set(catalog))
    if unknown:
        raise KeyError(f"published.yaml names {unknown[0]}, which is no model of the catalogue")
    pages = {"models/index.md": _index(catalog, places, published)}
    for name, entry in catalog.items():
        pages[f"models/{name}.md"] = _page(entry, places.get(name, []), published.get(name, {}))
    return pages


def _index(
    catalog: Mapping[str, ModelEntry],
    places: Mapping[str, list[Place]],
    published: Mapping[str, Mapping[str, list[str]]],
) -> str:
    lines = [_INTRODUCTION.format(count=len(catalog), metric=MAIN_METRIC)]
    for family in FAMILIES:
        entries = [entry for entry in catalog.values() if entry.family == family]
        if not entries:
            continue
        lines += [
            f"## {_FAMILIES.get(family, family)}",
            "",
            "| model | from | groups | what it is | score | reported |",
        ]
        lines += ["|---|---|---|---|---:|---|"]
        for entry in entries:
            score = next((place.cells[MAIN_METRIC] for place in places.get(entry.name, [])), "")
            reported = (published.get(entry.name, {}).get("cohort") or [""])[0].split(" ")[0]
            what = _cell(entry.in_a_line)
            groups = ", ".join(_named_groups(entry))
            lines.append(
                f"| [{entry.name}]({entry.name}.md) | {entry.source} | {groups} | {what} | {score} | {reported} |"
            )
        lines.append("")
    return "\n".join(lines)


def _page(entry: ModelEntry, places: list[Place], published: Mapping[str, list[str]]) -> str:
    facts = {
        "Family": entry.family,
        "From": _SOURCES.get(entry.source, entry.source),
        "Groups": ", ".join([*_named_groups(entry), *(group for group in entry.groups if group in CLOSED_GROUPS)]),
        "Trains": _TRAINS.get(entry.trainer, entry.trainer),
        "Reads to rank": _READS.get(entry.history, entry.history),
    }
    if entry.bases:
        facts["Variant of"] = "[{0}]({0}.md), from which it takes what it does not set".format(next(iter(entry.bases)))
    if entry.needs:
        facts["Cannot run here"] = f"needs {entry.needs}"
    lines = [f"# {entry.name}", "", entry.summary, "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in facts.items()]
    lines += ["", "```bash", f"python -m movierec_bench run --models {entry.name}", "```", ""]
    lines += _scores(places, published)
    lines += _parameters(entry)
    lines += _class_text(entry)
    return "\n".join(lines)


def _scores(places: list[Place], published: Mapping[str, list[str]]) -> list[str]:
    lines = ["## Scores", ""]
    if places:
        lines += ["On our [recorded boards](../boards.md):", ""]
        lines += [f"| board | place | {MAIN_METRIC} | 95 % interval |", "|---|---:|---:|---|"]
        for place in places:
            score, interval = place.cells[MAIN_METRIC], place.cells["95 % interval"]
            lines.append(f"| {place.board} | {place.rank} of {place.of} | {score} | {interval} |")
    else:
        lines += ["On none of our recorded boards yet; run it as above to see where it stands on your data."]
    lines.append("")
    for where, scores in published.items():
        lines += [f"{WHERE[where]} (their data and protocol, not comparable with the boards above):", ""]
        lines += [*(f"- {score}" for score in scores), ""]
    return lines


def _parameters(entry: ModelEntry) -> list[str]:
    written = _written_parameters(entry.path.read_text(encoding="utf-8"))
    lines = ["## Parameters", ""]
    if not written:
        lines += ["It has none of its own."]
    else:
        lines += [f"As shipped in `recbole_configs/models/{entry.name}.yaml`:", ""]
        lines += ["| parameter | value | what it is |", "|---|---|---|"]
        lines += [f"| `{key}` | `{_cell(value)}` | {_cell(comment)} |" for key, value, comment in written]
    shared = sorted(set(entry.parameters) - {key for key, _, _ in written})
    if shared:
        if entry.bases:
            lines += ["", f"From {next(iter(entry.bases))}, its base: "]
        else:
            lines += ["", "From `recbole_configs/common.yaml`, for every model that trains by epochs: "]
        lines += [", ".join(f"`{key}: {entry.parameters[key]}`" for key in shared) + "."]
    space = entry.path.parent.parent / "tune" / entry.path.name
    if space.is_file():
        lines += ["", f"`python -m movierec_bench tune --models {entry.name}` searches:", "", "```yaml"]
        lines += [space.read_text(encoding="utf-8").strip(), "```"]
    return [*lines, ""]


def _class_text(entry: ModelEntry) -> list[str]:
    from movierec_bench.recbole_backend.config import load_model_class

    found = load_model_class(entry)
    lines = ["## The class", "", f"`{found.__module__}.{found.__qualname__}`", ""]
    if found.__module__.startswith("recbole."):
        return [
            *lines,
            "RecBole's own; [its documentation](https://recbole.io/docs/user_guide/model_intro.html) describes it.",
            "",
        ]
    text = inspect.cleandoc(found.__doc__ or "")
    return [*lines, "```text", text, "```", ""]


def _written_parameters(text: str) -> list[tuple[str, str, str]]:
    """Return (key, value, comment) of every top-level line of a YAML that is not its catalogue block."""
    matches = [_PARAMETER.match(line) for line in text.splitlines() if line and not line.startswith("#")]
    return [(m["key"], m["value"], m["comment"] or "") for m in matches if m and m["key"] not in ("catalog", "base")]


def _named_groups(entry: ModelEntry) -> list[str]:
    return [group for group in entry.groups if group not in ("all", *FAMILIES)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
