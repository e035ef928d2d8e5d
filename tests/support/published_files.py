"""Files of the formats that published data come in, made of ml-100k's rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.convert import convert

NEGATIVES = 99  # candidates of a user beside the row that is held out, in NCF's files
_RATINGS = np.array([3, 4, 5])  # ml-100k comes without its ratings here; every third row is rated 3


def some_rows(folder: Path, users: int) -> pd.DataFrame:
    """The rows of ml-100k's first users: user, item, rating, time, by user and then time.

    Args:
        folder: gets a folder of atomic files.
        users: how many users.
    """
    rows = read_atomic(convert(out=folder / "atomic")).interactions
    rows = rows[rows["user"] <= users].sort_values(["user", "time"], kind="stable", ignore_index=True)
    return rows.assign(rating=_RATINGS[np.arange(len(rows)) % 3])[["user", "item", "rating", "time"]]


def write_ratings_dat(folder: Path, rows: pd.DataFrame) -> None:
    """MovieLens-1M's ``ratings.dat``."""
    lines = ["::".join(map(str, row)) for row in rows.itertuples(index=False)]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n")


def write_ratings_csv(folder: Path, rows: pd.DataFrame) -> None:
    """MovieLens-20M's ``ratings.csv``."""
    named = rows.set_axis(["userId", "movieId", "rating", "timestamp"], axis=1)
    named.assign(rating=named["rating"].astype(float)).to_csv(folder / "ratings.csv", index=False)


def write_ncf(folder: Path, rows: pd.DataFrame, name: str = "ml-1m") -> None:
    """NCF's ``NAME.train.rating``, ``NAME.test.rating`` and ``NAME.test.negative``: ids from 0, the last row out."""
    rows = rows.assign(user=pd.factorize(rows["user"])[0], item=pd.factorize(rows["item"], sort=True)[0])
    last = ~rows["user"].duplicated(keep="last")
    for part, chosen in (("train", ~last), ("test", last)):
        rows[chosen].to_csv(folder / f"{name}.{part}.rating", sep="\t", header=False, index=False)
    rng, items = np.random.default_rng(0), np.arange(rows["item"].max() + 1)
    watched = rows.groupby("user")["item"].agg(list)
    lines = []
    for user, item in rows.loc[last, ["user", "item"]].itertuples(index=False):
        drawn = rng.choice(np.setdiff1d(items, watched[user]), NEGATIVES, replace=False)
        lines.append("\t".join([f"({user},{item})", *map(str, drawn)]))
    (folder / f"{name}.test.negative").write_text("\n".join(lines) + "\n")


def write_lightgcn(folder: Path, rows: pd.DataFrame) -> None:
    """LightGCN's ``train.txt`` and ``test.txt``, a user and its items a line; the first user has no test row."""
    rows = rows.assign(user=rows["user"] - 1, item=rows["item"] - 1)
    tests = (np.arange(len(rows)) % 5 == 4) & (rows["user"] > 0)
    for part, chosen in (("train", ~tests), ("test", tests)):
        items = rows[chosen].groupby("user")["item"].agg(list)
        lines = [" ".join(map(str, [user, *items.get(user, [])])) for user in range(rows["user"].max() + 1)]
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n")
