"""The text of RecBole's atomic files: our tables as columns of text, and back.

atomic_data/README.md tells the format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Union

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from movierec_bench.data.competition import ML100K_FIELDS, YEAR_COLUMN, recbole_columns
from movierec_bench.data.delimited import DelimitedText, read_bytes
from movierec_bench.data.log import as_ids
from movierec_bench.data.log_columns import IdColumn
from movierec_bench.data.source_data import SourceData
from movierec_bench.schema import (
    DECADE,
    ENTITY_FIELD,
    GENRE,
    HEAD,
    HEAD_FIELD,
    ITEM,
    ITEM_FEATURES,
    ITEM_FIELD,
    NO_TIMES,
    RELATION,
    RELATION_FIELD,
    TAIL,
    TAIL_FIELD,
    TIME,
    TITLE,
    USER,
    USER_FIELD,
    YEAR,
)

PARTS = ("train", "valid", "test")
CANDIDATES = "candidates"
SUFFIXES = ("inter", "item", "user", "kg", "link", *(f"{part}.inter" for part in PARTS), CANDIDATES)

Table = Mapping[str, Union[np.ndarray, list[str], pa.Array]]  # RecBole's headings -> values

_ITEM_HEADING = f"{ITEM_FIELD}:token"
_LINK_HEADINGS = (_ITEM_HEADING, f"{ENTITY_FIELD}:token")
_TRIPLE_HEADINGS = tuple(f"{field}:token" for field in (HEAD_FIELD, RELATION_FIELD, TAIL_FIELD))
_FEATURE_HEADINGS = {
    TITLE: f"{TITLE}:token_seq",
    YEAR: f"{YEAR}:float",
    DECADE: f"{DECADE}:token",
    **{feature: f"{feature}:token_seq" for feature in ITEM_FEATURES},
}

# What pandas, and so RecBole's reader, takes for a missing value, in any case.
NA_WORDS = frozenset(
    ["#n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "nan", "none", "null"]
)
_ROWS_A_BLOCK = 1 << 20  # written at once: ids that are texts are spelled out only then
_ID_COLUMN = IdColumn(_ITEM_HEADING, ITEM)
_YEAR_COLUMN = replace(YEAR_COLUMN, fractional=True)
_YEAR_DIGITS = 4
_UNSAFE = re.compile(r'[\x00-\x20"%\x7f]')
_ENCODED = re.compile(r"%([0-9A-F]{2})")


def encode_token(token: str) -> str:
    """``token`` as one token that RecBole's reader gives back whole.

    Blanks, quotes, ``%`` and control characters become ``%`` and two hexadecimal digits, and so does
    the first character of a word that pandas would take for a missing value.
    """
    if token.lower() in NA_WORDS:
        return _percent(token[0]) + token[1:]
    return _UNSAFE.sub(lambda match: _percent(match.group()), token)


def decode_token(text: str) -> str:
    """The token that `encode_token` made ``text`` of."""
    return _ENCODED.sub(lambda match: chr(int(match.group(1), 16)), text) if "%" in text else text


def _percent(character: str) -> str:
    return f"%{ord(character):02X}"


def _encode_words(words: Sequence[str]) -> str:
    return " ".join(map(encode_token, words))


def movie_entity(item: Union[int, str]) -> str:
    """The knowledge graph's name of a movie."""
    return f"movie:{item}"


