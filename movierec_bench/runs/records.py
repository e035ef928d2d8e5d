"""The records kept in a run folder, as JSON."""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, Optional, TypeVar, get_args, get_origin, get_type_hints

from movierec_bench.data.json_text import parse_json
from movierec_bench.data.split import CANDIDATES_FILE
from movierec_bench.errors import DataError, readable
from movierec_bench.schema import COVERAGE, METRICS

DONE, FAILED, SKIPPED, BUDGET = "done", "failed", "skipped", "budget"
STATES = (DONE, FAILED, SKIPPED, BUDGET)
STATUS_METRICS = (*METRICS, COVERAGE, "ci_low", "ci_high")
ENSEMBLE = "ensemble"  # the family that a mix of models shows on the board
SUBMISSION = "submission.csv"  # in ``Status.files``: submissions/<Model>.csv
REDO = "run the command that made it again, and it is redone"

_LARGEST = 2**63 - 1  # of integers: what a table of 64-bit numbers holds
_MOST_CHARACTERS = 2000  # of an error
_LONGEST_NAME = 200


_Record = TypeVar("_Record")


@dataclass(frozen=True)
class StoredFile:
    """What a file must be to be whole: its size in bytes and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Fingerprint:
    """What a stored result depends on: a hash each of the fit and of the refit, None where it did not run."""

    fit: Optional[str] = None
    refit: Optional[str] = None


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of each phase of one model; None where the phase did not run.

    ``fit`` is validated, ``test_fit`` learns from the validation rows too, ``refit`` from every row.
    """

    load: Optional[float] = None
    fit: Optional[float] = None
    rank: Optional[float] = None
    score: Optional[float] = None
    refit: Optional[float] = None
    submit: Optional[float] = None
    test_fit: Optional[float] = None


