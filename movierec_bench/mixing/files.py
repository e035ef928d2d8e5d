"""Mixes of submission files from anywhere: other runs, other programs, other people."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.delimited import problem
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing.recipe import CONCAT, check_choice, check_name, rule_text
from movierec_bench.mixing.rules import LINEAR, RULES, SCORE_RULES, Rule, concatenate, mix
from movierec_bench.reports.submission import validate_submission
from movierec_bench.reports.submission_files import read_submission
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.files import write_csv
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import held_run
from movierec_bench.runs.output_files import check_output
from movierec_bench.schema import ITEM, RANK, USER, K, PathLike

FILES = "files"  # what a mix of files is called where nobody names it
FILE_METHODS = (*(rule for rule in RULES if rule not in SCORE_RULES), CONCAT)  # a submission holds no scores


@dataclass(frozen=True)
class FileMix:
    """A finished mix of submissions.

    Args:
        submission: the file written.
        users: users in it.
        contents: rule and members, in words.
        shared: mean number of movies that two of the submissions have in common for a user; K where all are the same.
        unchecked: whether nothing was known about users and movies, for want of a run.
    """

    submission: Path
    users: int
    contents: str
    shared: float
    unchecked: bool

    def describe(self) -> str:
        """The mix in a few lines of plain text."""
        lines = [
            f"{self.contents}, for {self.users:,} users; two of the files share {self.shared:.1f} of {K} movies a user",
            f"submission: {self.submission}",
        ]
        if self.unchecked:
            lines.append("not checked without a run: known users and movies, a row for every user, seen movies")
        return "\n".join(lines)


@dataclass(frozen=True)
class FileOptions:
    """How files are mixed.

    Args:
        method: one of ``FILE_METHODS``; None for ``linear``.
        depth, rrf_k: of the rule; None for the usual ones.
        weights: one a file, for the rules; None for 1 each.
        firsts: how many movies each file gives in its first turn; for ``concat``; None for equal shares of ten.
    """

    method: Optional[str] = None
    depth: Optional[int] = None
    rrf_k: Optional[float] = None
    weights: Optional[Sequence[float]] = None
    firsts: Optional[tuple[int, ...]] = None


def file_names(files: Union[str, Sequence[PathLike]]) -> list[str]:
    """What the files are called: by their stem, or where two share one, in full.

    Raises:
        ConfigError: fewer than two, or one named twice.
    """
    paths = file_paths(files)
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths)]


def file_paths(files: Union[str, Sequence[PathLike]]) -> list[Path]:
    """The files of a list, or of a comma-separated text. Raises ConfigError for fewer than two, or one named twice."""
    parts = [part.strip() for part in files.split(",")] if isinstance(files, str) else list(files)
    paths = [Path(part) for part in parts if str(part)]
    if len(paths) < 2 or len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError(
            f"--files names {', '.join(map(str, paths)) or 'nothing'}; expected at least two different submissions, "
            "comma-separated; give a file more weight with --weights"
        )
    return paths


def mix_files(
    files: Union[str, Sequence[PathLike]],
    options: FileOptions,
    run: Optional[PathLike] = None,
    name: Optional[str] = None,
    out: Optional[PathLike] = None,
    atomic: Optional[PathLike] = None,
) -> FileMix:
    """Mix submissions from anywhere into one.

    Args:
        files: CSV files ``user,item``, a list or comma-separated: ten rows a user, the best first; all for the same
            users, whose order does not matter.
        options: how.
        run: a run whose data they are for, which they are then checked against; None where there is none.
        name: of the mix, which is the file's. None: ``files``.
        out: the file to write. None: among the submissions of the run, or without one ``<name>.csv`` in the working
            directory.
        atomic: folder that holds the data set's folder. None: the run's own.

    Raises:
        ConfigError: a setting that means nothing here, a name that the run knows already, or a file to write that is
            there and is one of ``files``, a result of a run, or no submission.
        DataError: a file is no submission, or the files are about different users; the message names file and line.
    """
    paths, names = file_paths(files), file_names(files)
    check_choice("method", options.method or LINEAR, FILE_METHODS)
    name = FILES if name is None else name
    check_name(name)
    folder = None if run is None else RunFolder(Path(run))
    with nullcontext() if folder is None else held_run(folder):
        data = None if folder is None else read_data(folder, atomic)
        target = Path(out) if out is not None else _target(folder, name)
        check_output("--name" if out is None else "--out", target, "submission", _is_submission, paths)
        tables = [_read(path, data) for path in paths]
        vocabulary = data.vocabulary if data is not None else _vocabulary(paths, tables)
        items = np.stack([_places(table, vocabulary) for table in tables])
        mixed, contents = _mixed(items, options, names)
        user, place = np.nonzero(mixed)
        rows = pd.DataFrame({USER: vocabulary.users[user], ITEM: vocabulary.item_ids(mixed[user, place])})
        validate_submission(rows, data.interactions if data else None, vocabulary)
        write_csv(target, rows)
    return FileMix(target, len(vocabulary.users), f"{name}: {contents}", _shared(items), data is None)


def _target(run: Optional[RunFolder], name: str) -> Path:
    if run is None:
        return Path(f"{name}.csv")
    if name in {folder.name for folder in run.models() + run.ensembles()}:
        raise ConfigError(f"{name} is a model or mix of {run.path}; give the mix of files another name with --name")
    return run.submission(name)


def _is_submission(path: Path) -> bool:
    try:
        read_submission(path, any_order=True)
    except DataError:
        return False
    return True


def _read(path: Path, data: Optional[AtomicData]) -> pd.DataFrame:
    rows = read_submission(path, data, any_order=True)
    return rows.assign(**{RANK: rows.groupby(USER).cumcount()})


def _vocabulary(paths: Sequence[Path], tables: Sequence[pd.DataFrame]) -> Vocabulary:
    """Every user and movie of the files; raises DataError unless all are for the same users."""
    first = np.unique(tables[0][USER].to_numpy())
    for path, table in zip(paths[1:], tables[1:]):
        users = np.unique(table[USER].to_numpy())
        if users.dtype != first.dtype:
            expected = f"ids as in {paths[0].name}, such as {first[0]!r}"
            raise problem(path.name, f"users are such as {users[0]!r}", expected, "mix submissions of the same data")
        odd = np.setxor1d(users, first)
        if len(odd):
            there, absent = (path, paths[0]) if odd[0] in users else (paths[0], path)
            found = f"user {odd[0]} is in {there.name} and not in {absent.name} (the first of {len(odd):,} such users)"
            raise problem(path.name, found, "the same users in every file", "mix submissions of the same data")
    return Vocabulary(first, np.unique(np.concatenate([table[ITEM].to_numpy() for table in tables])))


def _places(table: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    """int32 [U, K]: each user's movies by rank."""
    items = np.zeros((len(vocabulary.users), K), dtype=np.int32)
    items[vocabulary.user_ix(table[USER].to_numpy()) - 1, table[RANK]] = vocabulary.item_ix(table[ITEM].to_numpy())
    return items


def _mixed(items: np.ndarray, options: FileOptions, names: Sequence[str]) -> tuple[np.ndarray, str]:
    """(int32 [U, K], rule and members in words)."""
    if options.method == CONCAT:
        firsts = options.firsts or ()
        text = ", ".join(f"{first} {name}" for first, name in zip(firsts, names))
        return concatenate(items, np.arange(len(items)), np.array(firsts), k=K), f"concatenation of {text}"
    rule = Rule.of(options.method or LINEAR, options.depth, options.rrf_k)
    weights = list(options.weights or [1.0] * len(names))
    members = ", ".join(f"{weight:g} {name}" for weight, name in zip(weights, names))
    return mix(rule, items, np.array(weights), k=K)[0], f"{rule_text(rule)} of {members}"


def _shared(items: np.ndarray) -> float:
    """The mean number of movies that two submissions share for a user."""
    pairs = [(one, other) for other in range(len(items)) for one in range(other)]
    common = [(items[one][:, :, None] == items[other][:, None, :]).sum(axis=(1, 2)).mean() for one, other in pairs]
    return float(np.mean(common))