def decade_of(year: float) -> str:
    """The decade of a year, such as "1990"; "" for NaN."""
    return "" if np.isnan(year) else str(int(year) // 10 * 10)


def build_tables(source: SourceData) -> dict[str, Table]:
    """The columns of every atomic file, by suffix; of parts and candidates where the data came with them."""
    movies = source.movies.assign(**{DECADE: source.movies[YEAR].map(decade_of)})
    items = movies[ITEM].to_numpy()
    triples = list(zip(*_build_triples(movies))) or [()] * len(_TRIPLE_HEADINGS)
    entities = [encode_token(movie_entity(item)) for item in items]
    tables = {
        "inter": _inter_table(source.ratings, source.times),
        "item": _item_table(movies),
        "user": {f"{USER_FIELD}:token": _encode_ids(unique_ids(source.ratings[USER]))},
        "kg": {heading: list(map(encode_token, column)) for heading, column in zip(_TRIPLE_HEADINGS, triples)},
        "link": dict(zip(_LINK_HEADINGS, (_encode_ids(items), entities))),
    }
    if source.parts is not None:
        for number, part in enumerate(PARTS):
            rows = source.ratings[source.parts == number]
            if len(rows):
                tables[f"{part}.inter"] = _inter_table(rows, source.times)
    if source.candidates is not None:
        tables[CANDIDATES] = _inter_table(source.candidates, NO_TIMES)
    return tables


def unique_ids(values: pd.Series) -> np.ndarray:
    """The ids in a column, each once, ascending: int64, or str objects."""
    return np.sort(np.asarray(values.unique()))


def _inter_table(rows: pd.DataFrame, times: str) -> Table:
    names = (USER, ITEM) if times == NO_TIMES else (USER, ITEM, TIME)
    headings = [column.heading for column in recbole_columns()]
    return {heading: _encode_ids(rows[name].to_numpy()) for heading, name in zip(headings, names)}


def _encode_ids(values: np.ndarray) -> Union[np.ndarray, pa.Array]:
    """Numbers as they are; strings encoded, each different one once."""
    if values.dtype != object:
        return values
    codes, ids = pd.factorize(values)
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), [encode_token(text) for text in ids])


def _item_table(movies: pd.DataFrame) -> Table:
    texts = {
        TITLE: [_encode_words(title.split(" ")) for title in movies[TITLE]],
        YEAR: ["" if np.isnan(year) else str(int(year)) for year in movies[YEAR]],
        DECADE: movies[DECADE].tolist(),
        **{feature: [_encode_words(names) for names in movies[feature]] for feature in ITEM_FEATURES},
    }
    # RecBole cannot load a column without a single value, so such a column is left out.
    filled = {_FEATURE_HEADINGS[name]: values for name, values in texts.items() if any(values)}
    return {_ITEM_HEADING: _encode_ids(movies[ITEM].to_numpy()), **filled}