@dataclass(frozen=True)
class Status:
    """How one model fared in a run: the content of its ``status.json``.

    Args:
        model: the model's name.
        state: one of ``STATES``; ``budget`` is a model that training time stopped and that kept its best.
        family: one of ``schema.FAMILIES``, or ``ENSEMBLE`` for a mix.
        source: "ours", "adapted" (RecBole's, changed by us) or "recbole".
        error: why the model failed or was skipped; made `readable`.
        fingerprint: what the result depends on, compared when a run is resumed.
        seconds: wall-clock seconds of each phase.
        peak_rss_mb: peak resident memory of the model's process in MiB; None where not measured.
        epochs: epochs trained in the fit; None for closed-form models.
        best_epoch: the epoch with the best validation Recall@10, counted from 1.
        stage_epochs: parameters, epochs of earlier stages that time may have cut short; a refit repeats them.
        chosen: parameters that the fit chose on the validation rows; a refit takes them.
        metrics: every key of ``STATUS_METRICS``, or empty where nothing was scored.
        users: users with held-out rows.
        missing_users: those of them that the model could not rank.
        budget: seconds of training that the fit and the refit were each allowed; None for no limit.
        fit_out_of_budget: whether the budget ended the fit.
        filter: the candidate filter in force; None for none.
        seed: seed of everything random in the model; None in folders of older versions.
        versions: package name to version, and Python's, where the model was trained.
        device: where PyTorch had the model, such as ``cpu`` or ``cuda``; None where not recorded.
        threads: threads that its numerical libraries used; None where not recorded.
        code_hash: hash of the model's own source; None for a mix, and in folders of older versions.
        reads: settings that the model's training looked up, some of which stand in no YAML of its own; sorted.
        files: every file that this status vouches for, by name: those of the model's folder, and ``SUBMISSION`` for
            ``submissions/<Model>.csv``. Empty in folders of older versions.
        members: of a mix, each member's `result_hash` when the mix was made.

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
    chosen: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    users: int = 0
    missing_users: int = 0
    budget: Optional[float] = None
    fit_out_of_budget: bool = False
    filter: Optional[str] = None
    seed: Optional[int] = None
    versions: dict[str, str] = field(default_factory=dict)
    device: Optional[str] = None
    threads: Optional[int] = None
    code_hash: Optional[str] = None
    reads: tuple[str, ...] = ()
    files: dict[str, StoredFile] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.error is not None:  # whoever made the folder, or whatever a model said
            object.__setattr__(self, "error", readable(self.error, _MOST_CHARACTERS))
        for name in self.files:
            parts = name.split("/")  # of a kept model's own folder
            if len(name) > _LONGEST_NAME or any(part in ("", ".", "..") for part in parts) or {"\\", "\0"} & set(name):
                raise DataError(f"status of {self.model}: files names {name!r:.60}; expected names of files; {REDO}")
        if self.state not in STATES:
            raise DataError(f"status of {self.model}: state is {self.state!r}; expected one of {STATES}; {REDO}")
        if self.metrics and set(self.metrics) != set(STATUS_METRICS):
            odd = sorted(set(self.metrics) ^ set(STATUS_METRICS))
            raise DataError(
                f"status of {self.model}: metrics missing or unknown: {odd}; "
                f"expected none at all or exactly {list(STATUS_METRICS)}; {REDO}"
            )

    @property
    def result_hash(self) -> str:
        """16 hexadecimal digits that differ where the result does: of what it depends on, and of its rankings.

        A mix keeps those of its members, so that it is known to be stale once a member was redone.
        """
        rankings = {name: file.sha256 for name, file in self.files.items() if name.startswith("topk_")}
        content = [asdict(self.fingerprint), rankings, self.metrics if not rankings else {}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def with_files(self, files: Mapping[str, StoredFile]) -> Status:
        """This status, vouching for these files."""
        return replace(self, files=dict(sorted(files.items())))

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

    Seed, versions, command and commit are those of the command that made the folder; what a later command trained
    says its own in its ``status.json``.

    Args:
        dataset: name of the data set.
        atomic: folder that holds the data set's folder, as the user wrote it.
        data_hash: hash of the atomic files.
        protocol: name of the evaluation protocol.
        protocol_hash: hash of every setting of the protocol.
        seed: seed of the command that made the folder.
        versions: package name to version, then.
        command: the command that made the run.
        run_id: what MLflow knows this folder by; made anew with the folder. Empty in folders of older versions.
        git_revision: commit of the working directory's repository; None without one.
        lacking: what models may require and cannot have here, of ``catalog.REQUIREMENTS``, comma-separated.
        home: absolute path of the folder when it was given ``run_id``; empty before it was tracked.
        split: the files of the split, by name; empty until they are on disk, and in folders of older versions.
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
    lacking: str = ""
    home: str = ""
    split: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def lists_candidates(self) -> bool:
        """Whether the test ranks no movies but those that came listed with the data."""
        return CANDIDATES_FILE in self.split

    def to_json(self) -> str:
        """This record as JSON text."""
        return _json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str = "manifest.json") -> RunManifest:
        """The record that ``to_json`` wrote. Raises DataError where the text is damaged."""
        return _decode(cls, _json_object(text, where), where)


# Fields that came later: folders written before them are still read.
_LATER_FIELDS: Mapping[type, tuple[str, ...]] = {
    Status: ("seed", "versions", "threads", "code_hash", "reads", "files", "members", "device", "chosen"),
    Seconds: ("test_fit",),
    RunManifest: ("run_id", "git_revision", "lacking", "home", "split"),
}


def _json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(_null_for_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _null_for_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} line {error.lineno}: {error.msg}; expected a whole JSON object; {REDO}") from error
    except ValueError as error:
        raise DataError(f"{where}: {error}; expected a whole JSON object; {REDO}") from error
    return _of_kind((dict,), content, where)


def _decode(record: type[_Record], payload: dict[str, Any], where: str) -> _Record:
    """The dataclass ``record`` filled from ``payload``, whose types are checked against its annotations."""
    hints = get_type_hints(record)
    absent = [name for name in hints if name not in payload and name not in _LATER_FIELDS.get(record, ())]
    if absent:
        raise DataError(f"{where}: {', '.join(absent)} missing; expected {', '.join(hints)}; {REDO}")
    there = {name: hint for name, hint in hints.items() if name in payload}
    return record(**{name: _value(hint, payload[name], f"{where}: {name}") for name, hint in there.items()})


def _value(hint: Any, found: Any, where: str) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return _decode(hint, _of_kind((dict,), found, where), where)
    if get_origin(hint) is dict:
        entries = _of_kind((dict,), found, where)
        return {key: _value(get_args(hint)[1], entry, f"{where}: {key}") for key, entry in entries.items()}
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], entry, where) for entry in _of_kind((list,), found, where))
    if hint is float and found is None:
        return math.nan
    return _of_kind(get_args(hint) or (hint,), found, where)


def _of_kind(kinds: tuple[type[Any], ...], found: Any, where: str) -> Any:
    allowed = (*kinds, int) if float in kinds else kinds
    if isinstance(found, bool) != (bool in kinds) or not isinstance(found, allowed):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        shown = repr(found) if isinstance(found, (str, int, float)) else reprlib.repr(found)  # not of what is nested
        raise DataError(f"{where} is {shown:.60}; expected {expected}; {REDO}")
    if isinstance(found, int) and abs(found) > _LARGEST:
        raise DataError(f"{where} has {len(str(abs(found)))} digits; expected a smaller number; {REDO}")
    return found
