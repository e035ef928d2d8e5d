"""The layout of a run folder, the records kept in it, and how its files are written.

Every path of a run is spelled here and nowhere else. A file appears under its name only once it is
complete, so a killed process leaves either the old file or the new one, never half of one.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Optional, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from movierec_bench.schema import (
    COVERAGE,
    ITEM,
    METRICS,
    RANK,
    SCORE,
    TOPK_COLUMNS,
    USER,
    ConfigError,
    DataError,
)

DONE, FAILED, SKIPPED, BUDGET = "done", "failed", "skipped", "budget"
STATES = (DONE, FAILED, SKIPPED, BUDGET)
STATUS_METRICS = (*METRICS, COVERAGE, "ci_low", "ci_high")
TOPK_PARTS = ("valid", "test", "full")
ENSEMBLE = "ensemble"  # the family that a mix of models shows on the board

_TOPK_TYPES = {USER: np.int64, ITEM: np.int64, RANK: np.int32, SCORE: np.float32}
_LATER_FIELDS = ("run_id", "git_revision")  # of RunManifest; folders written before them are still read
_REDO = "run the same command again to have it redone"
_DELETE = "delete this model's folder and run again"
_Record = TypeVar("_Record")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` and renames it onto ``path`` when the block ends well.

    Args:
        path: the file to write; its folder is made where it is missing.

    Yields:
        A path to write to. After an error in the block it is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8 with the line ends it has."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Writes ``value`` as YAML with sorted keys."""
    write_text(path, yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes ``table`` without its index; floats unrounded, missing values empty, lines ended by LF."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Writes ``table`` without its index, dictionary-encoded and compressed with zstd."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd", use_dictionary=True)


@dataclass(frozen=True)
class Fingerprint:
    """What a stored result depends on: a hash each of the fit and of the refit, None where it did not run."""

    fit: Optional[str] = None
    refit: Optional[str] = None


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of each phase of one model; None where the phase did not run."""

    load: Optional[float] = None
    fit: Optional[float] = None
    rank: Optional[float] = None
    score: Optional[float] = None
    refit: Optional[float] = None
    submit: Optional[float] = None


@dataclass(frozen=True)
class Status:
    """How one model fared in a run: the content of its ``status.json``.

    Args:
        model: the model's name.
        state: one of ``STATES``; ``budget`` is a model that training time stopped and that kept its best.
        family: one of ``schema.FAMILIES``, or ``ENSEMBLE`` for a mix.
        source: "ours" or "recbole".
        error: why the model failed or was skipped.
        fingerprint: what the result depends on, compared when a run is resumed.
        seconds: wall-clock seconds of each phase.
        peak_rss_mb: peak resident memory of the model's process in MiB; None where not measured.
        epochs: epochs trained in the fit; None for closed-form models.
        best_epoch: the epoch with the best validation Recall@10, counted from 1.
        stage_epochs: parameters, epochs of earlier stages that time may have cut short; a refit repeats them.
        metrics: every key of ``STATUS_METRICS``, or empty where nothing was scored.
        users: users with held-out rows.
        missing_users: those of them that the model could not rank.
        budget: seconds of training that the fit and the refit were each allowed; None for no limit.
        fit_out_of_budget: whether the budget ended the fit.
        filter: the candidate filter in force; None for none.

    Raises:
        DataError: the state or the metrics are not the ones above.
    """

    model: str
    state: str
    family: str
    source: str
    error: Optional[str] = None
    fingerprint: Fingerprint = Fingerprint()
    seconds: Seconds = Seconds()
    peak_rss_mb: Optional[float] = None
    epochs: Optional[int] = None
    best_epoch: Optional[int] = None
    stage_epochs: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    users: int = 0
    missing_users: int = 0
    budget: Optional[float] = None
    fit_out_of_budget: bool = False
    filter: Optional[str] = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise DataError(f"status of {self.model}: state is {self.state!r}; expected one of {STATES}; {_REDO}")
        if self.metrics and set(self.metrics) != set(STATUS_METRICS):
            odd = sorted(set(self.metrics) ^ set(STATUS_METRICS))
            raise DataError(
                f"status of {self.model}: metrics missing or unknown: {odd}; "
                f"expected none at all or exactly {list(STATUS_METRICS)}; {_REDO}"
            )

    def to_json(self) -> str:
        """This record as JSON text; a metric that is not a number is written as null."""
        return _json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str = "status.json") -> Status:
        """The record that ``to_json`` wrote.

        Args:
            text: the JSON text.
            where: the file it came from, for messages.

        Raises:
            DataError: the text is not JSON, or a field is missing or of the wrong type.
        """
        return _decode(cls, _json_object(text, where), where)


@dataclass(frozen=True)
class RunManifest:
    """What every result of a run rests on: the content of the run's ``manifest.json``.

    Args:
        dataset: name of the data set.
        atomic: folder that holds the data set's folder, as the user wrote it.
        data_hash: hash of the atomic files.
        protocol: name of the evaluation protocol.
        protocol_hash: hash of every setting of the protocol.
        seed: seed of the run.
        versions: package name to version.
        command: the command that made the run.
        run_id: what MLflow knows this folder by; made anew with the folder. Empty in folders of before.
        git_revision: commit of the working directory's repository; None without one.
    """

    dataset: str
    atomic: str
    data_hash: str
    protocol: str
    protocol_hash: str
    seed: int
    versions: dict[str, str]
    command: str
    run_id: str = ""
    git_revision: Optional[str] = None

    def to_json(self) -> str:
        """This record as JSON text."""
        return _json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str = "manifest.json") -> RunManifest:
        """The record that ``to_json`` wrote. Raises DataError where the text is damaged."""
        return _decode(cls, _json_object(text, where), where)


@dataclass(frozen=True)
class ModelFolder:
    """The files of one model or of one ensemble in a run."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the model or ensemble."""
        return self.path.name

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

    def topk(self, part: str) -> Path:
        """The stored ranking for ``part``, one of ``TOPK_PARTS``. Raises ConfigError for another name."""
        if part not in TOPK_PARTS:
            raise ConfigError(f"no ranking is called {part!r}; expected one of {TOPK_PARTS}")
        return self.path / f"topk_{part}.parquet"

    def write_status(self, status: Status) -> None:
        """Stores ``status``."""
        write_text(self.status, status.to_json())

    def read_status(self) -> Status:
        """The stored status. Raises DataError where it is missing or damaged."""
        return Status.from_json(_read_text(self.status, _REDO), where=str(self.status))

    def finished(self) -> Optional[Status]:
        """The status of a model that was scored to the end; None for any other, and where the file is damaged."""
        try:
            status = self.read_status()
        except DataError:  # one model's missing or damaged file must not stand in the way of the others
            return None
        return status if status.state in (DONE, BUDGET) and status.metrics else None

    def write_topk(self, part: str, topk: pd.DataFrame) -> None:
        """Stores a ranking [user, item, rank, score] for ``part``, one of ``TOPK_PARTS``."""
        write_parquet(self.topk(part), topk[list(TOPK_COLUMNS)].astype(_TOPK_TYPES))

    def read_topk(self, part: str, k: Optional[int] = None) -> pd.DataFrame:
        """The stored ranking for ``part``.

        Args:
            part: one of ``TOPK_PARTS``.
            k: ranks to read, from the first; None for all.

        Returns:
            DataFrame [user int64, item int64, rank int32, score float32].

        Raises:
            DataError: the ranking was not stored.
        """
        filters = None if k is None else [(RANK, "<=", k)]
        return _read_parquet(self.topk(part), TOPK_COLUMNS, filters)

    def read_per_user(self, metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
        """The stored per-user metrics: DataFrame [user, one column a metric]. Raises DataError if missing."""
        return _read_parquet(self.per_user, (USER, *metrics))


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

    def leaderboard(self, kind: str) -> Path:
        """The written board of ``kind`` "csv", "md" or "html"."""
        return self.path / f"leaderboard.{kind}"

    def leaderboard_by(self, segment: str) -> Path:
        """The written board by ``segment``, one of ``segments.BY``."""
        return self.path / f"leaderboard_by_{segment}.csv"

    def submission(self, name: str) -> Path:
        """The submission of the model or ensemble ``name``."""
        return self.path / "submissions" / f"{name}.csv"

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
            close = difflib.get_close_matches(name, there) or sorted(there)
            raise ConfigError(
                f"{self.path} has no model or ensemble {name!r}; expected one of this run, "
                f"such as {', '.join(close) or 'none yet'}; run the model first or correct the name"
            )
        return there[name]

    def write_manifest(self, manifest: RunManifest) -> None:
        """Stores ``manifest``."""
        write_text(self.manifest, manifest.to_json())

    def read_manifest(self) -> RunManifest:
        """The stored manifest. Raises DataError where this is no run folder or the file is damaged."""
        step = "give a run's folder, such as runs/ml-100k, or make one with `python -m movierec_bench run`"
        return RunManifest.from_json(_read_text(self.manifest, step), where=str(self.manifest))


def _json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(_null_for_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _null_for_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        return _of_kind((dict,), json.loads(text), where)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} line {error.lineno}: {error.msg}; expected a whole JSON object; {_REDO}") from error


def _decode(record: type[_Record], payload: dict[str, Any], where: str) -> _Record:
    """The dataclass ``record`` filled from ``payload``, whose types are checked against its annotations."""
    hints = get_type_hints(record)
    absent = [name for name in hints if name not in payload and name not in _LATER_FIELDS]
    if absent:
        raise DataError(f"{where}: {', '.join(absent)} missing; expected {', '.join(hints)}; {_REDO}")
    there = {name: hint for name, hint in hints.items() if name in payload}
    return record(**{name: _value(hint, payload[name], f"{where}: {name}") for name, hint in there.items()})


def _value(hint: Any, found: Any, where: str) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return _decode(hint, _of_kind((dict,), found, where), where)
    if get_origin(hint) is dict:
        entries = _of_kind((dict,), found, where)
        return {key: _value(get_args(hint)[1], entry, f"{where}: {key}") for key, entry in entries.items()}
    if hint is float and found is None:
        return math.nan
    return _of_kind(get_args(hint) or (hint,), found, where)


def _of_kind(kinds: tuple[type[Any], ...], found: Any, where: str) -> Any:
    allowed = (*kinds, int) if float in kinds else kinds
    if isinstance(found, bool) != (bool in kinds) or not isinstance(found, allowed):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise DataError(f"{where} is {found!r:.60}; expected {expected}; {_REDO}")
    return found


def _folders(parent: Path) -> list[ModelFolder]:
    if not parent.is_dir():
        return []
    return [ModelFolder(path) for path in sorted(parent.iterdir()) if path.is_dir()]


def _read_text(path: Path, step: str) -> str:
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
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: {error}; expected a whole parquet file; {_DELETE}") from error
