"""The recorded results as the tables of ``benchmarks/RESULTS.md``: ``python -m benchmarks.table`` writes them anew."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.big_log import NAME as BIG_LOG
from benchmarks.compare import HERE, RESULTS
from benchmarks.plan import COMPARISONS

TABLES = HERE / "RESULTS.md"
_HEAD = """# Recorded results

Written by `python -m benchmarks.table` from `results/*.json`; [README.md](README.md) says how they come about and
how to read them. Each result names the commit it measured, under "Machine".
"""
_PHASES = ("load", "fit", "epoch", "rank")
_WHOLE_RUNS = {
    "fast-run": "run --models fast",
    "evening": "run --models seed --budget 300 --workers 2",
}


def write_table() -> None:
    """Write every recorded result into ``RESULTS.md``."""
    TABLES.write_text(tables(), encoding="utf-8")


def tables() -> str:
    """Return the whole text of ``RESULTS.md``."""
    recorded = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}
    planned = [*(made.name for made in COMPARISONS), *_WHOLE_RUNS]
    order = [name for name in planned if name in recorded]
    parts = [_HEAD, _sides(recorded, order), _reached(recorded, order), _floors(recorded), _failures(recorded, order)]
    parts += [*_whole_runs(recorded), _big_log(recorded.get(BIG_LOG)), _growth(recorded.get("growth"))]
    parts += [
        _unrecorded([name for name in (*planned, BIG_LOG, "growth") if name not in recorded]),
        _machines(recorded),
    ]
    return "\n".join(part for part in parts if part)


def _unrecorded(names: list[str]) -> str:
    if not names:
        return ""
    heading = "## Not recorded for the code as it stands\n\n"
    return heading + f'`make bench ONLY="{" ".join(names)}"` measures {", ".join(names)}.\n'


def _sides(recorded: dict[str, Any], order: list[str]) -> str:
    head = ["comparison", "data", "side", *(f"{phase} s" for phase in _PHASES), "peak MiB", "users", "recall_plain@10"]
    rows = []
    for name in order:
        for side, figures in recorded[name]["sides"].items():
            seconds = [_number(figures.get(phase)) for phase in _PHASES]
            rest = [_number(figures.get(key)) for key in ("peak_rss_mb", "users", "recall_plain")]
            rows.append([name, recorded[name]["workload"], side, *seconds, *rest])
    return "## Seconds, memory, quality\n\n" + _table(head, rows)


def _reached(recorded: dict[str, Any], order: list[str]) -> str:
    rows = [
        [name, reach["what"], _number(reach["measured"]), _number(reach["most"]), _verdict(reach)]
        for name in order
        for reach in recorded[name].get("reached", [])
    ]
    return "## Targets\n\n" + _table(["comparison", "what", "measured", "at most", ""], rows)


def _floors(recorded: dict[str, Any]) -> str:
    if "floors" not in recorded:
        return ""
    machine = recorded["floors"]
    head = ["ranking", "least by operations, s", "least by bytes, s", "measured, s", "times the larger"]
    rows = []
    for name, least in machine["least"].items():
        comparison, side = name.split(", ", 1)
        measured = recorded.get(comparison, {}).get("sides", {}).get(side, {}).get("rank")
        if measured is not None:
            times = measured / max(least.values())
            rows.append([name, *(_number(value) for value in (least["operations"], least["bytes"], measured, times))])
    operations = {"float32": machine["float32_per_s"], "8-bit": machine["products_per_s"]}
    speeds = " and ".join(f"{value / 1e9:.0f} G {kind} operations/s" for kind, value in operations.items())
    measured = f"Measured: {speeds} in matrix products, {machine['bytes_per_s'] / 1e9:.0f} GB/s in a copy."
    return f"## Floors\n\n{measured}\n\n" + _table(head, rows)


def _verdict(reach: dict[str, Any]) -> str:
    if reach["measured"] is None:
        return "**not measured**"
    return "met" if reach["measured"] <= reach["most"] else "**not met**"


def _failures(recorded: dict[str, Any], order: list[str]) -> str:
    rows = [[name, side, why] for name in order for side, why in recorded[name].get("failed", {}).items()]
    return "## Did not run\n\n" + _table(["comparison", "side", "error"], rows) if rows else ""


def _whole_runs(recorded: dict[str, Any]) -> list[str]:
    measures = ("recall@10", "fit_seconds", "rank_seconds", "refit_seconds", "peak_rss_mb", "epochs")
    head = ["model", "status", "recall@10", "fit s", "rank s", "refit s", "peak MiB", "epochs"]
    parts = []
    for name, command in _WHOLE_RUNS.items():
        if name not in recorded:
            continue
        models = sorted(recorded[name]["models"], key=lambda made: made["model"])
        rows = [[made["model"], made["status"], *(_number(made.get(key)) for key in measures)] for made in models]
        minutes = recorded[name]["sides"]["ours"]["seconds"] / 60
        heading = f"## `{command}` at full size: {minutes:.0f} minutes\n\n"
        parts.append(heading + _table(head, rows))
    return parts


def _growth(growth: Any) -> str:
    if growth is None:
        return ""
    head = ["what", *(f"{rows / 1e6:.1f} M rows" for rows in growth["rows"]), "exponent"]
    rows = [
        [name, *(_number(value) for value in values), f"{growth['exponents'][name]:.2f}"]
        for name, values in growth["curves"].items()
    ]
    return "## Growth\n\n![seconds by rows](results/growth.svg)\n\n" + _table(head, rows)


def _big_log(big_log: Any) -> str:
    if big_log is None:
        return ""
    verdicts = {reach["what"]: f"at most {_number(reach['most'])}: {_verdict(reach)}" for reach in big_log["reached"]}
    rows = [
        [
            what,
            *(_number(figures[key]) for key in ("processor_seconds", "convert")),
            verdicts[f"{what}: seconds"],
            _number(figures["peak_rss_mb"]),
            verdicts[f"{what}: peak MiB"],
        ]
        for what, figures in big_log["sides"].items()
    ]
    heading = "## `convert` of 20 million rows\n\n"
    return heading + _table(["log", "processor s", "seconds", "", "peak MiB", ""], rows)


def _machines(recorded: dict[str, Any]) -> str:
    lines = sorted(
        f"{name}: {made['date']}, commit {made['revision']}, {made['machine']}, Python {made['python']}"
        for name, made in recorded.items()
    )
    versions = {name: version for made in recorded.values() for name, version in made["versions"].items()}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join(["## Machine", "", *(f"- {line}" for line in lines), f"- {named}", ""])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    write_table()
