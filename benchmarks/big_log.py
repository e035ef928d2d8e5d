"""`convert` on made-up logs of MovieLens-20M's size and shape in several formats: seconds and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.compare import measure, record
from benchmarks.plan import ours
from benchmarks.workloads import ROOT, Workload

NAME = "big-log"
MOST_SECONDS, MOST_MB = 30.0, 4096
USERS, MOVIES, ROWS = 138_493, 26_744, 20_000_263  # of MovieLens 20M
_FIRST_SECOND, _LAST_SECOND = 789_652_009, 1_427_784_002  # of its log
_GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War")
_ROWS_A_BLOCK = 1 << 20


def measure_big_log() -> None:
    """Convert every format once, each in a process of its own, and write ``results/big-log.json``."""
    logs = _logs(ROOT / NAME)
    sides = {}
    for what, options in logs.items():
        sides[what] = measure(ours("converting_log", **options), Workload(NAME))
        print(f"   {what}: {sides[what]['convert']:.1f} s, {sides[what]['peak_rss_mb']:,.0f} MiB", flush=True)
    reached = [
        {"what": f"{what}: {name}", "measured": figures[key], "most": most}
        for what, figures in sides.items()
        for key, name, most in (("convert", "seconds", MOST_SECONDS), ("peak_rss_mb", "peak MiB", MOST_MB))
    ]
    record(NAME, workload=NAME, sides=sides, reached=reached)


def _logs(folder: Path) -> dict[str, dict[str, Any]]:
    """What is measured, drawn once: `convert`'s arguments by what the file is."""
    release, wide, shop = folder / "release", folder / "wide", folder / "shop.csv"
    if not (release / "movies.csv").is_file():
        write_release(release)
    if not (wide / "ratings.dat").is_file():
        write_wide(release, wide)
    if not shop.is_file():
        write_shop_log(release, shop)
    thresholds = {"min_rating": 4.0, "min_rows": 20, "min_item_rows": 20}
    return {
        "ratings.csv and movies.csv": {"data": str(release)},
        "ratings.dat": {"data": str(wide)},
        "a shop's CSV, ids that are texts": {"data": str(shop)},
        "ratings.csv, rated 4 or more, 20-core": {"data": str(release), **thresholds},
    }


def write_release(folder: Path, users: int = USERS, movies: int = MOVIES, rows: int = ROWS, seed: int = 42) -> Path:
    """Draw a release as MovieLens packs it: power laws of activity and popularity, no repeated movie of a user.

    Args:
        folder: gets ``ratings.csv``, sorted by user and movie, and ``movies.csv``.
        users: users.
        movies: movies.
        rows: rows in all, exactly.
        seed: of everything drawn.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    pair = _pairs(users, movies, rows, rng)
    user, place = np.divmod(pair, movies)
    ids = np.sort(rng.choice(5 * movies, movies, replace=False) + 1)  # with gaps, as MovieLens' are
    joined = rng.integers(_FIRST_SECOND, _LAST_SECOND - 10**7, users)
    ratings = {
        "userId": user + 1,
        "movieId": ids[place],
        "rating": rng.choice(
            np.arange(1, 11) / 2, rows, p=[0.01, 0.03, 0.01, 0.07, 0.04, 0.22, 0.11, 0.28, 0.08, 0.15]
        ),
        "timestamp": joined[user] + rng.exponential(10**6, rows).astype(np.int64) % 10**7,
    }
    _write(folder / "ratings.csv", pa.table(ratings), ",")
    names = rng.choice(_GENRES, (movies, 2))
    titles = [f"Movie {item}, The ({year})" for item, year in zip(ids, rng.integers(1930, 2015, movies))]
    listed = pa.table({"movieId": ids, "title": titles, "genres": ["|".join(sorted(set(pair))) for pair in names]})
    pyarrow.csv.write_csv(listed, folder / "movies.csv")
    return folder


def write_shop_log(release: Path, path: Path) -> Path:
    """The same rows as a shop's log: ids that are texts, a rating, unix seconds, no column names."""
    rows = pyarrow.csv.read_csv(release / "ratings.csv")
    users = _as_texts(rows["userId"], "A{:09X}Q")
    items = _as_texts(rows["movieId"], "B{:09d}")
    _write(path, pa.table([users, items, rows["rating"], rows["timestamp"]], names=list("uirt")), ",", named=False)
    return path


def write_wide(release: Path, folder: Path) -> Path:
    """The same rows as ``ratings.dat``, whose columns are separated by ``::``; without the movies."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (release / "ratings.csv").read_bytes()
    (folder / "ratings.dat").write_bytes(text[text.index(b"\n") + 1 :].replace(b",", b"::"))
    return folder


def _pairs(users: int, movies: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Int64 [rows]: user * movies + movie, each once, ascending."""
    activity = rng.lognormal(0.0, 1.2, users) + 0.05
    popularity = 1.0 / (np.arange(movies) + 20.0) ** 1.1
    by_movie = np.cumsum(rng.permutation(popularity / popularity.sum()))
    found = np.zeros(0, dtype=np.int64)
    while len(found) < rows:
        lengths = rng.multinomial(2 * rows - len(found), activity / activity.sum())
        drawn = np.minimum(np.searchsorted(by_movie, rng.random(lengths.sum())), movies - 1)
        found = np.union1d(found, np.repeat(np.arange(users), lengths) * movies + drawn)
    kept = np.zeros(len(found), dtype=bool)
    kept[rng.choice(len(found), rows, replace=False)] = True
    return found[kept]


def _as_texts(ids: pa.ChunkedArray, form: str) -> pa.DictionaryArray:
    values, positions = np.unique(ids.to_numpy(), return_inverse=True)
    return pa.DictionaryArray.from_arrays(positions.astype(np.int32), [form.format(value) for value in values])


def _write(path: Path, rows: pa.Table, separator: str, named: bool = True) -> None:
    with path.open("wb") as file:
        if named:
            file.write((separator.join(rows.column_names) + "\n").encode("ascii"))
        options = pyarrow.csv.WriteOptions(include_header=False, delimiter=separator, quoting_style="none")
        for start in range(0, rows.num_rows, _ROWS_A_BLOCK):
            part = rows.slice(start, _ROWS_A_BLOCK)
            spelled = [column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column for column in part]
            pyarrow.csv.write_csv(pa.table(spelled, names=rows.column_names), file, options)
