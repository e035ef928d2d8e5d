"""What is measured on: one data set, converted once, split once, laid out for every library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.synthetic import MOVIES, ROWS, USERS, write_competition
from movierec_bench import convert
from movierec_bench.data.atomic import AtomicData, read_atomic
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.split import Split, make_split, read_split, write_split
from movierec_bench.schema import ITEM, ITEM_FIELD, TIME, TIME_FIELD, USER, USER_FIELD
from movierec_bench.settings.protocol import Protocol, load_protocol
from movierec_bench.settings.yaml_files import ConfigFolders

ROOT = Path("bench_data")
SCALES = {"quarter": 0.25, "half": 0.5, "full": 1.0, "double": 2.0}  # of the competition's users and rows
ML_100K = "ml100k"  # RecBole reads a folder of its own for the name ml-100k


@dataclass(frozen=True)
class Workload:
    """One data set on disk.

    Attributes:
        name: ``ML_100K``, or a key of ``SCALES``.
    """

    name: str

    @property
    def competition(self) -> Path:
        """The files in the competition's format; not there for ml-100k."""
        return ROOT / "competition" / self.name

    @property
    def atomic(self) -> Path:
        """The converted data set."""
        return ROOT / "atomic" / self.name

    @property
    def split(self) -> Path:
        """Train, validation and test rows of the protocol."""
        return ROOT / "split" / self.name

    @property
    def recbole(self) -> Path:
        """The same rows as RecBole's benchmark files."""
        return ROOT / "recbole" / self.name

    @property
    def arrays(self) -> Path:
        """The same rows as integer pairs, for libraries that read matrices."""
        return ROOT / "arrays" / f"{self.name}.npz"

    def read(self) -> tuple[AtomicData, Split, Interactions, Interactions]:
        """Atomic data, split, and the train and validation rows as RecBole's integers."""
        data, split = read_atomic(self.atomic), read_split(self.split)
        train = Interactions.from_rows(split.train, data.vocabulary)
        return data, split, train, Interactions.from_rows(split.valid, data.vocabulary)


def protocol() -> Protocol:
    """The packaged evaluation protocol."""
    return load_protocol(ConfigFolders(None).file("protocol.yaml"))


def prepare(name: str) -> Workload:
    """Make what is missing of a workload: draw, convert, split, and lay out for the others."""
    work = Workload(name)
    if not work.atomic.is_dir():
        if name == ML_100K:
            convert(out=work.atomic.parent, name=name)
        else:
            draw(name)
            convert(data=work.competition, out=work.atomic.parent, name=name)
    if not work.split.is_dir():
        write_split(make_split(read_atomic(work.atomic).interactions, protocol()), work.split)
    if not work.recbole.is_dir():
        _write_recbole_files(work)
    if not work.arrays.is_file():
        _write_arrays(work)
    return work


def draw(name: str) -> Path:
    """The synthetic competition of a scale, drawn once."""
    folder = Workload(name).competition
    if not (folder / "train_ratings.csv").is_file():
        write_competition(folder, round(USERS * SCALES[name]), MOVIES, round(ROWS * SCALES[name]))
    return folder


def _write_recbole_files(work: Workload) -> None:
    """``NAME.{train,valid,test}.inter`` for RecBole's ``benchmark_filename``, its ``.item``, and ``sequential.inter``.

    RecBole's sequential models take their own split, the last two rows of each user: in that file they are two
    rows that stand behind the training rows, so that it trains on our training rows and no other.
    """
    data, split, _, _ = work.read()
    work.recbole.mkdir(parents=True)
    for part in ("train", "valid", "test"):
        _write_inter(work.recbole / f"{work.name}.{part}.inter", getattr(split, part))
    item_file = work.atomic / f"{work.name}.item"
    (work.recbole / item_file.name).write_bytes(item_file.read_bytes())
    after = int(data.interactions[TIME].max())
    closing = [
        pd.DataFrame({USER: split.train[USER].unique(), ITEM: data.vocabulary.items[place], TIME: after + 1 + place})
        for place in range(2)
    ]
    sequential = work.recbole / f"{work.name}-sequential"
    sequential.mkdir()
    _write_inter(sequential / f"{sequential.name}.inter", pd.concat([split.train, *closing]))


def _write_inter(path: Path, rows: pd.DataFrame) -> None:
    names = {USER: f"{USER_FIELD}:token", ITEM: f"{ITEM_FIELD}:token", TIME: f"{TIME_FIELD}:float"}
    rows[list(names)].rename(columns=names).to_csv(path, sep="\t", index=False)


def _write_arrays(work: Workload) -> None:
    _, _, train, valid = work.read()
    work.arrays.parent.mkdir(parents=True, exist_ok=True)
    rows = {f"{part}_{USER}": kept.user_ix - 1 for part, kept in (("train", train), ("valid", valid))}
    rows.update({f"{part}_{ITEM}": kept.item_ix - 1 for part, kept in (("train", train), ("valid", valid))})
    shape = np.array([train.n_users - 1, train.n_items - 1])  # without the padding user and movie
    np.savez(work.arrays, shape=shape, train_time=train.time, **rows)
