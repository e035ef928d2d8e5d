"""The layout of a run folder. Every path of a run is spelled here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
import pyarrow as pa

from movierec_bench.errors import ConfigError, DataError, did_you_mean
from movierec_bench.runs.files import is_temporary, stored_file, write_parquet, write_text
from movierec_bench.runs.records import BUDGET, DONE, REDO, RunManifest, Status
from movierec_bench.schema import METRICS, RANK, SCORE, TOPK_COLUMNS, USER

TOPK_PARTS = ("valid", "test", "full")

_TOPK_TYPES = {RANK: np.int32, SCORE: np.float32}  # the ids are the data's own: int64, or strings
_NO_RESULTS = ("status.json", "log.txt", "failed_log.txt")  # of a model's folder; all other files are results
FIT_FILES = ("epochs.csv", "params.yaml", "per_user.parquet", "topk_test.parquet", "topk_valid.parquet")
_STAGED = re.compile(r"\.(.+)\.new")
_DELETE = "delete this model's folder and run again"


@dataclass(frozen=True)
class ModelFolder:
    """The files of one model or of one ensemble in a run."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the model or ensemble."""
        staged = _STAGED.fullmatch(self.path.name)
        return staged[1] if staged else self.path.name

    @property
    def staged(self) -> ModelFolder:
        """Where a new result is made, beside the earlier one."""
        return ModelFolder(self.path.with_name(f".{self.name}.new"))

    @property
    def retired(self) -> Path:
        """Where the earlier result is for the moment in which a new one takes its place."""
        return self.path.with_name(f".{self.name}.old")

    @property
    def status(self) -> Path:
        """The ``Status`` record; written last, so its presence means that the model has ended."""
        return self.path / "status.json"

    @property
    def params(self) -> Path:
        """Every parameter that took effect."""
        return self.path / "params.yaml"

    @property
    def epochs(self) -> Path:
        """Loss, validation Recall@10 and seconds of each epoch."""
        return self.path / "epochs.csv"

    @property
    def per_user(self) -> Path:
        """Each metric of each user with held-out test rows."""
        return self.path / "per_user.parquet"

    @property
    def log(self) -> Path:
        """What the model's process wrote."""
        return self.path / "log.txt"

    @property
    def kept(self) -> Path:
        """Folder of the refitted model itself, where it was to be kept."""
        return self.path / "model"

    @property
    def failed_log(self) -> Path:
        """The same of a later attempt that failed, where the earlier result still stands."""
        return self.path / "failed_log.txt"

    def results(self) -> dict[str, Path]:
        """The files a status vouches for, by their path from this folder, with slashes."""
        there = [path for path in sorted(self.path.rglob("*")) if path.is_file() and not is_temporary(path)]
        names = {path.relative_to(self.path).as_posix(): path for path in there}
        return {name: path for name, path in names.items() if name not in _NO_RESULTS}

    def topk(self, part: str) -> Path:
        """The stored ranking for ``part``, one of ``TOPK_PARTS``. Raises ConfigError for another name."""
        if part not in TOPK_PARTS:
            raise ConfigError(f"no ranking is called {part!r}; expected one of {TOPK_PARTS}")
        return self.path / f"topk_{part}.parquet"

    def write_status(self, status: Status) -> None:
        """Store ``status``; once this has come back it survives a power cut."""
        write_text(self.status, status.to_json(), durable=True)

    def read_status(self) -> Status:
        """The stored status. Raises DataError where it is missing or damaged."""
        return Status.from_json(_read_text(self.status, REDO), where=str(self.status))

    def finished(self) -> Optional[Status]:
        """The status of a model that was scored to the end; None for any other, and where the file is damaged."""
        try:
            status = self.read_status()
        except DataError:  # one model's missing or damaged file must not stand in the way of the others
            return None
        own = status.model == self.name  # not so in a folder that was copied or renamed
        return status if own and status.state in (DONE, BUDGET) and status.metrics else None

    def write_topk(self, part: str, topk: pd.DataFrame) -> None:
        """Store a ranking [user, item, rank, score] for ``part``, one of ``TOPK_PARTS``."""
        write_parquet(self.topk(part), topk[list(TOPK_COLUMNS)].astype(_TOPK_TYPES))

    def read_topk(self, part: str, k: Optional[int] = None) -> pd.DataFrame:
        """The stored ranking for ``part``.

        Args:
            part: one of ``TOPK_PARTS``.
            k: ranks to read, from the first; None for all.

        Returns:
            DataFrame [user, item (int64 or str), rank int32, score float32].

        Raises:
            DataError: the ranking was not stored, or is not what the status vouches for.
        """
        filters = None if k is None else [(RANK, "<=", k)]
        self._check_whole(self.topk(part))
        return _read_parquet(self.topk(part), TOPK_COLUMNS, filters)

    def read_per_user(self, metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
        """The stored per-user metrics: DataFrame [user, one column a metric]. Raises DataError if missing."""
        self._check_whole(self.per_user)
        return _read_parquet(self.per_user, (USER, *metrics))

    def has_topk(self, part: str) -> bool:
        """Whether a ranking was stored for ``part``. Raises DataError where one was and is gone."""
        if self.topk(part).is_file():
            return True
        self._check_whole(self.topk(part))
        return False

    def _check_whole(self, path: Path) -> None:
        """Raise DataError where a file is not what the status vouches for; without a status nothing is known."""
        vouched = self.read_status().files.get(path.name) if self.status.exists() else None
        if vouched is None:
            return
        if not path.is_file():
            raise DataError(f"{path} is not there, though status.json vouches for it; {REDO}")
        found = stored_file(path)
        if found != vouched:
            how = f"has {found.size:,} bytes" if found.size != vouched.size else "has other content"
            raise DataError(f"{path} {how}; expected the {vouched.size:,} bytes that status.json vouches for; {REDO}")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, ``runs/<dataset>``."""

    path: Path

    @property
    def manifest(self) -> Path:
        """The ``RunManifest`` record."""
        return self.path / "manifest.json"

    @property
    def split(self) -> Path:
        """Folder of the train, validation and test rows."""
        return self.path / "split"

    @property
    def deleted(self) -> Path:
        """What ``--fresh`` is about to delete."""
        return self.path / ".deleted"

    def contents(self) -> list[Path]:
        """What commands have made of this run and is there, but for the manifest and what `tune` made."""
        names = ("models", "ensembles", "submissions", "split", "training", "report.html")
        there = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(path for path in there if path.name in names or path.name.startswith("leaderboard"))

    def searches(self) -> list[Path]:
        """What `tune` has made in this folder and is there: the trials, and the best parameters."""
        return [path for path in (self.path / "configs", self.path / "trials") if path.is_dir()]

    def searched_models(self) -> list[str]:
        """The models that `tune` has trials or best parameters of in this folder, by name."""
        trials = [path.name for path in (self.path / "trials").glob("*") if path.is_dir()]
        return sorted({*trials, *(path.stem for path in (self.path / "configs" / "models").glob("*.yaml"))})

    def leaderboard(self, kind: str) -> Path:
        """The written board of ``kind`` "csv", "md" or "html"."""
        return self.path / f"leaderboard.{kind}"

    def leaderboard_by(self, segment: str) -> Path:
        """The written board by ``segment``, one of ``user_segments.BY``."""
        return self.path / f"leaderboard_by_{Path(segment).stem}.csv"

    @property
    def report(self) -> Path:
        """The written report, a page for people."""
        return self.path / "report.html"

    def submission(self, name: str) -> Path:
        """The submission of the model or ensemble ``name``."""
        return self.path / "submissions" / f"{name}.csv"

    def training_state(self, name: str) -> Path:
        """How far the model ``name`` has trained; there while it does, and after its process was killed."""
        return self.path / "training" / f"{name}.npz"

    def model(self, name: str) -> ModelFolder:
        """The folder of the model ``name``, there or not."""
        return ModelFolder(self.path / "models" / name)

    def ensemble(self, name: str) -> ModelFolder:
        """The folder of the ensemble ``name``, there or not."""
        return ModelFolder(self.path / "ensembles" / name)

    def models(self) -> list[ModelFolder]:
        """The folders of the models that are there, by name."""
        return _folders(self.path / "models")

    def ensembles(self) -> list[ModelFolder]:
        """The folders of the ensembles that are there, by name."""
        return _folders(self.path / "ensembles")

    def find(self, name: str) -> ModelFolder:
        """The folder of the model or ensemble ``name``. Raises ConfigError if there is none."""
        there = {folder.name: folder for folder in self.ensembles() + self.models()}
        if name not in there:
            hint = did_you_mean(name, there) or f"expected one of this run, {', '.join(sorted(there)) or 'none yet'};"
            raise ConfigError(
                f"{self.path} has no model or ensemble {name!r}; {hint} run the model first or correct the name"
            )
        return there[name]

    def write_manifest(self, manifest: RunManifest) -> None:
        """Store ``manifest``; once this has come back it survives a power cut."""
        write_text(self.manifest, manifest.to_json(), durable=True)

    def read_manifest(self) -> RunManifest:
        """The stored manifest. Raises DataError where this is no run folder or the file is damaged."""
        step = "give a run's folder, such as runs/ml-100k, or make one with `python -m movierec_bench run`"
        return RunManifest.from_json(_read_text(self.manifest, step), where=str(self.manifest))


def _folders(parent: Path) -> list[ModelFolder]:
    if not parent.is_dir():
        return []
    return [ModelFolder(path) for path in sorted(parent.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _read_text(path: Path, step: str) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path} is no regular file; expected a file this library wrote; {step}")
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path} is not there; expected a file this library wrote; {step}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8 text; expected JSON; {step}") from error


def _read_parquet(
    path: Path, columns: tuple[str, ...], filters: Optional[list[tuple[str, str, int]]] = None
) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} is not there; expected the columns {', '.join(columns)}; {_DELETE}")
    try:
        return pd.read_parquet(path, engine="pyarrow", columns=list(columns), filters=filters)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:  # by what of the file is damaged
        raise DataError(f"{path}: {error}; expected a whole parquet file; {_DELETE}") from error
