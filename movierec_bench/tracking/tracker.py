"""MLflow: where a run is tracked, and an upload in the background that never holds a benchmark up."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import BenchError, ConfigError, readable
from movierec_bench.runs.addresses import is_address, is_ambiguous, public_address, without_secrets
from movierec_bench.runs.command import check_positive
from movierec_bench.runs.files import sweep
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import MAIN_METRIC, EpochRecord, PathLike
from movierec_bench.tracking.answers import ANSWER, SECRET_VARIABLES

logger = logging.getLogger(__name__)

URI_VARIABLE = "MLFLOW_TRACKING_URI"  # MLflow's own
SWITCH_VARIABLE = "MOVIEREC_BENCH_TRACK"
GRACE_SECONDS = 60  # that a run, all done, waits for its last uploads
_LAST_BYTES, _LAST_CHARACTERS = 1 << 16, 1000  # of what an upload that broke has said

# MLflow would try each request again for minutes; here the next model's end, or `track`, tries again. A request that
# is not repeated makes no MLflow run twice, either. Whoever sets these variables is heeded.
_MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Tracked:
    """A run folder whose every result is in an MLflow store.

    Args:
        uri: the store.
        experiment_id: MLflow's id of the experiment, which is the data set.
        parent_ids: MLflow's ids of the runs that stand for the folder: one, or one a searched model.
        uploaded: the models, mixes and trials that were sent now.
        kept: those that were there already.
        unreadable: those with a damaged file, which were not sent, or not whole.
    """

    uri: str
    experiment_id: str
    parent_ids: tuple[str, ...]
    uploaded: tuple[str, ...]
    kept: tuple[str, ...]
    unreadable: tuple[str, ...]

    def describe(self) -> str:
        """One line: what was done, and how to look at it."""
        counts = f"{len(self.uploaded)} uploaded, {len(self.kept)} there before"
        if self.unreadable:
            counts += f", not readable: {', '.join(self.unreadable)}"
        return f"tracked ({counts}) in {_look(self.uri, self.experiment_id)}"


def track(run: PathLike, tracking_uri: Optional[str] = None, timeout: float = 1800) -> Tracked:
    """Upload to MLflow whatever the store lacks of a run: again and again without anything being there twice.

    Args:
        run: a run's folder, such as ``runs/ml-100k``, or one of searches, such as ``tuned/ml-100k``.
        tracking_uri: an MLflow server or database. None: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` beside
            the run's folder.
        timeout: seconds that the upload may take in all; what was sent stays, and the same command sends the rest.

    Raises:
        ConfigError: the store is not to be reached, refuses, or is too slow; or another process is uploading this run.
        DataError: ``run`` is no run folder.
    """
    check_positive("--timeout", timeout)
    folder = RunFolder(Path(run))
    uri = store_uri(folder, tracking_uri)
    uploader = _UploadProcess(folder, uri, announce=False)
    try:
        uploader.end(timeout)
        if uploader.error is not None:
            raise ConfigError(f"{uploader.error}; correct that and run the same command again")
        return uploader.tracked()
    finally:
        uploader.kill()


class Tracking:
    """What a benchmark tells as it goes.

    Attributes:
        line: at the end, one line that says where the run is tracked, or why not and what to do; None: not wanted.
    """

    def __init__(self, uploader: Optional[_UploadProcess]) -> None:
        self._uploader = uploader
        self.line: Optional[str] = None

    def finished(self, name: str) -> None:
        """The model, mix or trial of this name has ended, well or not, and will not change any more."""
        if self._uploader is not None:
            self._uploader.send(name)

    def epoch(self, model: str, record: EpochRecord, label: Optional[str] = None, search: Optional[str] = None) -> None:
        """A model or trial has trained an epoch of its fit; the store shows it while it goes on.

        Args:
            model: the model's name, or a trial's fingerprint.
            record: the epoch.
            label: what people call it; None: as ``model``.
            search: the model whose parameters the trial is of; None for a model of a benchmark.
        """
        if self._uploader is not None:
            numbers = {"train_loss": record.train_loss, f"valid_{MAIN_METRIC}": record.valid_recall}
            told = {
                "model": model,
                "label": label or model,
                "search": search,
                "epoch": record.epoch,
                "seconds": record.seconds,
                **numbers,
            }
            self._uploader.send(json.dumps(told))


@contextmanager
def open_tracking(run: RunFolder, tracking_uri: Optional[str], no_track: bool) -> Iterator[Tracking]:
    """Upload a run in the background while it goes on, and the rest at the end of the block.

    A store that is down, slow or dies costs the block nothing and its end `GRACE_SECONDS` at most; `Tracking.line`
    then says so. After an error in the block, Ctrl-C included, the upload is broken off; `track` completes it.

    Args:
        run: the run's folder, which holds its manifest already.
        tracking_uri: as in `track`.
        no_track: upload nothing, as does ``MOVIEREC_BENCH_TRACK=0``.

    Raises:
        ConfigError: ``tracking_uri`` or the environment is not what it should be.
    """
    if no_track or not _switched_on():
        yield Tracking(None)
        return
    uri = store_uri(run, tracking_uri)
    uploader = _UploadProcess(run, uri, announce=True)
    try:
        told = Tracking(uploader)
        yield told
        uploader.end(GRACE_SECONDS)
        if uploader.error is None:
            told.line = uploader.tracked().describe()
        else:
            again = shlex.join(["python", "-m", "movierec_bench", "track", str(run.path)])
            if tracking_uri is not None:
                again += f" --tracking-uri {shlex.quote(public_address(tracking_uri))}"
            told.line = f"not tracked: {uploader.error}; {again} uploads later"
    finally:
        uploader.kill()


def store_uri(run: RunFolder, tracking_uri: Optional[str]) -> str:
    """The MLflow tracking URI in force. Raises ConfigError where it is none."""
    given = {"--tracking-uri": tracking_uri, URI_VARIABLE: os.environ.get(URI_VARIABLE)}
    for source, uri in given.items():
        if not uri:
            continue
        if not is_address(uri):
            raise ConfigError(  # which does not show it: parts of it may be secret
                f"{source} is no address; expected the address of an MLflow server, such as http://127.0.0.1:5000, "
                "or a database, such as sqlite:///runs/mlflow.db"
            )
        return uri
    return f"sqlite:///{(run.path.parent / 'mlflow.db').as_posix()}"


class _UploadProcess:
    """The process that uploads, and what it has answered so far."""

    def __init__(self, run: RunFolder, uri: str, announce: bool) -> None:
        _identify(run)
        self._beside_run = run.path.parent
        self._announce = announce
        self.answer: dict[str, Any] = {}
        self.uploaded: list[str] = []
        self._given_up: Optional[str] = None
        self._uri = public_address(uri)
        self._secret_uri = uri
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        # No multiprocessing: a child of it would share MLflow's locks and SQLite's files with whoever forked it,
        # and would run the user's script again to find its main module.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "movierec_bench.tracking.upload_process", str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={
                **_MLFLOW_SETTINGS,
                **os.environ,
                URI_VARIABLE: uri,  # not among the arguments, which everybody on the machine may read
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends this process itself
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name="tracking")
        self._reader.start()

    @property
    def error(self) -> Optional[str]:
        """Why the last upload did not succeed; None where it did."""
        if self._given_up is not None:
            return self._given_up
        if self._process.poll():
            return f"the upload broke with exit code {self._process.returncode}: {self._last_words()}"
        if not self.answer:
            return f"the upload ended without an answer: {self._last_words()}"
        return self.answer.get("error")

    def _last_words(self) -> str:
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - _LAST_BYTES))
        lines = self._complaints.read().decode(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "nothing said")
        passwords = [os.environ[name] for name in SECRET_VARIABLES if os.environ.get(name)]
        # Where programs disagree about the password's end, any word of the message may be a part of it.
        said = "it said why, with the password" if is_ambiguous(self._secret_uri) else said
        return readable(without_secrets(said, self._secret_uri, *passwords), _LAST_CHARACTERS)

    def tracked(self) -> Tracked:
        """What was done; there is an answer where there is no error."""
        answer = self.answer
        return Tracked(
            uri=self._uri,
            experiment_id=answer["experiment_id"],
            parent_ids=tuple(answer["parent_ids"]),
            uploaded=tuple(self.uploaded),
            kept=tuple(name for name in answer["kept"] if name not in self.uploaded),
            unreadable=tuple(answer["unreadable"]),
        )

    def send(self, name: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            logger.debug("%s: the upload has ended before", name)  # `error` says why at the end

    def end(self, timeout: float) -> None:
        """Have everything uploaded, the board too, and wait for it so many seconds."""
        self.send("")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._given_up = f"{self._uri} was not done after {timeout:.0f} seconds"
            logger.warning("%s", self._given_up)
            return
        self._reader.join()
        if self._process.returncode and self._announce:
            logger.warning("%s", self.error)

    def kill(self) -> None:
        """End the process, whatever it is doing; what it has sent stays and is completed another time."""
        assert self._process.stdin is not None
        self._process.kill()
        with suppress(BrokenPipeError):  # of a name that it was not there to read
            self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._complaints.close()
        sweep(self._beside_run)  # a database that it was making

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            mark, text = line[: len(ANSWER)], line[len(ANSWER) :]
            if mark != ANSWER.encode():
                continue  # not ours: what a site has every Python print
            before, self.answer = self.answer, json.loads(text)
            self.uploaded += self.answer.get("uploaded", [])
            if not self._announce:
                continue
            if "error" in self.answer and "error" not in before:
                logger.warning("%s; the run goes on", self.answer["error"])
            elif "error" in before and "error" not in self.answer:
                logger.info("tracking in %s goes on", self._uri)


def _identify(run: RunFolder) -> None:
    """Give the run a new id for the store where it has none, or where its folder is a copy of another run's."""
    manifest, home = run.read_manifest(), str(run.path.resolve())
    is_copy = manifest.home not in ("", home) and _holds(manifest.home, manifest.run_id)
    if manifest.home == home and manifest.run_id:
        return
    run_id = uuid.uuid4().hex if is_copy or not manifest.run_id else manifest.run_id
    sweep(run.path)  # what a command that was killed here had begun
    run.write_manifest(replace(manifest, run_id=run_id, home=home))


def _holds(home: str, run_id: str) -> bool:
    """Whether the run of that id still lies there, so that another with it is a copy and not the run, moved."""
    try:
        return RunFolder(Path(home)).read_manifest().run_id == run_id
    except (BenchError, OSError):
        return False


def _look(uri: str, experiment_id: str) -> str:
    """Where the results are and how to see them."""
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/#/experiments/{experiment_id}"
    return f"{uri}: {shlex.join(['mlflow', 'ui', '--backend-store-uri', uri])}"


def _switched_on() -> bool:
    value = os.environ.get(SWITCH_VARIABLE, "1")
    if value not in ("0", "1"):
        raise ConfigError(f"{SWITCH_VARIABLE} is {value!r}; expected 0, to track nothing, or 1")
    return value == "1"
