"""A published figure, ours for the same protocol, their difference and a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import yaml

import movierec_bench as mb
from benchmarks.compare import circumstances
from movierec_bench.data.delimited import read_bytes
from movierec_bench.data.log_formats import read_log
from movierec_bench.data.split import read_part
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import DONE
from movierec_bench.schema import NO_TIMES, TIME

HERE = Path(__file__).parent
RECORDED, PAGE = HERE / "results.json", HERE / "RESULTS.md"
WORK = Path("build/published")  # atomic files and runs
_PRINTED = {"recall_plain": "Recall", "ndcg": "NDCG", "hit": "HR"}
_HEAD = """# Published tables, repeated

Written by `make published DATA=folder` ([how](README.md)). Nothing here was tuned: parameters and
protocols are the papers', in the YAMLs beside this page; what is not published is said to be ours.
"""


@dataclass(frozen=True)
class Row:
    """A model of a table.

    Attributes:
        model: a model of the catalogue or of the table's own folder.
        published: a figure for each of the table's metrics.
        source: who reports them.
        within: the largest relative difference that counts as repeated.
        budget: seconds of training a fit gets here; None: no limit.
        remark: why ours differs, where that is known.
    """

    model: str
    published: tuple[float, ...]
    source: str
    within: float
    budget: Optional[float] = None
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: of its folder here, and of its folder of data.
        title: data and split in words.
        protocol: how it measures, in words.
        files: what `convert` is given, by its keywords, relative to the folder of data.
        convert: further keywords of `convert`.
        one_row_validates: whether one row alone is kept back for the validation, as for models with nothing to choose.
        metrics: columns of `per_user`, at the depth that is published.
        depth: that depth.
        rows: the models.
    """

    name: str
    title: str
    protocol: str
    files: Mapping[str, str]
    convert: Mapping[str, Any]
    one_row_validates: bool
    metrics: tuple[str, ...]
    depth: int
    rows: tuple[Row, ...]


def read_tables() -> dict[str, Table]:
    """The tables of ``tables.yaml`` by name."""
    content = yaml.safe_load((HERE / "tables.yaml").read_text(encoding="utf-8"))
    tables = {}
    for name, table in content.items():
        rows = tuple(Row(**{**row, "published": tuple(row["published"])}) for row in table.pop("rows"))
        tables[name] = Table(name=name, rows=rows, **{**table, "metrics": tuple(table["metrics"])})
    return tables


def repeat(table: Table, row: Row, data: Path) -> str:
    """Measure one row and record it.

    Returns:
        What came out, or which files are missing, in words.
    """
    files = {what: data / table.name / file for what, file in table.files.items()}
    missing = [str(file) for file in files.values() if not file.is_file()]
    if missing:
        return f"data missing: {', '.join(missing)}"
    record = measure(table, row, files, WORK)
    _record(f"{table.name}:{row.model}", {**record, **circumstances()})
    return verdict(row, record)


def measure(table: Table, row: Row, files: Mapping[str, Path], work: Path) -> dict[str, Any]:
    """Convert, train, rank and score one row.

    Args:
        table: the table.
        row: one of its rows.
        files: what `convert` is given, by its keywords.
        work: a folder for atomic files and runs; what is finished there stays.

    Returns:
        The model's status; ours, a figure for each of the table's metrics, with seconds of the fit and peak MiB; or
        the error where there is no figure.
    """
    _convert(table, files, work)
    board = mb.run(
        models=row.model,
        dataset=table.name,
        atomic=work / "atomic",
        out=work / "runs",
        configs=HERE / table.name,
        budget=row.budget,
        no_refit=True,
        no_track=True,
        quiet=True,
    ).to_frame()
    result = board.set_index("model").loc[row.model]
    if result["status"] == "failed" or not result["recall@10"] > 0:
        return {"status": result["status"], "error": str(result["error"])}
    return {
        "status": result["status"],
        "ours": _figures(table, row.model, work),
        "fit_seconds": result["fit_seconds"],
        "peak_rss_mb": result["peak_rss_mb"],
    }


