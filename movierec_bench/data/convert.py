"""From what people bring to atomic files: which format it is, what is dropped, and under what name it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.data import movielens
from movierec_bench.data.atomic import MANIFEST, check_target, write_atomic
from movierec_bench.data.atomic_format import CANDIDATES, PARTS, parse_items, read_items
from movierec_bench.data.candidate_lists import listed_candidates, read_candidates
from movierec_bench.data.competition import ML100K, is_competition, ml100k_folder, read_competition, read_ml100k
from movierec_bench.data.delimited import problem, read_bytes
from movierec_bench.data.log import Log, unite_logs
from movierec_bench.data.log_columns import parse_columns
from movierec_bench.data.log_formats import read_log
from movierec_bench.data.packed import PackedFiles, is_zip
from movierec_bench.data.source_data import SourceData, unite_movies
from movierec_bench.errors import ConfigError
from movierec_bench.schema import ITEM, ITEM_FEATURES, POSITIONS, TITLE, USER, YEAR, PathLike

_FORMATS = (
    "a competition's folder (train_ratings.csv and its side files), a MovieLens release (ratings.csv, ratings.dat or "
    "u.data), or a RecBole folder (NAME.inter)"
)

_NOTHING_LISTED: tuple[np.ndarray, Mapping[str, Mapping[Any, Any]]] = (np.zeros(0, dtype=np.int64), {})
_DROPPED_BY_THRESHOLDS = ("rows_below_thresholds", "users_below_thresholds", "movies_below_thresholds")


@dataclass(frozen=True)
class _Wishes:
    """What the user asked for: the columns by role, and the thresholds; None for those not asked for."""

    columns: Mapping[str, str]
    min_rating: Optional[float]
    min_rows: Optional[int]
    min_item_rows: Optional[int]

    @property
    def thresholds(self) -> dict[str, float]:
        """Those asked for, by name."""
        named = {"min_rating": self.min_rating, "min_rows": self.min_rows, "min_item_rows": self.min_item_rows}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class _Read:
    """What was read: rows, what is known of the movies, and how both were read."""

    log: Log
    kind: str
    columns: Mapping[str, str]
    counts: Mapping[str, int]
    listed: np.ndarray
    known: Mapping[str, Mapping[Any, Any]]


def convert(
    data: Optional[PathLike] = None,
    name: Optional[str] = None,
    out: PathLike = "atomic_data",
    columns: Union[str, Mapping[str, str], None] = None,
    min_rating: Optional[float] = None,
    min_rows: Optional[int] = None,
    min_item_rows: Optional[int] = None,
    train: Optional[PathLike] = None,
    valid: Optional[PathLike] = None,
    test: Optional[PathLike] = None,
    candidates: Optional[PathLike] = None,
) -> Path:
    """Turn a competition's files, or any log of users and items, into atomic files.

    Args:
        data: a competition's folder; a file of rows (CSV or TSV with or without column names, plain, .gz or .zip; or a
            user and its items a line); a MovieLens release; or a RecBole folder. Without it, RecBole's ml-100k.
        name: of the data set; by default the folder's or the file's own name, or ``ml-100k``.
        out: folder that gets a folder ``name``; one that `convert` made there earlier is replaced.
        columns: ``user=NAME,item=NAME,time=NAME,rating=NAME`` or a mapping, where the names are not the usual ones;
            places from 1 in a file without column names; an empty name for a column not to be read.
        min_rating: drop rows rated lower.
        min_rows: drop users with fewer rows; repeated, with ``min_item_rows``, until every user and movie has enough.
        min_item_rows: drop movies with fewer rows; repeated likewise.
        train: the training rows of data that come split, in the place of ``data``; any of its formats.
        valid: their validation rows; without it a run draws some from the training rows.
        test: their test rows.
        candidates: the movies among which alone the test rows of each user are ranked, where a paper ranks few: rows of
            a user and an item in any of the formats, or NCF's ``test.negative``. The test rows are candidates anyway.

    Returns:
        The folder written.

    Raises:
        DataError: the files are not as expected; nothing is written.
        ConfigError: a name, a folder or a threshold that cannot be used; nothing is written.
    """
    out = Path(out)
    wishes = _Wishes(parse_columns(columns), min_rating, min_rows, min_item_rows)
    _check_wishes(wishes, data, {"train": train, "valid": valid, "test": test, CANDIDATES: candidates})
    brought = data if train is None else train
    if name is None:
        name = ML100K if brought is None else _name_of(Path(brought))
    if brought is not None and name == ML100K:
        raise ConfigError(
            f"the name {ML100K} is taken: for it RecBole loads its packaged data, not {brought}; "
            "expected another name; give one with --name"
        )
    check_target(out, name)
    if train is not None and test is not None:
        source = _read_split({part: Path(path) for part, path in zip(PARTS, (train, valid, test)) if path}, wishes)
        source = source if candidates is None else _with_candidates(source, Path(candidates), wishes)
    elif data is None and not wishes.thresholds:
        source = read_ml100k()
    else:
        source = _read_source(ml100k_folder() if data is None else Path(data), wishes)
    return write_atomic(source, out, name)


def _check_wishes(wishes: _Wishes, data: Optional[PathLike], parts: Mapping[str, Optional[PathLike]]) -> None:
    for flag, value in (("--min-rows", wishes.min_rows), ("--min-item-rows", wishes.min_item_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{flag} is {value}; expected at least 1")
    given = [part for part, path in parts.items() if path is not None]
    if not given:
        return
    if data is not None:
        raise ConfigError(f"--data and --{given[0]} were both given; expected one of them: data, or data already split")
    for part in ("train", "test"):
        if part not in given:
            raise ConfigError(
                f"--{given[0]} came without --{part}; expected --train and --test, and perhaps --valid and --candidates"
            )
    if wishes.min_rows is not None or wishes.min_item_rows is not None:
        raise ConfigError(
            "--min-rows and --min-item-rows would change a split that came with the data; expected neither beside "
            "--train; leave them out"
        )


def _name_of(path: Path) -> str:
    """A folder's own name, or a file's without what says its format."""
    if path.is_dir():
        return path.resolve().name
    name = path.name
    for suffix in (".gz", ".zip", ".csv", ".tsv", ".txt", ".dat", ".data", ".inter"):
        name = name.removesuffix(suffix)
    return name


def _read_source(path: Path, wishes: _Wishes) -> SourceData:
    if is_competition(path):
        if wishes.columns:
            raise ConfigError(f"{path} is a competition's folder, whose columns have fixed names; leave out --columns")
        return _thinned(read_competition(path), wishes)
    part_files = _split_of(path)
    if part_files is not None:
        return _read_split(part_files, wishes)
    read = _read_any(path, wishes)
    kept, counts = _kept(read.log, wishes)
    return _source_of(read.log.rows(kept), read, {**read.counts, **counts}, path.resolve().name, wishes)


def _thinned(source: SourceData, wishes: _Wishes) -> SourceData:
    """A competition's data without the users and movies that have too few rows."""
    if not wishes.thresholds:
        return source
    if wishes.min_rating is not None:
        raise ConfigError(f"--min-rating: {source.source} holds no ratings; expected data with some; leave it out")
    log = Log.from_frame(source.ratings, source.times)
    kept, counts = _kept(log, wishes)
    log, movies = log.rows(kept), source.movies
    if wishes.min_item_rows is not None:
        movies = movies[movies[ITEM].isin(log.items)].reset_index(drop=True)
    dropped = {name: counts[name] for name in _DROPPED_BY_THRESHOLDS}
    counts = {**source.counts, **dropped, **_sizes(log, movies)}
    return replace(
        source, ratings=log.to_frame(), movies=movies, counts=counts, found={"thresholds": wishes.thresholds}
    )


