"""Writes and reads data sets of RecBole atomic files, all of a set's files or none."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic_format import (
    SUFFIXES,
    build_tables,
    decode_token,
    encode_token,
    movie_entity,
    read_movies,
    read_triples,
    write_table,
)
from movierec_bench.data.competition import (
    ML100K,
    Competition,
    first_of_each_pair,
    read_competition,
    read_ml100k,
    recbole_columns,
)
from movierec_bench.data.delimited import DelimitedText, problem, read_bytes
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError
from movierec_bench.schema import ITEM, USER, PathLike

__all__ = [
    "AtomicData",
    "convert",
    "decode_token",
    "encode_token",
    "movie_entity",
    "read_atomic",
    "replaced_when_complete",
    "write_atomic",
]


MANIFEST = "manifest.json"
FORMAT = 1  # of the files and the manifest; goes up when a reader of the old one would misread the new one

_NAME = re.compile(r"\w[\w.-]*")
_CONVERT_AGAIN = "run `python -m movierec_bench convert` again"


@dataclass(frozen=True)
class AtomicData:
    """A data set as its atomic files hold it.

    Attributes:
        name: the data set's name, which is its folder's.
        folder: where its files are.
        interactions: int64 user, item, time (unix seconds), in file order, one row a (user, item) pair.
        movies: as in `Competition`, with decade besides ("1990", or "" where the year is unknown).
        triples: str head, relation, tail; the entity of movie 318 is "movie:318".
        vocabulary: every user of the interactions and every movie of the item file.
        data_hash: 16 hexadecimal digits, equal for equal atomic files.
    """

    name: str
    folder: Path
    interactions: pd.DataFrame
    movies: pd.DataFrame
    triples: pd.DataFrame
    vocabulary: Vocabulary
    data_hash: str


def convert(data: Optional[PathLike] = None, name: Optional[str] = None, out: PathLike = "atomic_data") -> Path:
    """Turn a competition's files into atomic files.

    Args:
        data: the competition's folder; without it, RecBole's packaged ml-100k.
        name: of the data set; by default the folder's own name, or ``ml-100k``.
        out: folder that gets a folder ``name``; one that `convert` made there earlier is replaced.

    Returns:
        The folder written.

    Raises:
        DataError: the files are not as expected; nothing is written.
        ConfigError: a name or a folder that cannot be used; nothing is written.
    """
    out = Path(out)
    if name is None:
        name = ML100K if data is None else Path(data).resolve().name
    if data is not None and name == ML100K:
        raise ConfigError(
            f"the name {ML100K} is taken: for it RecBole loads its packaged data, not {data}; "
            "expected another name; give one with --name"
        )
    _check_target(out, name)
    return write_atomic(read_ml100k() if data is None else read_competition(Path(data)), out, name)


def write_atomic(competition: Competition, out: Path, name: str) -> Path:
    """Write ``out/name/name.{inter,item,user,kg,link}`` and ``manifest.json``: all of them, or none.

    Args:
        competition: what to write; the names of genres and persons are not empty.
        out: made if it is not there.
        name: letters, digits, ``.``, ``_`` and ``-``.

    Returns:
        ``out/name``. Equal input gives equal bytes.

    Raises:
        ConfigError: ``name`` or ``out`` cannot be used, or a folder that is not ours is in the way.
    """
    out = Path(out)
    _check_target(out, name)
    tables = build_tables(competition.ratings, competition.movies)
    triples = len(next(iter(tables["kg"].values())))
    try:
        with replaced_when_complete(out / name) as folder:
            for suffix, table in tables.items():
                write_table(folder / f"{name}.{suffix}", table)
            _write_manifest(folder, name, competition.source, {**competition.counts, "triples": triples})
    except OSError as error:
        raise _unwritable(out / name, error) from error
    return out / name


def read_atomic(folder: Path) -> AtomicData:
    """Read atomic files: ours, or others in RecBole's format with integer user and item ids.

    In files that are not ours ``.item``, ``.kg`` and ``.link`` may be missing, and a repeated
    (user, item) pair keeps its first row.

    Args:
        folder: holds ``NAME.inter`` and the rest, where NAME is the folder's name.

    Raises:
        DataError: missing or malformed files, or files of ours that were changed after `convert`.
    """
    folder = Path(folder)
    name = folder.resolve().name
    if not (folder / f"{name}.inter").is_file():
        found, expected = f"{name}.inter is missing", "a folder NAME with NAME.inter and its companions"
        raise problem(str(folder), found, expected, "make them with `python -m movierec_bench convert`")
    hashes = _hash_files(folder, name)
    ours = (folder / MANIFEST).is_file()
    if ours:
        _check_manifest(folder, name, hashes)
    interactions = _read_interactions(folder / f"{name}.inter", ours)
    movies = read_movies(folder / f"{name}.item", pd.unique(interactions[ITEM]), encoded=ours)
    triples = read_triples(folder / f"{name}.kg", folder / f"{name}.link", encoded=ours)
    vocabulary = Vocabulary(np.sort(pd.unique(interactions[USER])), movies[ITEM].to_numpy())
    return AtomicData(name, folder, interactions, movies, triples, vocabulary, _data_hash(hashes))


def _read_interactions(path: Path, ours: bool) -> pd.DataFrame:
    columns = recbole_columns(fractional=not ours)
    rows = DelimitedText.open(path, "\t", [column.heading for column in columns]).numbers(columns)
    return rows if ours else first_of_each_pair(rows)


def _write_manifest(folder: Path, name: str, source: str, counts: Mapping[str, int]) -> None:
    hashes = _hash_files(folder, name)
    manifest = {
        "format": FORMAT,
        "name": name,
        "source": source,
        "data_hash": _data_hash(hashes),
        "counts": dict(counts),
        "sha256": {f"{name}.{suffix}": digest for suffix, digest in hashes.items()},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_bytes(text.encode("utf-8"))


def _check_manifest(folder: Path, name: str, hashes: Mapping[str, str]) -> None:
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_bytes(path).decode("utf-8"))
        written_format, written = manifest["format"], dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise problem(str(path), f"is damaged ({error!r})", "what convert wrote", _CONVERT_AGAIN) from error
    if written_format != FORMAT:
        raise problem(str(path), f"has format {written_format}", f"format {FORMAT}", _CONVERT_AGAIN)
    for suffix in SUFFIXES:
        file = f"{name}.{suffix}"
        if written.get(file) != hashes.get(suffix):
            raise problem(str(folder / file), "is not what convert wrote", "an unchanged file", _CONVERT_AGAIN)


def _hash_files(folder: Path, name: str) -> dict[str, str]:
    """Sha256 of every atomic file that is there, by suffix."""
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in SUFFIXES}
    return {suffix: hashlib.sha256(path.read_bytes()).hexdigest() for suffix, path in paths.items() if path.is_file()}


def _data_hash(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{suffix} {hashes[suffix]}\n" for suffix in SUFFIXES if suffix in hashes)
    return hashlib.sha256(lines.encode("ascii")).hexdigest()[:16]


def _check_target(out: Path, name: str) -> None:
    """Refuse, before any work, a name or a place that cannot take a data set."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a data set; expected letters, digits, '.', '_' and '-', beginning with a letter, "
            "digit or '_'; give another with --name"
        )
    target = out / name
    try:
        existing = next(path for path in (out, *out.absolute().parents) if path.exists())
        blocked = target.exists() and not _replaceable(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    if not existing.is_dir():
        raise ConfigError(f"{existing} is a file; expected a folder to write into; give another as --out")
    if blocked:
        raise ConfigError(
            f"{target} is there and was not made by convert; expected nothing, or an earlier conversion to replace; "
            "move it away, or give another --name or --out"
        )


def _replaceable(target: Path) -> bool:
    return target.is_dir() and ((target / MANIFEST).is_file() or not any(target.iterdir()))


def _unwritable(target: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{target} cannot be written ({error.strerror}); expected room and permission to write there; "
        "free it, or give another folder as --out"
    )


@contextmanager
def replaced_when_complete(target: Path) -> Iterator[Path]:
    """A new empty folder beside ``target`` that takes its place at the end; after an error nothing has changed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp = uuid.uuid4().hex
    fresh = target.with_name(f".{target.name}.{stamp}.new")
    retired = target.with_name(f".{target.name}.{stamp}.old")
    fresh.mkdir()
    try:
        yield fresh
        if target.exists():
            target.rename(retired)
        fresh.rename(target)
    except BaseException:
        if retired.exists() and not target.exists():
            retired.rename(target)
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)
