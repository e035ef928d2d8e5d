"""Puts the folder of a benchmark or of searches into an MLflow store, once: what is there is not sent again.

The folder is only read.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.addresses import is_ambiguous, public_address, without_secrets
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.locks import locked
from movierec_bench.runs.records import RunManifest
from movierec_bench.runs.trials import TrialFolder, searched
from movierec_bench.tracking.answers import SECRET_VARIABLES
from movierec_bench.tracking.entries import (
    Parent,
)
from movierec_bench.tracking.live import Training
from movierec_bench.tracking.model_runs import RunParent
from movierec_bench.tracking.store import open_store
from movierec_bench.tracking.stored_runs import StoredRuns
from movierec_bench.tracking.trial_runs import SearchParent

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # stores without a server, which keep no artifacts themselves
_LOCK_SECONDS = 10
_TRAINING_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens others as "GenAI"


@dataclass(frozen=True)
class UploadResult:
    """What one call of `upload` did.

    Args:
        experiment_id: MLflow's id of the experiment, which is the data set.
        parent_ids: MLflow's ids of the runs that stand for the folder: one, or one a searched model.
        uploaded: the models, mixes and trials that were sent.
        kept: those that the store had already.
        unreadable: those with a damaged file, which are not sent, or not whole.
    """

    experiment_id: str
    parent_ids: tuple[str, ...]
    uploaded: tuple[str, ...]
    kept: tuple[str, ...]
    unreadable: tuple[str, ...]


def upload(
    run: RunFolder,
    uri: str,
    names: Optional[Collection[str]] = None,
    training: Optional[Mapping[str, Training]] = None,
) -> UploadResult:
    """Send what the store at ``uri`` lacks of the folder of a benchmark or of searches.

    An upload that broke off is completed; a model or trial that was redone replaces its earlier MLflow run, which is
    deleted as MLflow deletes: it can be restored until `mlflow gc`.

    Args:
        run: the folder.
        uri: an MLflow tracking URI.
        names: `Result.label` of what to send, while the benchmark goes on. None: everything, the board too, and the
            parent runs are marked as finished.
        training: models whose numbers were sent while they trained; the runs that hold them become their results'.

    Raises:
        ConfigError: the store is not to be reached or refuses; or another process is uploading this folder.
        DataError: ``run`` is no run folder.
    """
    manifest = run.read_manifest()
    ids: list[str] = []
    sent: list[str] = []
    kept: list[str] = []
    unreadable: list[str] = []
    with _one_at_a_time(run), _store_errors(uri):
        client = open_store(uri)
        experiment_id = _experiment(client, manifest.dataset, _artifact_location(run, uri))
        for parent in _parents(run, manifest):
            try:
                results = [result for result in parent.results() if names is None or result.label in names]
            except DataError as error:
                logger.warning("%s", error)
                unreadable.append(parent.name)
                continue
            store = StoredRuns.open(client, experiment_id, manifest, parent)
            ids.append(store.parent_id)
            for result in results:
                try:
                    (sent if store.put(result, (training or {}).get(result.name)) else kept).append(result.label)
                except DataError as error:  # one model's damaged file must not stand in the way of the others
                    logger.warning("%s", error)
                    unreadable.append(result.label)
            if names is None:
                store.finish()
    return UploadResult(experiment_id, tuple(ids), tuple(sent), tuple(kept), tuple(unreadable))


def send_training(run: RunFolder, uri: str, training: Collection[Training]) -> None:
    """Send the epochs of models and trials in training; what a command killed halfway left of such a one is deleted.

    Raises:
        ConfigError: as `upload` does.
    """
    manifest = run.read_manifest()
    with _one_at_a_time(run), _store_errors(uri):
        client = open_store(uri)
        experiment_id = _experiment(client, manifest.dataset, _artifact_location(run, uri))
        stores: dict[Optional[str], StoredRuns] = {}
        for model in training:
            if model.search not in stores:
                source = _parent_of(run, manifest, model.search)
                stores[model.search] = StoredRuns.open(client, experiment_id, manifest, source)
            store = stores[model.search]
            if model.run is None:
                store.delete_unfinished(model.name)
            model.send(client, experiment_id, store.tags_of_child(model.name))


def _parent_of(run: RunFolder, manifest: RunManifest, search: Optional[str]) -> Parent:
    """What the runs of a benchmark's models stand under, or those of the trials of one model."""
    return RunParent(run, manifest) if search is None else SearchParent(run, manifest, TrialFolder.of(run, search))


def _parents(run: RunFolder, manifest: RunManifest) -> list[Parent]:
    """What of the folder becomes a parent run: a benchmark, or each search of `tune`."""
    searches: list[Parent] = [SearchParent(run, manifest, folder) for folder in searched(run)]
    if run.models() or run.ensembles() or not (run.path / "trials").is_dir():
        return [RunParent(run, manifest), *searches]
    return searches


def _experiment(client: MlflowClient, name: str, location: Optional[str]) -> str:
    from mlflow.exceptions import MlflowException

    there = client.get_experiment_by_name(name)
    if there is not None:
        if there.lifecycle_stage == "deleted":
            raise ConfigError(
                f"the MLflow experiment {name!r} was deleted; expected one that takes runs; restore it with "
                f"`mlflow experiments restore -x {there.experiment_id}`, or empty the bin with `mlflow gc`"
            )
        for key, value in _TRAINING_KIND.items():
            if key not in there.tags:
                client.set_experiment_tag(there.experiment_id, key, value)
        return str(there.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=location, tags=_TRAINING_KIND))
    except MlflowException:
        there = client.get_experiment_by_name(name)  # another run may have made it just now
        if there is None:
            raise
        return str(there.experiment_id)


def _artifact_location(run: RunFolder, uri: str) -> Optional[str]:
    """Where artifacts go: beside the runs for a plain database; None where a server decides."""
    if not re.match(rf"({'|'.join(_DATABASES)})(\+\w+)?:", uri):
        return None
    return (run.path.parent / "mlartifacts" / run.path.name).resolve().as_uri()


@contextmanager
def _one_at_a_time(run: RunFolder) -> Iterator[None]:
    """Two uploads of one run at once would each send what the other sends."""
    held = f"{run.path} is being uploaded by another process; expected none; wait for it to end and try again"
    with locked(run.path.parent / f".{run.path.name}.upload.lock", _LOCK_SECONDS, held):
        yield


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        # Where programs disagree about the password's end, any word of the message may be a part of it.
        reason = type(error).__name__ if is_ambiguous(uri) else without_secrets(_reason(error), uri, *_passwords())
        raise ConfigError(f"the MLflow store did not take everything: {public_address(uri)}: {reason}") from error


def _passwords() -> list[str]:
    return [os.environ[name] for name in SECRET_VARIABLES if os.environ.get(name)]


def _reason(error: BaseException) -> str:
    """One line for an error of MLflow's, whose own text may be pages of nested exceptions."""
    text = " ".join(str(error).split())
    if "Connection refused" in text:
        return "nothing answers there (connection refused)"
    if re.search("time(d )?out", text):
        return "no answer in time"
    return f"{type(error).__name__}: {text[:300]}"