def _read_split(files: Mapping[str, Path], wishes: _Wishes) -> SourceData:
    """Data that come split, under common ids: the parts' rows one after the other."""
    reads = {part: _read_any(path, wishes) for part, path in files.items()}
    kinds = {part: read.log.times for part, read in reads.items()}
    if len(set(kinds.values())) > 1:
        found = "the times are " + ", ".join(f"{kind} in {files[part].name}" for part, kind in kinds.items())
        raise problem("the split", found, "times of one kind in all its files", "leave them out with --columns time=")
    united = unite_logs([read.log for read in reads.values()])
    part_numbers = [PARTS.index(part) for part in reads]
    parts = np.repeat(np.array(part_numbers, dtype=np.int8), [len(read.log) for read in reads.values()])
    kept, counts = _kept(united, wishes)
    log, parts = united.rows(kept), parts[kept]
    for part, path in files.items():
        if not (parts == PARTS.index(part)).any():
            also = " or rated too low" if wishes.thresholds else ""
            found = f"has no row that is not in an earlier file of the split{also}"
            raise problem(path.name, found, "rows of its own", "check that the files are of one split")
    first = reads["train"]
    counts = {**first.counts, **counts, **_part_counts(log, parts)}
    if log.times == POSITIONS:
        log = replace(log, time=_places_over_parts(log))
    source = _source_of(log, first, counts, ", ".join(path.name for path in files.values()), wishes)
    about = {**source.found, "files": {part: path.name for part, path in files.items()}}
    return replace(source, parts=parts, found=about)


