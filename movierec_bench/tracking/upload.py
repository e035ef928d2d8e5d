"""Puts the folder of a benchmark or of searches into an MLflow store, once: what is there is not sent again.

The folder is only read. Run as a module (`python -m movierec_bench.tracking.upload RUN`) this is the process that
`tracker` starts beside a benchmark, so that neither MLflow's imports nor a store that hangs are ever the benchmark's
concern.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TextIO

from filelock import FileLock, Timeout

from movierec_bench.errors import BenchError, ConfigError, DataError
from movierec_bench.runs.addresses import is_ambiguous, public_address, without_secrets
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import RunManifest
from movierec_bench.runs.trials import searched
from movierec_bench.tracking.answers import ANSWER, SECRET_VARIABLES
from movierec_bench.tracking.entries import (
    BEST,
    BOARD,
    COMPLETE,
    METRICS_A_CALL,
    PARAMS_A_CALL,
    PARENT,
    RESULT,
    RUN_ID,
    Parent,
    Result,
    as_params,
    batches,
    dataset_input,
    hash_files,
)
from movierec_bench.tracking.kept_models import log_kept_model
from movierec_bench.tracking.live import Training
from movierec_bench.tracking.model_runs import RunParent
from movierec_bench.tracking.trial_runs import SearchParent

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # stores without a server, which keep no artifacts themselves
_LOCK_SECONDS = 10
_TRAINING_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens others as "GenAI"
_PAUSE_SECONDS = 1.0  # between two looks at models in training, whose processor this is


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
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, manifest.dataset, _artifact_location(run, uri))
        for parent in _parents(run, manifest):
            try:
                results = [result for result in parent.results() if names is None or result.label in names]
            except DataError as error:
                logger.warning("%s", error)
                unreadable.append(parent.name)
                continue
            store = _Store.open(client, experiment_id, manifest, parent)
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
    """Send the epochs of models in training; what an earlier benchmark left of such a model, killed halfway, goes.

    Raises:
        ConfigError: as `upload` does.
    """
    manifest = run.read_manifest()
    with _one_at_a_time(run), _store_errors(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, manifest.dataset, _artifact_location(run, uri))
        store = _Store.open(client, experiment_id, manifest, RunParent(run, manifest))
        for model in training:
            if model.run is None:
                store.delete_unfinished(model.name)
            model.send(client, experiment_id, store.tags_of_child(model.name))


def _parents(run: RunFolder, manifest: RunManifest) -> list[Parent]:
    """What of the folder becomes a parent run: a benchmark, or each search of `tune`."""
    searches: list[Parent] = [SearchParent(run, manifest, folder) for folder in searched(run)]
    if run.models() or run.ensembles() or not (run.path / "trials").is_dir():
        return [RunParent(run, manifest), *searches]
    return searches


@dataclass
class _Store:
    """The MLflow runs of one parent, as found at the beginning and kept up to date."""

    client: MlflowClient
    experiment_id: str
    manifest: RunManifest
    source: Parent
    parent: Run
    children: list[Run]

    @classmethod
    def open(cls, client: MlflowClient, experiment_id: str, manifest: RunManifest, source: Parent) -> _Store:
        runs = list(_search(client, experiment_id, source.run_id))
        children = [found for found in runs if PARENT in found.data.tags]
        parents = [found for found in runs if PARENT not in found.data.tags]
        # A request that timed out may have made a parent too many: the one that has the children is ours.
        adopted = {child.data.tags[PARENT] for child in children}
        parents.sort(key=lambda found: (found.info.run_id not in adopted, found.info.start_time, found.info.run_id))
        for spare in parents[1:]:
            client.delete_run(spare.info.run_id)
        parent = parents[0] if parents else _new_parent(client, experiment_id, manifest, source)
        for child in children:  # also where the parent was deleted by hand
            if child.data.tags[PARENT] != parent.info.run_id:
                client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
        return cls(client, experiment_id, manifest, source, parent, children)

    @property
    def parent_id(self) -> str:
        return str(self.parent.info.run_id)

    def _child_name(self, child: Run) -> str:
        return str(child.data.tags.get(self.source.child_tag))

    def tags_of_child(self, name: str) -> dict[str, str]:
        """Tags of any child of that `Result.name`."""
        return {
            **self.source.tags(),
            RUN_ID: self.source.run_id,
            self.source.child_tag: name,
            PARENT: self.parent_id,
        }

    def delete_unfinished(self, name: str) -> None:
        """Delete runs of a model of that name in training."""
        for child in [child for child in self.children if self._child_name(child) == name]:
            if RESULT not in child.data.tags:
                self._delete(child)

    def put(self, result: Result, training: Optional[Training] = None) -> bool:
        """Whether anything had to be sent to have this result, and no other of its name, in the store."""
        digest = result.digest()
        there = [child for child in self.children if self._child_name(child) == result.name]
        same = [child for child in there if child.data.tags.get(RESULT) == digest]
        same.sort(key=lambda child: (COMPLETE not in child.data.tags, child.info.start_time, child.info.run_id))
        if same:
            child = same[0]
        elif training is not None and training.run is not None:
            child = training.run
            training.become(self.client, result, digest)
        else:
            child = self._new_child(result, digest)
        sent = COMPLETE not in child.data.tags
        if sent:
            self._fill(child, result)
        for other in there:  # of an earlier result, or made twice by a request that timed out
            if other.info.run_id != child.info.run_id:
                self._delete(other)
        return sent

    def _new_child(self, result: Result, digest: str) -> Run:
        tags = {**self.tags_of_child(result.name), **result.tags(), RESULT: digest}
        started = result.ended() - result.duration()
        child = self.client.create_run(self.experiment_id, started, tags, run_name=result.label)
        self.children.append(child)
        return child

    def _delete(self, child: Run) -> None:
        self.client.delete_run(child.info.run_id)
        self.children.remove(child)

    def _fill(self, child: Run, result: Result) -> None:
        """Send all of a result. Nothing here depends on the time or place, so that doing it again changes nothing."""
        run_id, start = child.info.run_id, child.info.start_time
        for params in batches(as_params(result.params()), PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params)
        for metrics in batches(result.metrics(start), METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=metrics)
        for path, folder in result.files():
            self.client.log_artifact(run_id, str(path), folder)
        self.client.log_inputs(run_id, [dataset_input(self.manifest)])
        model = result.kept_model()
        if model is not None:
            log_kept_model(self.client, run_id, model)
        state = "FINISHED" if result.succeeded() else "FAILED"
        self.client.set_terminated(run_id, state, start + result.duration())
        self.client.set_tag(run_id, COMPLETE, "true")

    def finish(self) -> None:
        """Send what the parent holds itself and end it, unless just that is there."""
        for child in [child for child in self.children if not self.source.keeps(self._child_name(child))]:
            self._delete(child)
        self._mark_best()
        files = self.source.files()
        state = hash_files(*(path for path, _ in files))
        if self.parent.data.tags.get(BOARD) == state:
            return
        for path, folder in files:
            self.client.log_artifact(self.parent_id, str(path), folder)
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in self.source.tags().items()]
        self.client.log_batch(self.parent_id, tags=tags)
        for key, value in self.source.metrics().items():
            self.client.log_metric(self.parent_id, key, value)
        self.client.set_terminated(self.parent_id, "FINISHED", self.source.ended())
        self.client.set_tag(self.parent_id, BOARD, state)

    def _mark_best(self) -> None:
        best = self.source.best()
        for child in self.children:
            run_id, is_best = child.info.run_id, best is not None and self._child_name(child) == best
            if is_best and BEST not in child.data.tags:
                self.client.set_tag(run_id, BEST, "true")
            elif BEST in child.data.tags and not is_best:
                self.client.delete_tag(run_id, BEST)


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


def _search(client: MlflowClient, experiment_id: str, run_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _new_parent(client: MlflowClient, experiment_id: str, manifest: RunManifest, source: Parent) -> Run:
    tags = {**source.tags(), RUN_ID: source.run_id}
    parent = client.create_run(experiment_id, source.created, tags, run_name=source.name)
    client.log_batch(parent.info.run_id, params=as_params(source.params()))
    client.log_inputs(parent.info.run_id, [dataset_input(manifest)])
    return parent


@contextmanager
def _one_at_a_time(run: RunFolder) -> Iterator[None]:
    """Two uploads of one run at once would each send what the other sends."""
    lock = FileLock(run.path.parent / f".{run.path.name}.upload.lock", timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{run.path} is being uploaded by another process; expected none; wait for it to end and try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


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


def main() -> None:
    """Upload the run in ``sys.argv[1]`` to ``MLFLOW_TRACKING_URI``, as told through standard input.

    A line of JSON is an epoch that a model in training has ended: ``{"model": .., "epoch": .., "seconds": ..}`` and
    other numbers. Any other line names a model, mix or trial that has ended; an empty one says that the benchmark
    has: everything else follows, and this process ends. An input that ends before is a benchmark that was killed: this
    process ends at once, and the MLflow run stays unfinished. Each upload is answered by `ANSWER` and JSON on a line of
    its own: ``{"error": text}`` or the fields of `UploadResult`.
    """
    run, uri = RunFolder(Path(sys.argv[1])), os.environ["MLFLOW_TRACKING_URI"]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    if hasattr(os, "nice"):
        os.nice(10)  # the models come first
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(told,), daemon=True, name="listen").start()
    ended: set[str] = set()
    training: dict[str, Training] = {}
    _answer(answers, run, uri, ended, training)  # at once, so that a store that is down is known from the start
    while "" not in ended:
        before = len(ended)
        _heed(told.get(), ended, training)
        while not told.empty():
            _heed(told.get(), ended, training)
        waiting = [model for model in training.values() if model.waiting and model.name not in ended]
        if waiting and "" not in ended:
            _send_training(answers, run, uri, waiting)
        if len(ended) > before:
            _answer(answers, run, uri, None if "" in ended else ended, training)
        else:
            time.sleep(_PAUSE_SECONDS)


def _heed(line: str, ended: set[str], training: dict[str, Training]) -> None:
    if not line.startswith("{"):
        ended.add(line)
        return
    epoch = json.loads(line)
    name = epoch.pop("model")
    training.setdefault(name, Training(name)).add(epoch)


def _listen(told: queue.SimpleQueue[str]) -> None:
    """Hand the lines of the input on; where it ends, whoever waits for this upload is gone."""
    rest = b""
    while read := os.read(sys.stdin.fileno(), 1 << 16):
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            told.put(line.decode())
    os._exit(1)


def _answer(
    answers: TextIO, run: RunFolder, uri: str, names: Optional[Collection[str]], training: Mapping[str, Training]
) -> None:
    try:
        answer: dict[str, Any] = asdict(upload(run, uri, names, training))
    except BenchError as error:
        answer = {"error": str(error)}
    _say(answers, answer)


def _send_training(answers: TextIO, run: RunFolder, uri: str, training: Collection[Training]) -> None:
    try:
        send_training(run, uri, training)
    except BenchError as error:
        _say(answers, {"error": str(error)})


def _say(answers: TextIO, answer: Mapping[str, Any]) -> None:
    answers.write(f"\n{ANSWER}{json.dumps(answer)}\n")
    answers.flush()


if __name__ == "__main__":
    main()
