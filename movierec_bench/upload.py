"""Puts a run's folder into an MLflow store, once: what the store holds already is not sent again.

The folder is only read. Run as a module (`python -m movierec_bench.upload RUN`) this is the process that `tracking`
starts beside a benchmark, so that neither MLflow's imports nor a store that hangs are ever the benchmark's concern.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TextIO

from filelock import FileLock, Timeout

from movierec_bench.mlflow_entries import (
    BOARD,
    COMPLETE,
    METRICS_A_CALL,
    MODEL,
    PARAMS_A_CALL,
    PARENT,
    RESULT,
    RUN_ID,
    batches,
    child_tags,
    duration,
    key_of,
    metrics_of,
    params_of,
    parent_tags,
)
from movierec_bench.results import BUDGET, DONE, ModelFolder, RunFolder, RunManifest, Status
from movierec_bench.schema import MAIN_METRIC, BenchError, ConfigError, DataError

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # stores without a server, which keep no artifacts themselves
_LOCK_SECONDS = 10


@dataclass(frozen=True)
class Uploaded:
    """What one call of `upload` did.

    Args:
        experiment_id: MLflow's id of the experiment, which is the data set.
        parent_id: MLflow's id of the run that stands for the whole folder.
        uploaded: the models and mixes that were sent.
        kept: those that the store had already.
        unreadable: those with a damaged file, which are not sent, or not whole.
    """

    experiment_id: str
    parent_id: str
    uploaded: tuple[str, ...]
    kept: tuple[str, ...]
    unreadable: tuple[str, ...]


def upload(run: RunFolder, uri: str, names: Optional[Collection[str]] = None) -> Uploaded:
    """Send what the store at ``uri`` lacks of the run.

    An upload that broke off is completed; a model that was redone replaces its earlier MLflow run, which is
    deleted as MLflow deletes: it can be restored until `mlflow gc`.

    Args:
        run: the run's folder.
        uri: an MLflow tracking URI.
        names: models and mixes to send, while the benchmark goes on. None: everything, the board too, and the run
            is marked as finished.

    Raises:
        ConfigError: the store is not to be reached or refuses; or another process is uploading this run.
        DataError: ``run`` is no run folder.
    """
    manifest = run.read_manifest()
    with _one_at_a_time(run), _store_errors(uri):
        store = _Store.open(run, manifest, uri)
        folders = [folder for folder in run.models() + run.ensembles() if names is None or folder.name in names]
        sent: list[str] = []
        kept: list[str] = []
        unreadable: list[str] = []
        for folder in folders:
            if not folder.status.exists():
                continue  # still in training, or killed there
            try:
                (sent if store.put_model(folder, folder.read_status()) else kept).append(folder.name)
            except DataError as error:  # one model's damaged file must not stand in the way of the others
                logger.warning("%s", error)
                unreadable.append(folder.name)
        if names is None:
            store.finish()
        return Uploaded(store.experiment_id, store.parent_id, tuple(sent), tuple(kept), tuple(unreadable))


@dataclass
class _Store:
    """The MLflow runs of one run folder, as found at the beginning and kept up to date."""

    client: MlflowClient
    run: RunFolder
    manifest: RunManifest
    experiment_id: str
    parent: Run
    children: list[Run]

    @classmethod
    def open(cls, run: RunFolder, manifest: RunManifest, uri: str) -> _Store:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, manifest.dataset, _artifact_location(run, uri))
        runs = list(_search(client, experiment_id, manifest.run_id))
        children = [found for found in runs if PARENT in found.data.tags]
        parents = [found for found in runs if PARENT not in found.data.tags]
        # A request that timed out may have made a parent too many: the one that has the children is ours.
        adopted = {child.data.tags[PARENT] for child in children}
        parents.sort(key=lambda found: (found.info.run_id not in adopted, found.info.start_time, found.info.run_id))
        for spare in parents[1:]:
            client.delete_run(spare.info.run_id)
        parent = parents[0] if parents else _new_parent(client, experiment_id, run, manifest)
        for child in children:  # also where the parent was deleted by hand
            if child.data.tags[PARENT] != parent.info.run_id:
                client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
        return cls(client, run, manifest, experiment_id, parent, children)

    @property
    def parent_id(self) -> str:
        return str(self.parent.info.run_id)

    def put_model(self, folder: ModelFolder, status: Status) -> bool:
        """Whether anything had to be sent to have this result, and no other of the model, in the store."""
        result = _hash(folder.status)
        there = [child for child in self.children if child.data.tags.get(MODEL) == folder.name]
        same = [child for child in there if child.data.tags.get(RESULT) == result]
        same.sort(key=lambda child: (COMPLETE not in child.data.tags, child.info.start_time, child.info.run_id))
        child = same[0] if same else self._new_child(folder, status, result)
        sent = COMPLETE not in child.data.tags
        if sent:
            self._fill(child, folder, status)
        for other in there:  # of an earlier result, or made twice by a request that timed out
            if other.info.run_id != child.info.run_id:
                self.client.delete_run(other.info.run_id)
        return sent

    def _new_child(self, folder: ModelFolder, status: Status, result: str) -> Run:
        tags = {**child_tags(self.manifest, folder.name, status), RESULT: result, PARENT: self.parent_id}
        started = _written(folder.status) - duration(status)
        return self.client.create_run(self.experiment_id, started, tags, run_name=folder.name)

    def _fill(self, child: Run, folder: ModelFolder, status: Status) -> None:
        """Send all of a result. Nothing here depends on the time or place, so that doing it again changes nothing."""
        run_id, start = child.info.run_id, child.info.start_time
        for params in batches(params_of(folder, status), PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params)
        for metrics in batches(metrics_of(folder, status, start), METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=metrics)
        for path in sorted(folder.path.iterdir()):
            if path.is_file() and not path.name.startswith("."):  # a dot: a file that is being written
                self.client.log_artifact(run_id, str(path))
        submission = self.run.submission(folder.name)
        if submission.is_file():
            self.client.log_artifact(run_id, str(submission), "submission")
        state = "FINISHED" if status.state in (DONE, BUDGET) else "FAILED"
        self.client.set_terminated(run_id, state, start + duration(status))
        self.client.set_tag(run_id, COMPLETE, "true")

    def finish(self) -> None:
        """Send the board and end the parent, unless this very board is there."""
        boards = [path for path in map(self.run.leaderboard, ("csv", "md", "html")) if path.is_file()]
        state = _hash(*boards, self.run.manifest)
        if self.parent.data.tags.get(BOARD) == state:
            return
        for path in (*boards, self.run.manifest):
            self.client.log_artifact(self.parent_id, str(path))
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in parent_tags(self.manifest).items()]
        self.client.log_batch(self.parent_id, tags=tags)
        folders = self.run.models() + self.run.ensembles()
        statuses = [folder.finished() for folder in folders]
        recalls = [status.metrics[MAIN_METRIC] for status in statuses if status is not None]
        if recalls:
            self.client.log_metric(self.parent_id, f"best_{key_of(MAIN_METRIC)}", max(recalls))
        ends = [_written(folder.status) for folder in folders if folder.status.exists()]
        self.client.set_terminated(self.parent_id, "FINISHED", max(ends, default=None))
        self.client.set_tag(self.parent_id, BOARD, state)


def _experiment(client: MlflowClient, name: str, location: Optional[str]) -> str:
    from mlflow.exceptions import MlflowException

    there = client.get_experiment_by_name(name)
    if there is not None:
        if there.lifecycle_stage == "deleted":
            raise ConfigError(
                f"the MLflow experiment {name!r} was deleted; expected one that takes runs; restore it with "
                f"`mlflow experiments restore -x {there.experiment_id}`, or empty the bin with `mlflow gc`"
            )
        return str(there.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=location))
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


def _new_parent(client: MlflowClient, experiment_id: str, run: RunFolder, manifest: RunManifest) -> Run:
    tags = parent_tags(manifest)
    parent = client.create_run(experiment_id, _written(run.manifest), tags, run_name=run.path.name)
    for key in ("dataset", "data_hash", "protocol", "protocol_hash"):
        client.log_param(parent.info.run_id, key, getattr(manifest, key))
    return parent


def _hash(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _written(path: Path) -> int:
    """When the file was written, unix time in milliseconds."""
    return path.stat().st_mtime_ns // 1_000_000


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
        reason = hide_password(f"{hide_password(uri)}: {_reason(error)}")
        raise ConfigError(f"the MLflow store did not take everything: {reason}") from error


def _reason(error: BaseException) -> str:
    """One line for an error of MLflow's, whose own text may be pages of nested exceptions."""
    text = " ".join(str(error).split())
    if "Connection refused" in text:
        return "nothing answers there (connection refused)"
    if re.search("time(d )?out", text):
        return "no answer in time"
    return f"{type(error).__name__}: {text[:300]}"


