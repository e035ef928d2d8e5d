"""Writes and reads data sets of RecBole atomic files, all of a set's files or none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic_format import (
    CANDIDATES,
    PARTS,
    SUFFIXES,
    build_tables,
    decade_of,
    decode_token,
    encode_token,
    movie_entity,
    read_items,
    read_triples,
    unique_ids,
    write_table,
)
from movierec_bench.data.competition import recbole_columns
from movierec_bench.data.delimited import DelimitedText, problem, read_bytes
from movierec_bench.data.json_text import parse_json
from movierec_bench.data.log_columns import read_columns
from movierec_bench.data.replacing import recover, replaced_when_complete, strangers
from movierec_bench.data.source_data import SourceData, unite_movies
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError
from movierec_bench.schema import (
    DATES,
    DECADE,
    DIRECTOR,
    GENRE,
    ITEM,
    ITEM_FEATURES,
    NO_TIMES,
    TIME,
    USER,
    WRITER,
    YEAR,
)

__all__ = [
    "AtomicData",
    "check_target",
    "decode_token",
    "encode_token",
    "movie_entity",
    "read_atomic",
    "write_atomic",
]


MANIFEST = "manifest.json"
# The manifest's format: 1 for a competition's data, 2 for any other, which a reader of format 1 would misread.
FORMAT, ANY_LOG = 1, 2

_NAME = re.compile(r"\w[\w.-]*")
_BYTES_A_BLOCK = 1 << 22  # bytes
_NUMBERS, _TEXTS = "numbers", "texts"  # what ids are
_CONVERT_AGAIN = "run `python -m movierec_bench convert` again"


@dataclass(frozen=True)
class AtomicData:
    """A data set as its atomic files hold it.

    Attributes:
        name: the data set's name, which is its folder's.
        folder: where its files are.
        interactions: user, item (int64 or str), time (int64, as ``times`` says), in file order, one row a
            (user, item) pair.
        movies: as in `SourceData`, with decade besides ("1990", or "" where the year is unknown).
        triples: str head, relation, tail; the entity of movie 318 is "movie:318".
        vocabulary: every user of the interactions and every movie of the item file.
        data_hash: 16 hexadecimal digits, equal for equal atomic files.
        times: what the times are: ``schema.DATES``, ``POSITIONS`` or ``NO_TIMES``.
        parts: as in `SourceData`.
        candidates: as in `SourceData`.
    """

    name: str
    folder: Path
    interactions: pd.DataFrame
    movies: pd.DataFrame
    triples: pd.DataFrame
    vocabulary: Vocabulary
    data_hash: str
    times: str = DATES
    parts: Optional[np.ndarray] = None
    candidates: Optional[pd.DataFrame] = None

    @property
    def lacking(self) -> tuple[str, ...]:
        """What models may require (`settings.catalog.REQUIREMENTS`) and these data do not hold."""
        there = {feature: bool(self.movies[feature].map(len).any()) for feature in ITEM_FEATURES}
        years = bool(self.movies[YEAR].notna().any())
        held = {
            "times": self.times != NO_TIMES,
            "dates": self.times == DATES,
            "genres": there[GENRE],
            "creators": there[DIRECTOR] or there[WRITER],
            "years": years,
            "features": years or any(there.values()),
            "knowledge": len(self.triples) > 0,
        }
        return tuple(what for what, is_there in held.items() if not is_there)


def write_atomic(source: SourceData, out: Path, name: str) -> Path:
    """Write ``out/name/name.{inter,item,user,kg,link}`` and ``manifest.json``: all of them, or none.

    Data that came split have their parts besides, in ``name.{train,valid,test}.inter``, and the candidates that came
    with them in ``name.candidates``.

    Args:
        source: what to write; the names of genres and persons are not empty.
        out: made if it is not there.
        name: letters, digits, ``.``, ``_`` and ``-``.

    Returns:
        ``out/name``. Equal input gives equal bytes.

    Raises:
        ConfigError: ``name`` or ``out`` cannot be used, or a folder that is not ours is in the way.
    """
    out = Path(out)
    check_target(out, name)
    tables = build_tables(source)
    triples = len(next(iter(tables["kg"].values())))
    try:
        with replaced_when_complete(out / name) as folder:
            for suffix, table in tables.items():
                write_table(folder / f"{name}.{suffix}", table)
            _write_manifest(folder, name, source, {**source.counts, "triples": triples})
    except OSError as error:
        raise _unwritable(out / name, error) from error
    return out / name


def read_atomic(folder: Path) -> AtomicData:
    """Read atomic files: ours, or others in RecBole's format.

    In files that are not ours ``.item``, ``.kg`` and ``.link`` may be missing, and a repeated
    (user, item) pair keeps its first row.

    Args:
        folder: holds ``NAME.inter`` and the rest, where NAME is the folder's name.

    Raises:
        DataError: missing or malformed files, or files of ours that were changed after `convert`.
    """
    folder = Path(folder)
    name = folder.resolve().name
    if not folder.exists():
        recover(folder)  # an earlier conversion may have been killed just before the end
    if not (folder / f"{name}.inter").is_file():
        found, expected = f"{name}.inter is missing", "a folder NAME with NAME.inter and its companions"
        raise problem(str(folder), found, expected, "make them with `python -m movierec_bench convert`")
    hashes = _hash_files(folder, name)
    ours = (folder / MANIFEST).is_file()
    manifest = _read_manifest(folder, name, hashes) if ours else {}
    interactions, times = _read_interactions(folder / f"{name}.inter", manifest, ours)
    listed, known = read_items(folder / f"{name}.item", encoded=ours)
    rated = unique_ids(interactions[ITEM])
    movies, rated = unite_movies(rated, listed, known)
    if rated.dtype == object and interactions[ITEM].dtype == np.int64:  # numbers here, and other names in the item file
        interactions[ITEM] = interactions[ITEM].astype(str)
    movies[DECADE] = movies[YEAR].map(decade_of)
    triples = read_triples(folder / f"{name}.kg", folder / f"{name}.link", encoded=ours)
    vocabulary = Vocabulary(unique_ids(interactions[USER]), movies[ITEM].to_numpy())
    parts = manifest.get("parts")
    return AtomicData(
        name,
        folder,
        interactions,
        movies,
        triples,
        vocabulary,
        _data_hash(hashes),
        manifest.get("times", times),
        None if parts is None else np.repeat(np.arange(len(PARTS), dtype=np.int8), [parts[part] for part in PARTS]),
        _read_candidates(folder / f"{name}.{CANDIDATES}", vocabulary) if ours and CANDIDATES in hashes else None,
    )


def _read_candidates(path: Path, vocabulary: Vocabulary) -> pd.DataFrame:
    """The rows [user, item] of a file of candidates, ids as the vocabulary has them."""
    user, item, _ = recbole_columns()
    text = DelimitedText.open(path, "\t", [user.heading, item.heading])
    log = read_columns(text, {USER: user.heading, ITEM: item.heading}, with_rating=False, decode=decode_token)
    ids = {USER: log.users[log.user], ITEM: log.items[log.item]}
    known = {USER: vocabulary.users, ITEM: vocabulary.items}
    texts = {name: values.astype(str).astype(object) for name, values in ids.items() if known[name].dtype == object}
    return pd.DataFrame({**ids, **texts})


def _read_interactions(path: Path, manifest: Mapping[str, Any], ours: bool) -> tuple[pd.DataFrame, str]:
    """The rows [user, item, time], and what their times are."""
    user, item, time = recbole_columns()
    text = DelimitedText.open(path, "\t", [user.heading, item.heading])
    has_times = time.heading in text.headings
    if ours and set(manifest.get("ids", {}).values()) <= {_NUMBERS}:
        rows = text.numbers([user, item, time] if has_times else [user, item])
        return rows if has_times else rows.assign(**{TIME: 0}), DATES
    headings = {USER: user.heading, ITEM: item.heading, **({TIME: time.heading} if has_times else {})}
    log = read_columns(text, headings, with_rating=False, decode=decode_token if ours else None)
    rows, first = log.to_frame(), log.first_of_each_pair()
    return (rows if first.all() else rows[first].reset_index(drop=True)), log.times


def _write_manifest(folder: Path, name: str, source: SourceData, counts: Mapping[str, int]) -> None:
    hashes = _hash_files(folder, name)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "source": source.source,
        "data_hash": _data_hash(hashes),
        "counts": dict(counts),
        "sha256": {f"{name}.{suffix}": digest for suffix, digest in hashes.items()},
    }
    ids = {column: _NUMBERS if source.ratings[column].dtype == np.int64 else _TEXTS for column in (USER, ITEM)}
    more = {"found": dict(source.found), "ids": ids, "times": source.times, "parts": _part_sizes(source)}
    if more != {"found": {}, "ids": dict.fromkeys(ids, _NUMBERS), "times": DATES, "parts": None}:
        manifest.update({**more, "format": ANY_LOG})
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_bytes(text.encode("utf-8"))


def _part_sizes(source: SourceData) -> Optional[dict[str, int]]:
    """Rows of each part, which stand one after the other."""
    if source.parts is None:
        return None
    return dict(zip(PARTS, np.bincount(source.parts, minlength=len(PARTS)).tolist()))


def _read_manifest(folder: Path, name: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of a data set of ours. Raises DataError where the files are not those it vouches for."""
    path = folder / MANIFEST
    try:
        manifest = parse_json(read_bytes(path).decode("utf-8"))
        written_format, written = manifest["format"], dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise problem(str(path), f"is damaged ({error!r})", "what convert wrote", _CONVERT_AGAIN) from error
    if written_format not in (FORMAT, ANY_LOG):
        found, expected = f"has format {written_format}", f"format {FORMAT} or {ANY_LOG}"
        raise problem(str(path), found, expected, _CONVERT_AGAIN)
    for suffix in SUFFIXES:
        file = f"{name}.{suffix}"
        if written.get(file) != hashes.get(suffix):
            raise problem(str(folder / file), "is not what convert wrote", "an unchanged file", _CONVERT_AGAIN)
    return dict(manifest)


