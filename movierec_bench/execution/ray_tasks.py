"""Runs models on the nodes of a Ray cluster, as `processes` runs them on this machine.

The nodes share no disk. The data set and the split travel through Ray's object store, once to a node. There a
Ray worker lays them out in a scratch folder and lets `processes.run_tasks` run the model, so that it has a
process of its own, is measured like one here, and can crash without the worker; the files it leaves come back
as the task's result. So a worker that is lost means a lost node, and its models start again on another.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from movierec_bench.data.atomic import MANIFEST
from movierec_bench.data.atomic_format import SUFFIXES
from movierec_bench.errors import ConfigError
from movierec_bench.execution.jobs import Job
from movierec_bench.execution.processes import Ended, NotStarted, Send, Task, describe, run_tasks
from movierec_bench.execution.ray_cluster import difference, environment, has_room, in_words, on_node
from movierec_bench.execution.scratch import scratch_folder
from movierec_bench.runs.files import replacing
from movierec_bench.runs.folder import RunFolder

logger = logging.getLogger(__name__)

MAX_LOSSES = 3  # nodes a model may lose; then it counts as failed

_POLL_SECONDS = 0.25
_STOP_SECONDS = 15.0  # for models to heed a stop before they are killed

Files = dict[str, np.ndarray]  # relative path -> uint8 [bytes]: arrays leave the object store without a copy
Work = Callable[[Any, Send], None]


@dataclass(frozen=True)
class Placed:
    """Sent when a task begins on a node; ``node`` is its address and the beginning of its Ray id."""

    node: str


@dataclass(frozen=True)
class _Outcome:
    error: Optional[str]
    files: Files
    started: bool = True  # False where the node had no room for it before the time for all was over


@dataclass(frozen=True)
class _Order:
    """What a Ray worker is told. ``attempt`` tells its messages from those of an attempt that was lost."""

    task: Task
    work: Work
    attempt: int
    threads: int
    environment: Mapping[str, str]
    timeout: Optional[float]
    until: Optional[float]


@dataclass(frozen=True)
class _Local:
    """What the model's own process is told."""

    job: Job
    work: Work
    scratch: Path
    gpus: str


@dataclass
class _Attempt:
    task: Task
    number: int = 1
    node: Optional[str] = None  # where it runs; None while it waits for room


def run_tasks_on_ray(
    tasks: Sequence[Task],
    work: Work,
    workers: Optional[int] = None,
    timeout: Optional[float] = None,
    until: Optional[float] = None,
) -> Generator[tuple[Task, Any], None, None]:
    """Run ``work(task.argument, send)`` for every task on the cluster this process is connected to.

    Each gets the CPUs and GPUs that ``catalog.resources`` of its model asks for, and as many threads as CPUs.

    Args:
        tasks: in the order they are submitted; each ``argument`` is a `Job`, all of one run.
        work: a module-level function that reads the job's data set and split and writes into its run's folder.
        workers: tasks at once; None: as many as the cluster has room for.
        timeout: seconds on a node after which a task is ended and has failed. None: no limit.
        until: seconds since 1970, by each node's clock, after which no task is started and all that run are ended.
            None: no limit.

    Yields:
        As `processes.run_tasks`: (task, message) for every message, and (task, Ended) or (task, NotStarted) once for
        every task, when its files are in the run's folder here; besides, (task, Placed) when it begins on a node, again
        each time it starts again because its node was lost.

    Closing the generator stops what runs on the nodes.

    Raises:
        ConfigError: Ray has ended on this machine; what was finished is in the run's folder.
    """
    import ray

    if not tasks:
        return
    office = _Office(tasks[0].argument, work, timeout, until)
    waiting = [_Attempt(task) for task in tasks]
    running: dict[Any, _Attempt] = {}
    try:
        while waiting or running:
            while waiting and (workers is None or len(running) < workers):
                attempt = waiting.pop(0)
                if until is not None and time.time() >= until:
                    yield attempt.task, NotStarted()
                    continue
                running[office.submit(attempt)] = attempt
            over, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
            for name, number, message in office.messages():
                sender = _find(running, name, number)
                if sender is None:
                    continue  # a last word from a node that counts as lost
                if isinstance(message, Placed):
                    sender.node = message.node
                yield sender.task, message
            for reference in over:
                attempt = running.pop(reference)
                ended = _end(reference, attempt)
                if ended is None:
                    waiting.insert(0, replace(attempt, number=attempt.number + 1, node=None))
                else:
                    yield attempt.task, ended
            for reference in _without_room(running):
                attempt = running.pop(reference)
                ray.cancel(reference)
                wish = in_words(attempt.task.argument.entry.resources)
                yield attempt.task, Ended(f"no node of the cluster has {wish}, which its YAML asks for")
    finally:
        _stop(list(running))