def _with_candidates(source: SourceData, path: Path, wishes: _Wishes) -> SourceData:
    """Data that came split, with the candidates of a file."""
    tests = source.parts == PARTS.index("test")
    lists = read_candidates(path, {role: name for role, name in wishes.columns.items() if role in (USER, ITEM)})
    listed, counts = listed_candidates(
        lists, source.ratings[~tests], source.ratings[tests], source.movies[ITEM].to_numpy()
    )
    found = {**source.found, "files": {**source.found["files"], CANDIDATES: path.name}}
    return replace(source, candidates=listed, counts={**source.counts, **counts}, found=found)


def _places_over_parts(log: Log) -> np.ndarray:
    """Int64 [n], each row's place in its user's log: a part's rows come after those of the parts before it."""
    return pd.Series(log.user).groupby(log.user).cumcount().to_numpy(dtype=np.int64) + 1


def _part_counts(log: Log, parts: np.ndarray) -> dict[str, int]:
    """Rows of each part, and the users and movies of the other parts that the training rows lack."""
    counts = {f"{name}_rows": int((parts == number).sum()) for number, name in enumerate(PARTS)}
    trains = parts == PARTS.index("train")
    for number, name in enumerate(PARTS[1:], start=1):
        users = np.setdiff1d(log.user[parts == number], log.user[trains])
        items = np.setdiff1d(log.item[parts == number], log.item[trains])
        counts[f"{name}_users_without_training_rows"] = len(users)
        counts[f"{name}_movies_without_training_rows"] = len(items)
    return counts


def _kept(log: Log, wishes: _Wishes) -> tuple[np.ndarray, dict[str, int]]:
    """Bool [n], the rows that are kept; and counts of those that are not, by reason.

    In this order: rows rated too low are dropped, of a repeated (user, movie) pair the first row is kept, and then
    users and movies with too few rows are dropped.

    Raises:
        DataError: no row is kept.
    """
    rated = np.ones(len(log), dtype=bool) if log.rating is None else log.rating >= float(wishes.min_rating or 0)
    rows = np.flatnonzero(rated)
    counts = {"rating_rows": len(log), "rows_rated_too_low": len(log) - len(rows)}
    counts["rating_rows_repeated"] = 0
    if len(rows):
        once = rows[log.rows(rated).first_of_each_pair()]
        counts["rating_rows_repeated"] = len(rows) - len(once)
        rows = once
    kept = np.zeros(len(log), dtype=bool)
    kept[rows] = True
    counts.update(dict.fromkeys(_DROPPED_BY_THRESHOLDS, 0))
    if wishes.min_rows is not None or wishes.min_item_rows is not None:
        before = log.rows(kept)
        core = before.core(wishes.min_rows or 1, wishes.min_item_rows or 1)
        kept[rows[~core]] = False
        after = before.rows(core)
        gone = (len(before) - len(after), len(before.users) - len(after.users), len(before.items) - len(after.items))
        counts.update(zip(_DROPPED_BY_THRESHOLDS, gone))
    if not kept.any():
        asked = " and ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in wishes.thresholds.items())
        step = "lower it" if len(wishes.thresholds) == 1 else "lower them"
        raise problem(asked or "the data", "no row passes", "some rows that pass", step)
    return kept, counts