def _build_triples(movies: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Movie-decade, -genre, -director and -writer triples, in the movies' order.

    A person is one entity, directing or writing. RecBole's knowledge-aware datasets drop the
    interactions of a movie without a triple, so one that nothing is known of gets the decade "unknown";
    there are no triples at all where nothing is known of any movie.
    """
    if not movies[DECADE].any() and not any(movies[feature].map(len).any() for feature in ITEM_FEATURES):
        return []
    triples: list[tuple[str, str, str]] = []
    for item, decade, *features in movies[[ITEM, DECADE, *ITEM_FEATURES]].itertuples(index=False):
        tails = [(DECADE, f"{DECADE}:{decade}")] if decade else []
        for feature, names in zip(ITEM_FEATURES, features):
            kind = GENRE if feature == GENRE else "person"
            tails += [(feature, f"{kind}:{name}") for name in names]
        tails = tails or [(DECADE, f"{DECADE}:unknown")]
        triples += [(movie_entity(item), f"movie.{relation}", tail) for relation, tail in tails]
    return triples


def write_table(path: Path, table: Table) -> None:
    """Write one atomic file. Raises OSError."""
    rows = pa.table({heading: pa.array(values) for heading, values in table.items()})
    with path.open("wb") as file:
        file.write(("\t".join(table) + "\n").encode("utf-8"))
        for start in range(0, rows.num_rows, _ROWS_A_BLOCK):
            part = rows.slice(start, _ROWS_A_BLOCK)
            pyarrow.csv.write_csv(
                pa.table({heading: _spelled_out(part[heading]) for heading in table}),
                file,
                pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"),
            )


def _spelled_out(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values


def read_items(path: Path, encoded: bool) -> tuple[np.ndarray, dict[str, dict[Any, Any]]]:
    """The movies of an item file; none where it is missing. As `parse_items`."""
    return parse_items(path, read_bytes(path), encoded) if path.is_file() else (np.zeros(0, dtype=np.int64), {})


def parse_items(path: Path, content: bytes, encoded: bool) -> tuple[np.ndarray, dict[str, dict[Any, Any]]]:
    """The movies of an item file that has been read.

    Args:
        path: names it in messages.
        content: its bytes, UTF-8.
        encoded: the file's texts were made by `encode_token`.

    Returns:
        The movies' ids in the file's order, int64 or str objects; and what is known of them, by feature and id. Of a
        movie that is named twice the first line counts.

    Raises:
        DataError: an id is missing, or a year is not a number.
    """
    text = DelimitedText.of(path, content, "\t", [_ITEM_HEADING])
    known = {heading: feature for heading, feature in _readable_headings().items() if heading in text.headings}
    movies: dict[str, dict[str, Any]] = {}
    for where, (item, *values) in text.rows([_ITEM_HEADING, *known]):
        features = zip(known.items(), values)
        movie = {name: _parse_feature(name, heading, text, encoded, where) for (heading, name), text in features}
        movies.setdefault(_parse_id(item, encoded, where), movie)
    ids = as_ids(list(movies))
    by_feature = {
        feature: {item: movie[feature] for item, movie in zip(ids.tolist(), movies.values())}
        for feature in known.values()
    }
    return ids, by_feature


def _parse_id(text: str, encoded: bool, where: str) -> str:
    item = _ID_COLUMN.parse(text, where)
    return decode_token(item) if encoded else item


def _readable_headings() -> dict[str, str]:
    """Heading -> feature, for ours and for those of RecBole's packaged files. Decades follow from years."""
    ours = {heading: feature for feature, heading in _FEATURE_HEADINGS.items() if feature != DECADE}
    return {**{heading: feature for feature, heading in ML100K_FIELDS.items()}, **ours}


def _parse_feature(feature: str, heading: str, text: str, encoded: bool, where: str) -> Any:
    decode = decode_token if encoded else str
    if feature == TITLE:
        return decode(text)
    if feature == YEAR:
        return _parse_year(heading, text, where)
    return tuple(sorted(decode(token) for token in text.split(" ") if token))


def _parse_year(heading: str, text: str, where: str) -> float:
    if heading.endswith(":float"):
        return float(_YEAR_COLUMN.parse(text, where)) if text else np.nan
    year = float(text) if text.isascii() and text.isdigit() and len(text) <= _YEAR_DIGITS else np.nan
    return year if _YEAR_COLUMN.low <= year <= _YEAR_COLUMN.high else np.nan  # a token may say "unknown"


def read_triples(kg_path: Path, link_path: Path, encoded: bool) -> pd.DataFrame:
    """The knowledge graph as in `AtomicData`: a linked entity is called by its movie.

    Args:
        kg_path: a ``.kg`` file; may be missing.
        link_path: a ``.link`` file; may be missing.
        encoded: the files' texts were made by `encode_token`.

    Raises:
        DataError: malformed lines.
    """
    decode = decode_token if encoded else str
    links = _read_links(link_path, encoded) if link_path.is_file() else {}
    triples: list[tuple[str, str, str]] = []
    if kg_path.is_file():
        rows = DelimitedText.open(kg_path, "\t", _TRIPLE_HEADINGS, may_be_empty=True).rows(_TRIPLE_HEADINGS)
        for _, (head, relation, tail) in rows:
            triples.append((links.get(head) or decode(head), decode(relation), links.get(tail) or decode(tail)))
    return pd.DataFrame(triples, columns=[HEAD, RELATION, TAIL], dtype=object)


def _read_links(path: Path, encoded: bool) -> dict[str, str]:
    rows = DelimitedText.open(path, "\t", _LINK_HEADINGS, may_be_empty=True).rows(_LINK_HEADINGS)
    return {entity: movie_entity(_parse_id(item, encoded, where)) for where, (item, entity) in rows}