class _Office:
    """Submits tasks; holds the inputs and the mailbox they share."""

    def __init__(self, job: Job, work: Work, timeout: Optional[float], until: Optional[float]) -> None:
        import ray

        self._work = work
        self._timeout, self._until = timeout, until
        self._environment = environment()
        self._inputs = ray.put(_inputs(job))
        here = on_node(ray.get_runtime_context().get_node_id())
        actor: Any = ray.remote(num_cpus=0)(_Mailbox)
        self._mailbox = actor.options(scheduling_strategy=here).remote()

    def messages(self) -> list[tuple[str, int, Any]]:
        """What came from the nodes since the last time: task's name, attempt, message."""
        import ray

        try:
            return ray.get(self._mailbox.drain.remote())
        except ray.exceptions.RayActorError as error:
            raise ConfigError(
                "Ray has ended on this machine, and the connection to the cluster with it; what was finished is kept; "
                "start Ray here again (`ray start`) and run the same command to go on from there"
            ) from error

    def submit(self, attempt: _Attempt) -> Any:
        """Ray's reference to the `_Outcome` to come."""
        import ray

        wish = attempt.task.argument.entry.resources
        threads = max(1, int(wish["cpu"]))
        order = _Order(attempt.task, self._work, attempt.number, threads, self._environment, self._timeout, self._until)
        # Ray itself retries nothing: it would not tell, and it takes the death of a process for that of a node.
        remote: Any = ray.remote(_work_on_node)
        return remote.options(
            num_cpus=wish["cpu"],
            num_gpus=wish["gpu"],
            max_retries=0,
            scheduling_strategy="SPREAD",
            name=attempt.task.name,
        ).remote(order, self._inputs, self._mailbox)


class _Mailbox:
    """A Ray actor on this machine that keeps the messages of all nodes in the order they came."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, int, Any]] = []

    def put(self, name: str, attempt: int, message: Any) -> None:
        self._messages.append((name, attempt, message))

    def drain(self) -> list[tuple[str, int, Any]]:
        messages, self._messages = self._messages, []
        return messages


def _find(running: Mapping[Any, _Attempt], name: str, number: int) -> Optional[_Attempt]:
    return next((one for one in running.values() if (one.task.name, one.number) == (name, number)), None)


def _end(reference: Any, attempt: _Attempt) -> Union[Ended, NotStarted, None]:
    """How the attempt ended, with its files put into the run's folder; None: its node was lost, try again."""
    import ray

    task = attempt.task
    try:
        outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    else:
        _keep(outcome.files, task.argument)
        return Ended(outcome.error) if outcome.started else NotStarted()
    where = f"node {attempt.node}" if attempt.node else "its node"
    if not _means_a_lost_node(cause):  # raised around the model: no space on the node's disk, its memory guard
        return Ended(f"on {where}: {describe(cause)}")
    if attempt.number >= MAX_LOSSES:
        return Ended(f"{where} was lost ({type(cause).__name__}), as {MAX_LOSSES - 1} others before it")
    logger.warning("%s: %s was lost (%s); %s starts again", task.name, where, type(cause).__name__, task.name)
    return None


def _means_a_lost_node(cause: BaseException) -> bool:
    from ray import exceptions

    # The system error is that of a worker which outlived its node's Ray and had nobody to give its result to.
    lost = (exceptions.NodeDiedError, exceptions.WorkerCrashedError, exceptions.ObjectLostError)
    return isinstance(cause, (*lost, exceptions.RaySystemError))