def verdict(row: Row, record: Mapping[str, Any]) -> str:
    """What a record says of a published figure, in words."""
    if "ours" not in record:
        return f"{record['status']}: {record['error']}"
    far = max((abs(ours / theirs - 1) for ours, theirs in zip(record["ours"], row.published)), default=0.0)
    if all(f"{ours:.4f}" == f"{theirs:.4f}" for ours, theirs in zip(record["ours"], row.published)):
        return "equal to four digits"
    reached = f"within {row.within:.1%}" if far <= row.within else f"off by {far:.1%}"
    return reached if record["status"] == DONE else f"{reached}, stopped after {row.budget:.0f} s of training"


def write_page() -> None:
    """Write every row of every table into ``RESULTS.md``."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the whole text of ``RESULTS.md``."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {}
    parts = [_HEAD]
    for table in read_tables().values():
        heads = [f"{_PRINTED[metric]}@{table.depth}" for metric in table.metrics]
        columns = ["model", *(f"{head} {whose}" for head in heads for whose in ("published", "ours")), "verdict"]
        lines = [f"## {table.title}\n", table.protocol, ""]
        lines += [f"| {' | '.join([*columns, 'fit s', 'peak MiB', 'source'])} |", "|---" * (len(columns) + 3) + "|"]
        for row in table.rows:
            record = recorded.get(f"{table.name}:{row.model}")
            lines.append(f"| {' | '.join(_cells(row, record))} |")
        parts.append("\n".join(lines) + "\n")
    machines = [
        f"- {name}: {record['date']}, commit {record['revision']}, {record['machine']}, recbole "
        f"{record['versions']['recbole']}, torch {record['versions']['torch']}"
        for name, record in sorted(recorded.items())
    ]
    return "\n".join([*parts, "## Machine\n", *machines, ""])


def _cells(row: Row, record: Optional[Mapping[str, Any]]) -> list[str]:
    ours = (record or {}).get("ours", [None] * len(row.published))
    pairs = [
        text
        for theirs, mine in zip(row.published, ours)
        for text in (f"{theirs:.4f}", "" if mine is None else f"{mine:.4f}")
    ]
    said = "not run" if record is None else verdict(row, record)
    cost = (
        ["", ""]
        if record is None or "ours" not in record
        else [
            f"{record['fit_seconds']:.0f}",
            f"{record['peak_rss_mb']:,.0f}",
        ]
    )
    return [row.model, *pairs, f"{said}; {row.remark}" if row.remark and record else said, *cost, row.source]


def _convert(table: Table, files: Mapping[str, Path], work: Path) -> None:
    """Convert once; with ``one_row_validates`` the first training row becomes the validation."""
    if (work / "atomic" / table.name / "manifest.json").is_file():
        return
    given: dict[str, Path] = dict(files)
    if table.one_row_validates:
        work.mkdir(parents=True, exist_ok=True)
        rows = _rows_of(files["train"])
        for what, part in (("valid", rows[:1]), ("train", rows[1:])):
            given[what] = work / f"{table.name}.{what}.tsv"
            part.to_csv(given[what], sep="\t", index=False)
    mb.convert(**given, name=table.name, out=work / "atomic", **table.convert)


def _rows_of(path: Path) -> pd.DataFrame:
    """The rows of a file in any format of `convert`, with their times or places where it tells of some."""
    log = read_log(path.name, read_bytes(path), {}, with_rating=False).log
    return log.to_frame().drop(columns=[TIME] if log.times == NO_TIMES else [])


def _figures(table: Table, model: str, work: Path) -> list[float]:
    folder = RunFolder(work / "runs" / table.name)
    scores = per_user(folder.model(model).read_topk("test", table.depth), read_part(folder.split, "test"), table.depth)
    return [float(scores[f"{metric}@{table.depth}"].mean()) for metric in table.metrics]


def _record(name: str, record: Mapping[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {}
    recorded[name] = record
    RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