def _hash_files(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every atomic file that is there, by suffix."""
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in SUFFIXES}
    return {suffix: _sha256(path) for suffix, path in paths.items() if path.is_file()}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BYTES_A_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _data_hash(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{suffix} {hashes[suffix]}\n" for suffix in SUFFIXES if suffix in hashes)
    return hashlib.sha256(lines.encode("ascii")).hexdigest()[:16]


def check_target(out: Path, name: str) -> None:
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
        others = strangers(target, _made_names(name)) if target.is_dir() else []
    except OSError as error:
        raise _unwritable(target, error) from error
    if not existing.is_dir():
        raise ConfigError(f"{existing} is a file; expected a folder to write into; give another as --out")
    if blocked:
        raise ConfigError(
            f"{target} is there and was not made by convert; expected nothing, or an earlier conversion to replace; "
            "move it away, or give another --name or --out"
        )
    if others:
        raise ConfigError(
            f"{target} holds {others[0]}, which was not made by convert and would be deleted; expected an earlier "
            f"conversion alone; move {others[0]} away, or give another --name or --out"
        )


def _made_names(name: str) -> set[str]:
    """Every file that `convert` may make of the data set ``name``."""
    return {MANIFEST, *(f"{name}.{suffix}" for suffix in SUFFIXES)}


def _replaceable(target: Path) -> bool:
    """Whether the folder is empty or one that `convert` made, and not for example a run, which has a manifest too."""
    if not target.is_dir():
        return False
    if not (target / MANIFEST).is_file():
        return not any(target.iterdir())
    try:
        manifest = parse_json(read_bytes(target / MANIFEST).decode("utf-8"))
    except ValueError:  # damaged; it has an atomic file beside it if it was convert's
        return (target / f"{target.resolve().name}.inter").is_file()
    return isinstance(manifest, dict) and {"format", "sha256"} <= set(manifest)


def _unwritable(target: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{target} cannot be written ({error.strerror}); expected room and permission to write there; "
        "free it, or give another folder as --out"
    )
