"""The records kept in a run folder, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Optional, TypeVar, get_args, get_origin, get_type_hints

from movierec_bench.errors import DataError
from movierec_bench.schema import COVERAGE, METRICS

DONE, FAILED, SKIPPED, BUDGET = "done", "failed", "skipped", "budget"
STATES = (DONE, FAILED, SKIPPED, BUDGET)
STATUS_METRICS = (*METRICS, COVERAGE, "ci_low", "ci_high")
ENSEMBLE = "ensemble"  # the family that a mix of models shows on the board
_LATER_FIELDS = ("run_id", "git_revision", "lacking")  # of RunManifest; folders written before them are still read
REDO = "run the same command again to have it redone"


_Record = TypeVar("_Record")


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
        source: "ours", "adapted" (RecBole's, changed by us) or "recbole".
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
            raise DataError(f"status of {self.model}: state is {self.state!r}; expected one of {STATES}; {REDO}")
        if self.metrics and set(self.metrics) != set(STATUS_METRICS):
            odd = sorted(set(self.metrics) ^ set(STATUS_METRICS))
            raise DataError(
                f"status of {self.model}: metrics missing or unknown: {odd}; "
                f"expected none at all or exactly {list(STATUS_METRICS)}; {REDO}"
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
        lacking: what models may require and cannot have here, of ``catalog.REQUIREMENTS``, comma-separated.
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

    def to_json(self) -> str:
        """This record as JSON text."""
        return _json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str = "manifest.json") -> RunManifest:
        """The record that ``to_json`` wrote. Raises DataError where the text is damaged."""
        return _decode(cls, _json_object(text, where), where)


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
        raise DataError(f"{where} line {error.lineno}: {error.msg}; expected a whole JSON object; {REDO}") from error


def _decode(record: type[_Record], payload: dict[str, Any], where: str) -> _Record:
    """The dataclass ``record`` filled from ``payload``, whose types are checked against its annotations."""
    hints = get_type_hints(record)
    absent = [name for name in hints if name not in payload and name not in _LATER_FIELDS]
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
    if hint is float and found is None:
        return math.nan
    return _of_kind(get_args(hint) or (hint,), found, where)


def _of_kind(kinds: tuple[type[Any], ...], found: Any, where: str) -> Any:
    allowed = (*kinds, int) if float in kinds else kinds
    if isinstance(found, bool) != (bool in kinds) or not isinstance(found, allowed):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise DataError(f"{where} is {found!r:.60}; expected {expected}; {REDO}")
    return found