def hide_password(text: str) -> str:
    """The text with the user and password of every URL in it left out."""
    return re.sub(r"://[^@/\s]+@", "://***@", text)


def main() -> None:
    """Upload the run in ``sys.argv[1]`` to ``MLFLOW_TRACKING_URI``, as told through standard input.

    Each line names a model that has ended; an empty one says that the benchmark has: everything else follows, and
    this process ends. An input that ends without it is a benchmark that was killed, whose MLflow run stays
    unfinished. Each upload is answered by a line of JSON: ``{"error": text}`` or the fields of `Uploaded`.
    """
    run, uri = RunFolder(Path(sys.argv[1])), os.environ["MLFLOW_TRACKING_URI"]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    if hasattr(os, "nice"):
        os.nice(10)  # the models come first
    ended: set[str] = set()
    rest = b""
    _answer(answers, run, uri, ended)  # at once, so that a store that is down is known from the start
    while read := os.read(sys.stdin.fileno(), 1 << 16):
        *lines, rest = (rest + read).split(b"\n")
        ended.update(line.decode() for line in lines)
        _answer(answers, run, uri, None if "" in ended else ended)
        if "" in ended:
            return


def _answer(answers: TextIO, run: RunFolder, uri: str, names: Optional[Collection[str]]) -> None:
    try:
        answer: dict[str, Any] = asdict(upload(run, uri, names))
    except BenchError as error:
        answer = {"error": str(error)}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
