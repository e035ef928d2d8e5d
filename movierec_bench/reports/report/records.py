"""The chapters on what the run is made of: mixes, models that did not make it, and what all of it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import pandas as pd

from movierec_bench.errors import ConfigError
from movierec_bench.reports.board_columns import BOARD_STATES
from movierec_bench.reports.pages import Note, Section, Table
from movierec_bench.reports.report.comparing import listed
from movierec_bench.reports.report.material import Material
from movierec_bench.runs.folder import ModelFolder
from movierec_bench.runs.records import BUDGET, DONE, ENSEMBLE, RunManifest
from movierec_bench.schema import ERROR, FAMILY, MAIN_METRIC, MODEL, PLACE, STATUS
from movierec_bench.settings.yaml_files import load_yaml

_MOST_TEXT = 8_000  # characters of one model's parameters


@dataclass(frozen=True)
class Failure:
    """A model without a result: the first line of why, and all of it."""

    model: str
    family: str
    status: str
    reason: str
    whole: str


@dataclass(frozen=True)
class Setup:
    """What the last chapter's template shows: the manifest, and each model's parameters as YAML."""

    manifest: RunManifest
    params: list[tuple[str, str]]


def mixes_chapter(material: Material) -> Section:
    """Each mix with its members and weights, beside the best single model."""
    title = "Mixes"
    rows = [_mix(folder) for folder in material.run.ensembles()]
    if not rows:
        note = "This run has no mix yet. Make one with `python -m movierec_bench ensemble RUN`."
        return Section("mixes", title, parts=(Note(note),))
    table = pd.DataFrame(rows)
    scored = material.placed.set_index(MODEL)[MAIN_METRIC]
    singles = material.placed[material.placed[FAMILY] != ENSEMBLE]
    table.insert(1, MAIN_METRIC, table["mix"].map(scored))
    best = singles.iloc[0] if len(singles) else None
    if best is not None:
        table.insert(2, f"over {best[MODEL]}", table[MAIN_METRIC] - best[MAIN_METRIC])
    table = table.sort_values([MAIN_METRIC, "mix"], ascending=[False, True])
    first = table.iloc[0]
    if best is None or pd.isna(first[MAIN_METRIC]):
        notice = "Nothing to compare with yet."
    else:
        gain = first[MAIN_METRIC] - best[MAIN_METRIC]
        notice = f"{first['mix']} has {first[MAIN_METRIC]:.4f}, {gain:+.4f} to {best[MODEL]}, the best single model."
    return Section("mixes", title, "", (Table("mixes-table", "Members and weights", notice, table),))


def failures_chapter(material: Material) -> Section:
    """Models that failed, were skipped or did not finish, and rankings that cannot be read."""
    table = material.board.table
    unplaced = table[table[PLACE].isna() & ~table[STATUS].isin((DONE, BUDGET))]
    failures = [
        Failure(model, family, status, error.strip().splitlines()[0] if error.strip() else "", error)
        for model, family, status, error in zip(
            unplaced[MODEL], unplaced[FAMILY], unplaced[STATUS], unplaced[ERROR].astype(str)
        )
    ]
    unreadable = {**material.valid.unreadable, **material.test.unreadable}
    notes = tuple(Note(f"{name}: scored, but left out of some pictures. {text}") for name, text in unreadable.items())
    if not failures:
        return Section("failures", "Failed and skipped", parts=(Note("Every model finished."), *notes))
    counts = {state: int((unplaced[STATUS] == state).sum()) for state in BOARD_STATES}
    intro = f"{listed([f'{count} {state}' for state, count in counts.items() if count])}."
    return Section("failures", "Failed and skipped", intro, notes, template="report_failures.html", content=failures)


def setup_chapter(material: Material) -> Section:
    """Configuration and versions."""
    folders = material.run.models() + material.run.ensembles()
    params = [(folder.name, _params(folder)) for folder in folders if folder.params.is_file()]
    content = Setup(material.board.manifest, params)
    return Section("setup", "Configuration and versions", template="report_setup.html", content=content)


def _params(folder: ModelFolder) -> str:
    text = folder.params.read_text(encoding="utf-8", errors="replace")
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}\n... {len(text) - _MOST_TEXT:,} more characters in {folder.params.name}"


def _mix(folder: ModelFolder) -> dict[str, Any]:
    """The mix's row: its rule and its members with their weights, as its recipe has them."""
    try:
        recipe = load_yaml(folder.params) if folder.params.is_file() else None
    except ConfigError as error:
        return {"mix": folder.name, "method": "", "rule": "", "members and weights": f"cannot be read: {error}"}
    if recipe is None:
        return {"mix": folder.name, "method": "", "rule": "", "members and weights": "no params.yaml"}
    return {
        "mix": folder.name,
        "method": str(recipe.get("method", "")),
        "rule": _rule(recipe),
        "members and weights": _members(recipe),
    }


def _rule(recipe: dict[str, Any]) -> str:
    settings = {"depth": recipe.get("depth"), "k": recipe.get("rrf_k"), "by": recipe.get("by")}
    told = ", ".join(f"{key} {_short(value)}" for key, value in settings.items() if value is not None)
    return " ".join(filter(None, (str(recipe.get("rule") or ""), f"({told})" if told else "")))


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _members(recipe: dict[str, Any]) -> str:
    members = [str(name) for name in recipe.get("members") or ()]
    weights: Optional[dict[str, Any]] = recipe.get("weights")
    routes: Optional[dict[str, Any]] = recipe.get("routes")
    if weights:
        ordered = sorted(weights.items(), key=lambda pair: (-float(pair[1]), pair[0]))
        return ", ".join(f"{name} {weight:.3g}" for name, weight in ordered)
    if routes:
        return ", ".join(f"{segment}: {name}" for segment, name in routes.items()) + f"; else {members[0]}"
    firsts = recipe.get("firsts")
    return (
        ", ".join(f"{name} (first {count})" for name, count in zip(members, firsts)) if firsts else ", ".join(members)
    )