def _source_of(log: Log, read: _Read, counts: Mapping[str, int], source: str, wishes: _Wishes) -> SourceData:
    """What is written: the rows that were kept, the movies, and what the manifest says of them."""
    movies, rated = unite_movies(log.items, read.listed, read.known)
    if wishes.min_item_rows is not None:
        movies = movies[movies[ITEM].isin(rated)].reset_index(drop=True)
    about = {f"movies_without_{name}": int((movies[name].map(len) == 0).sum()) for name in (TITLE, *ITEM_FEATURES)}
    about["movies_without_year"] = int(movies[YEAR].isna().sum())
    found = {"format": read.kind, "columns": dict(read.columns), "thresholds": wishes.thresholds}
    return SourceData(
        ratings=replace(log, items=rated).to_frame(),
        movies=movies,
        counts={**counts, **_sizes(log, movies), **about},
        source=source,
        times=log.times,
        found=found,
    )


def _sizes(log: Log, movies: pd.DataFrame) -> dict[str, int]:
    return {
        "interactions": len(log),
        "users": len(log.users),
        "movies": len(movies),
        "movies_rated": len(log.items),
    }


def _read_any(path: Path, wishes: _Wishes) -> _Read:
    """The rows of a file, a folder or an archive that is no competition's."""
    with_rating = wishes.min_rating is not None
    listed, known = _NOTHING_LISTED
    if not path.exists():
        expected = "a folder with train_ratings.csv or of another known format, or a file of rows"
        raise problem(str(path), "does not exist", expected, "correct --data, or --train, --valid and --test")
    if path.is_dir() or is_zip(path):
        files = PackedFiles.open(path)
        ratings = movielens.ratings_file(files)
        if ratings is not None:
            read = read_log(ratings, files.read(ratings), wishes.columns, with_rating)
            listed, known = movielens.read_movies(files, ratings)
            return _Read(read.log, f"MovieLens, {ratings}", read.columns, read.counts, listed, known)
        if path.is_dir():
            return _read_any(_inter_file(path), wishes)
        name = files.the_only_data()
        read = read_log(name, files.read(name), wishes.columns, with_rating)
        items = _item_file(name)
        beside = None if items is None else files.find(items)
        if beside is not None:
            listed, known = parse_items(Path(beside), files.read(beside), encoded=False)
    else:
        read = read_log(path.name, read_bytes(path), wishes.columns, with_rating)
        items = _item_file(path.name)
        if items is not None:
            listed, known = read_items(path.with_name(items), encoded=False)
    return _Read(read.log, read.kind, read.columns, read.counts, listed, known)


def _item_file(name: str) -> Optional[str]:
    """What the ``.item`` file is called that belongs to an ``.inter`` file; None for a file of another kind."""
    stem = name.removesuffix(".inter")
    if stem == name:
        return None
    for part in PARTS:
        stem = stem.removesuffix(f".{part}")
    return f"{stem}.item"


def _inter_file(folder: Path) -> Path:
    """The one ``.inter`` file of a RecBole folder. Raises DataError if the folder is none, or one of ours."""
    if (folder / MANIFEST).is_file() and (folder / f"{folder.resolve().name}.inter").is_file():
        expected, step = "other data", "give the files it was made from, or run it: `python -m movierec_bench run`"
        raise problem(str(folder), "was made by convert", expected, step)
    named = sorted(folder.glob("*.inter"))
    if len(named) != 1:
        found = f"holds {', '.join(path.name for path in named)}" if named else "train_ratings.csv is missing"
        raise problem(str(folder), found, _FORMATS, "give one of these folders, or a file of rows, as --data")
    return named[0]


def _split_of(path: Path) -> Optional[dict[str, Path]]:
    """The files of RecBole's convention for data that come split, NAME.train.inter and so on; None if they are not."""
    if not path.is_dir() or (path / MANIFEST).is_file():
        return None
    trains = sorted(path.glob("*.train.inter"))
    if len(trains) != 1:
        return None
    stem = trains[0].name.removesuffix(".train.inter")
    files = {part: path / f"{stem}.{part}.inter" for part in PARTS}
    there = {part: file for part, file in files.items() if file.is_file()}
    return there if "test" in there else None
