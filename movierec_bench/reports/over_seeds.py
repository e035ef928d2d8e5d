"""Columns of a board over seeds: of training, by which a model draws, and of the split, by which rows are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Optional

import pandas as pd

from movierec_bench.evaluation.statistics import MeanInterval, mean_interval
from movierec_bench.reports.board_columns import (
    OF_REPETITIONS,
    REPETITIONS,
    SEEDS,
    SPLITS,
    SPLITS_DIFFERENCES,
)
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.publishing import damaged
from movierec_bench.runs.records import Status
from movierec_bench.runs.seeds import is_further_seed, split_runs, without_seed
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import MAIN_METRIC, MODEL

if TYPE_CHECKING:  # a tenth of a second to import
    from rich.table import Table


def seed_columns(run: RunFolder, best: str) -> pd.DataFrame:
    """Mean, standard deviation and 95 % interval of each model's Recall@10 over seeds, where there are several of any.

    Over the seeds of training, those of this run count; over the splits, a split's own value is the mean of its seeds.
    A result of other code or another filter than the model's in this run does not count.

    Args:
        run: the run; the splits are those beside it.
        best: the model that others are compared with, split by split.

    Returns:
        DataFrame [model, ...]: for ``seeds`` and for ``splits``, where any model has more than one, the number and
        ``_mean``, ``_sd``, ``_low``, ``_high``; then, of splits, ``splits_difference`` with its interval.
    """
    own = _results(run)
    several = any(len(statuses) > 1 for statuses in own.values())
    others = [_results(there) for there in split_runs(run)]
    by_split = {model: _by_split(model, own, others) for model in own}
    rows = []
    for model, statuses in own.items():
        row: dict[str, object] = {MODEL: model}
        if several:
            row |= _cells(SEEDS, mean_interval([status.metrics[MAIN_METRIC] for status in statuses]))
        if any(others):
            row |= _cells(SPLITS, mean_interval(list(by_split[model].values())))
            row |= _difference(by_split[model], by_split.get(best, {})) if model != best else {}
        rows.append(row)
    columns = pd.DataFrame(rows)
    return columns.astype({kind: "Int64" for kind in REPETITIONS if kind in columns})


def seeds_table(table: pd.DataFrame, best: Optional[str]) -> Optional[Table]:
    """The columns of seeds of a board as a table for the terminal; None where there are none.

    Args:
        table: the board's.
        best: the model that others are compared with.
    """
    # rich takes a tenth of a second to import, which only a terminal needs
    from rich import box
    from rich.table import Table
    from rich.text import Text

    kinds = [kind for kind in REPETITIONS if kind in table]
    if not kinds:
        return None
    shown = Table(title=f"{MAIN_METRIC} over {' and '.join(_WORDS[kind] for kind in kinds)}", box=box.SIMPLE)
    shown.add_column("model", overflow="fold", min_width=10)
    for kind in kinds:
        for heading in (kind, "mean", "sd", "95% CI"):
            shown.add_column(heading, justify="right", no_wrap=True)
    if SPLITS in kinds:
        shown.add_column(f"minus {best}", justify="right", no_wrap=True)
        shown.add_column("95% CI", justify="right", no_wrap=True)
    for row in table[table[kinds[0]].notna()].to_dict("records"):
        cells = [text for kind in kinds for text in _texts(row, kind)]
        if SPLITS in kinds:
            difference, low, high = (row[name] for name in SPLITS_DIFFERENCES)
            cells += [_text(difference, "+.4f"), _interval(low, high, "+.4f")]
        shown.add_row(*(Text(text) for text in [row[MODEL], *cells]))
    shown.caption = Text("intervals of the means, by Student's t")
    shown.caption_justify = "left"
    return shown


_WORDS = {SEEDS: "training seeds", SPLITS: "splits"}


def _results(run: RunFolder) -> dict[str, list[Status]]:
    """The finished results of each model and mix, its first seed first; those of a seed that comes twice count once."""
    found: dict[str, list[Status]] = {}
    for folder in sorted(run.models() + run.ensembles(), key=lambda folder: is_further_seed(folder.name)):
        status = folder.finished()
        if status is None or damaged(run, folder, status) or why_stale(run, status):
            continue
        there = found.setdefault(without_seed(folder.name), [])
        if not there or (_comparable(there[0], status) and status.seed not in [known.seed for known in there]):
            there.append(status)
    return {model: there for model, there in found.items() if there[0].model == model}


def _comparable(first: Status, other: Status) -> bool:
    return (first.code_hash, first.filter) == (other.code_hash, other.filter)


def _by_split(
    model: str, own: Mapping[str, list[Status]], others: Sequence[Mapping[str, list[Status]]]
) -> dict[int, float]:
    """Recall@10 of a model in each split that has it, by the split's number; this run's is 0."""
    found = {}
    for number, there in enumerate((own, *others)):
        statuses = [status for status in there.get(model, ()) if _comparable(own[model][0], status)]
        if statuses:
            found[number] = sum(status.metrics[MAIN_METRIC] for status in statuses) / len(statuses)
    return found


def _cells(kind: str, found: MeanInterval) -> dict[str, object]:
    names = (kind, *(f"{kind}_{part}" for part in OF_REPETITIONS))
    return dict(zip(names, (found.count, found.mean, found.deviation, found.low, found.high)))


def _difference(own: Mapping[int, float], best: Mapping[int, float]) -> dict[str, object]:
    """A model less the best one over the splits that have both."""
    differences = [value - best[split] for split, value in own.items() if split in best]
    if not differences:
        return {}
    found = mean_interval(differences)
    return dict(zip(SPLITS_DIFFERENCES, (found.mean, found.low, found.high)))


def _texts(row: Mapping[str, float], kind: str) -> list[str]:
    mean, deviation, low, high = (row[f"{kind}_{part}"] for part in OF_REPETITIONS)
    count = "" if pd.isna(row[kind]) else str(row[kind])
    return [count, _text(mean, ".4f"), _text(deviation, ".4f"), _interval(low, high, ".4f")]


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else f"{value:{form}}"


def _interval(low: float, high: float, form: str) -> str:
    return "" if pd.isna(low) else f"{low:{form}} to {high:{form}}"
