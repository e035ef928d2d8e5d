"""Competition files as small as the protocol allows, in which two tastes are planted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

_USERS, _MOVIES = 24, 30
_GENRES = ("Action", "Comedy", "Drama")


def write_data(folder: Path) -> None:
    """Two competition folders of other ratings, ``raw`` and ``other``, and ``configs`` with a short BPR."""
    write_competition(folder / "raw", seed=0)
    write_competition(folder / "other", seed=1)
    models = folder / "configs" / "models"
    models.mkdir(parents=True)
    packaged = Path(__file__).parents[1] / "recbole_configs" / "models" / "BPR.yaml"
    shutil.copy(packaged, models / "BPR.yaml")
    text = (models / "BPR.yaml").read_text(encoding="utf-8")
    (models / "BPR.yaml").write_text(f"{text}\nepochs: 2\n", encoding="utf-8")


def write_competition(folder: Path, seed: int) -> None:
    """The files of a competition."""
    rng = np.random.default_rng(seed)
    lines = ["user,item,time"]
    for user in range(_USERS):
        taste = np.where(np.arange(_MOVIES) % 2 == user % 2, 8.0, 1.0) / np.arange(1, _MOVIES + 1) ** 0.5
        movies = rng.choice(_MOVIES, size=int(rng.integers(10, 16)), replace=False, p=taste / taste.sum())
        times = 1_200_000_000 + user * 1_000 + np.sort(rng.integers(0, 30_000_000, len(movies)))
        lines += [f"{100 + user},{10 * (movie + 1)},{time}" for movie, time in zip(movies, times)]
    items = [10 * (movie + 1) for movie in range(_MOVIES)]
    files = {
        "train_ratings.csv": lines,
        "titles.tsv": ["item\ttitle", *(f"{item}\tMovie {item} ({1990 + item % 20})" for item in items)],
        "years.tsv": ["item\tyear", *(f"{item}\t{1990 + item % 20}" for item in items)],
        "genres.tsv": ["item\tgenre", *(f"{item}\t{_GENRES[item // 10 % 3]}" for item in items)],
        "directors.tsv": ["item\tdirector", *(f"{item}\tnm{item % 60}" for item in items)],
        "writers.tsv": ["item\twriter", *(f"{item}\tnm{item % 40}" for item in items)],
    }
    folder.mkdir(parents=True)
    for name, rows in files.items():
        (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