def _without_room(running: Mapping[Any, _Attempt]) -> list[Any]:
    """Those that wait for what no living node has: Ray would let them wait for ever."""
    return [
        reference
        for reference, attempt in running.items()
        if not attempt.node and not has_room(attempt.task.argument.entry.resources)
    ]


def _stop(references: list[Any]) -> None:
    import ray

    deaf = references
    try:
        for reference in references:
            ray.cancel(reference)  # a KeyboardInterrupt there, so that the model is stopped and its scratch removed
        if references:
            _, deaf = ray.wait(references, num_returns=len(references), timeout=_STOP_SECONDS)
    finally:  # also where a second interrupt ends the waiting
        for reference in deaf:
            ray.cancel(reference, force=True)


# -- on the node ------------------------------------------------------------------------------


def _work_on_node(order: _Order, inputs: Files, mailbox: Any) -> _Outcome:
    """What a Ray worker does."""
    import ray

    kept: list[Any] = []  # Ray's references to the last message's keeping, and so to that of all before it

    def send(message: Any) -> None:
        # Nothing is waited for here: Ray gives the CPUs of a task that waits to another.
        kept[:] = [mailbox.put.remote(order.task.name, order.attempt, message)]

    context = ray.get_runtime_context()
    address, node_id = ray.util.get_node_ip_address(), context.get_node_id()
    send(Placed(f"{address} ({node_id[:8]})"))
    differs = difference(environment(), order.environment)  # a node that joined after the run began
    if differs:
        return _Outcome(f"node {address} {differs}", {})
    with scratch_folder() as scratch:
        _write(inputs, scratch)
        there, task = order.task.argument, order.task
        job = replace(there, dataset=scratch / "atomic" / there.dataset.name, run=scratch / "run")
        # Newer Rays leave CUDA_VISIBLE_DEVICES of the node to a task that asked for no GPU.
        gpus = ",".join(str(gpu) for gpu in ray.get_gpu_ids())
        argument = _Local(job, order.work, scratch, gpus)
        here = Task(task.name, argument, job.staged.log)
        error, started = None, True
        for _, message in run_tasks([here], _work_in_own_process, 1, order.threads, order.timeout, order.until):
            if isinstance(message, Ended):
                error = message.error
            elif isinstance(message, NotStarted):
                started = False
            else:
                send(message)
        if error is not None:  # may name the log, which will be elsewhere
            error = error.replace(str(here.log), str(task.log))
        outcome = _Outcome(error, _results(job), started)
    ray.get(kept)  # no message is on its way any more when the task ends
    return outcome


def _work_in_own_process(local: _Local, send: Send) -> None:
    tempfile.tempdir = str(local.scratch)  # so that nothing is left behind by a process that is killed
    os.environ["CUDA_VISIBLE_DEVICES"] = local.gpus  # the server that forked us may have had others
    local.work(local.job, send)


# -- files ------------------------------------------------------------------------------------


def _inputs(job: Job) -> Files:
    """The atomic files and the split, as `_work_on_node` lays them out."""
    name = job.dataset.name
    atomic = [job.dataset / MANIFEST, *(job.dataset / f"{name}.{suffix}" for suffix in SUFFIXES)]
    split = RunFolder(job.run).split.glob("*.parquet")
    return {
        **{f"atomic/{name}/{path.name}": _read(path) for path in atomic if path.is_file()},
        **{f"run/split/{path.name}": _read(path) for path in split},
    }


def _results(job: Job) -> Files:
    """Every file the model has left in the run's folder; not those that it was killed while writing."""
    split = RunFolder(job.run).split
    return {
        path.relative_to(job.run).as_posix(): _read(path)
        for path in sorted(job.run.rglob("*"))
        if path.is_file() and split not in path.parents and not path.name.startswith(".")
    }


def _keep(files: Files, job: Job) -> None:
    """Put a model's files into the run's folder, its status last: its presence means that the rest is there."""
    status = job.staged.status.relative_to(job.run).as_posix()
    last = {status: files[status]} if status in files else {}
    _write({**{name: content for name, content in files.items() if name != status}, **last}, job.run)


def _read(path: Path) -> np.ndarray:
    return np.fromfile(path, dtype=np.uint8)


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            content.tofile(temporary)
