"""Runs jobs in processes of their own, so that whatever happens to one leaves the others alone."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import time
import types
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Callable, Optional

import psutil

from movierec_bench.execution.capped_log import CappedLog
from movierec_bench.execution.scratch import sockets_in_scratch, sweep_scratch
from movierec_bench.execution.task_process import (
    Failure,
    Finished,
    Send,
    describe,
    limit_threads,
    run_task,
    usable_cpus,
    without_interrupts,
)

__all__ = ["Ended", "NotStarted", "Send", "Task", "describe", "limit_threads", "run_tasks", "usable_cpus"]

logger = logging.getLogger(__name__)

# Imported once by the process that forks the others, so that a model starts in milliseconds, not in
# the seconds torch and RecBole take to import.
_PRELOADED = [
    "movierec_bench.training.trainer",
    "movierec_bench.ranking.top_k",
    "movierec_bench.evaluation.metrics",
    "torch._dynamo",  # which the first optimiser imports
]

_HEED_SECONDS = 1.0  # between two looks at the clock, and at an interrupt that ends no waiting (Ray's)
_TERM_SECONDS = 2.0  # for a process to heed SIGTERM before it is killed
_EXIT_SECONDS = 5.0  # for a process to end once its work is done
_LOG_SECONDS = 1.0  # for the last of its output to reach the log
_STARTS = 3  # attempts to start a process; one fails where the process that forks the others was killed


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        name: what progress and messages call it.
        argument: what ``work`` is given; must be picklable.
        log: file for all that the process prints and logs; of very much it keeps the beginning and the end.
    """

    name: str
    argument: Any
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a task's process ended: ``error`` says why it failed, None when it did its work."""

    error: Optional[str]


@dataclass(frozen=True)
class NotStarted:
    """Comes in the place of `Ended` for a task whose turn came when the time for all of them was over."""


def run_tasks(
    tasks: Sequence[Task],
    work: Callable[[Any, Send], None],
    workers: int,
    threads: int,
    timeout: Optional[float] = None,
    until: Optional[float] = None,
) -> Generator[tuple[Task, Any], None, None]:
    """Run ``work(task.argument, send)`` for every task, each in a process of its own.

    Args:
        tasks: in the order they are started.
        work: a module-level function; what it sends comes out of this generator as it arrives.
        workers: processes at once.
        threads: threads of numerical libraries each process may use.
        timeout: seconds after which a process is ended, and its task has failed. None: no limit.
        until: seconds since 1970 after which no task is started and all that run are ended. None: no limit.

    Yields:
        (task, message) for every message, and (task, Ended) or (task, NotStarted) once for every task. A task has done
        its work when ``work`` has come back, whatever its process does then.

    Closing the generator, or an exception such as KeyboardInterrupt in its consumer, stops the
    processes that still run. Another KeyboardInterrupt meanwhile kills them.
    """
    sweep_scratch()
    context = _process_context()
    waiting = list(tasks)
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                task = waiting.pop(0)
                if until is not None and time.time() >= until:
                    yield task, NotStarted()
                    continue
                try:
                    running.append(_Running(context, task, work, threads, _seconds_left(timeout, until)))
                except (OSError, EOFError) as error:
                    yield task, Ended(f"its process could not be started: {describe(error)}")
            for item in _ready(running):
                message = item.receive()
                if message is not None:
                    yield item.task, message
            for item in [item for item in running if item.is_over()]:
                running.remove(item)
                why = item.close()
                sweep_scratch()
                yield item.task, Ended(why)
    finally:
        _stop(running)
        sweep_scratch()


class _Running:
    """A task's process.

    What a process has sent decides: that its work is done, or why it failed. Its exit code is asked for only where it
    has sent neither, since that is lost when the process that forks the others has been killed.
    """

    def __init__(
        self, context: Any, task: Task, work: Callable[[Any, Send], None], threads: int, timeout: Optional[float]
    ) -> None:
        self.task = task
        self.messages, sender = context.Pipe(duplex=False)
        log_source, log = context.Pipe(duplex=False)
        try:
            self.process = _started(context, task, (task.argument, work, sender, log, threads))
        except BaseException:
            self.messages.close()
            log_source.close()
            raise
        finally:
            sender.close()
            log.close()
        self._log = CappedLog(task.log, log_source)
        self._identity = _identity(self.process.pid)
        self._end_is_hidden = False
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._kill_at: Optional[float] = None
        self._failure: Optional[str] = None
        self._finished = False
        self._closed = False

    def waits_for(self) -> list[Any]:
        """What becomes ready when there is something to do."""
        sentinel = [] if self._end_is_hidden else [self.process.sentinel]
        return sentinel if self._closed else [self.messages, *sentinel]

    def next_moment(self) -> float:
        """When to look again, on the monotonic clock."""
        return min(self._kill_at or self._deadline or float("inf"), time.monotonic() + _HEED_SECONDS)

    def receive(self) -> Any:
        """The next message if one has come, else None. A message that a dying process has sent only in part is none."""
        if self._closed or not self._poll():
            return None
        try:
            message = self.messages.recv()
        except (EOFError, OSError):
            self._close_messages()
            return None
        except Exception as error:  # its bytes are no message of ours, whatever unpickling says about them
            self._failure = f"it sent a message that cannot be read ({describe(error)})"
            self._close_messages()
            self._signal(kill=True)
            return None
        if isinstance(message, Failure):
            self._failure = self._failure or message.reason
            return None
        if isinstance(message, Finished):
            self._finished = True
            self._deadline = None
            return None
        return message

    def is_over(self) -> bool:
        """Whether the process has ended and all its messages are read; one whose time is up is told to end."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._failure = f"it was stopped after the {self._timeout:.0f} seconds that --timeout or --hours gave it"
            self._deadline = None
            self.terminate()
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(kill=True)
            self._kill_at = now + _TERM_SECONDS
        if not self._has_ended():
            return False
        return self._closed or not self._poll()

    def _poll(self) -> bool:
        try:
            return bool(self.messages.poll())
        except OSError:  # Windows: the other end is gone
            return True

    def _close_messages(self) -> None:
        self._closed = True
        self.messages.close()
        if self._kill_at is None:
            self._kill_at = time.monotonic() + _EXIT_SECONDS

    def _has_ended(self) -> bool:
        if not self._end_is_hidden and self.process.exitcode is not None:
            self._end_is_hidden = self.process.exitcode == 255 and _lives(self._identity)
        return not _lives(self._identity) if self._end_is_hidden else self.process.exitcode is not None

    def terminate(self) -> None:
        """Ask the process to end; it is killed where it does not."""
        self._signal(kill=False)
        self._kill_at = time.monotonic() + _TERM_SECONDS

    def kill(self) -> None:
        """End the process now."""
        self._signal(kill=True)

    def _signal(self, kill: bool) -> None:
        """Send a signal through psutil, which finds the process even when multiprocessing has lost sight of it."""
        if self._identity is None:
            return
        with suppress(psutil.NoSuchProcess):
            helpers = self._identity.children(recursive=True) if kill else []
            self._identity.kill() if kill else self._identity.terminate()
            for helper in helpers:
                with suppress(psutil.NoSuchProcess):
                    helper.kill()

    def close(self) -> Optional[str]:
        """Why the task failed; None where it did its work."""
        if not self._closed:
            self._closed = True
            self.messages.close()
        self._log.close(_LOG_SECONDS)
        code = self.process.exitcode
        if self._finished:
            if code:
                logger.info("%s: its process ended with exit code %s after its work was done", self.task.name, code)
            return None
        return self._failure or f"{_how_it_ended(code, self._end_is_hidden)}; see {self.task.log}"


def _seconds_left(timeout: Optional[float], until: Optional[float]) -> Optional[float]:
    """How long a process that starts now may run."""
    limits = [timeout, None if until is None else until - time.time()]
    return min((limit for limit in limits if limit is not None), default=None)


def _ready(running: Sequence[_Running]) -> list[_Running]:
    """Wait for messages: those that have one; none where it is time to look at the clock."""
    if not running:
        return []
    seconds = min(item.next_moment() for item in running) - time.monotonic()
    ready = wait([one for item in running for one in item.waits_for()], timeout=max(0.0, seconds))
    return [item for item in running if any(one in ready for one in item.waits_for())]


def _process_context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _started(context: Any, task: Task, arguments: tuple[Any, ...]) -> Any:
    """The started process. Raises OSError or EOFError where none can be started."""
    for attempt in range(1, _STARTS + 1):
        process = context.Process(target=run_task, args=arguments, name=task.name)
        try:
            with _no_main_module():
                if context.get_start_method() == "forkserver":
                    from multiprocessing import resource_tracker
                    from multiprocessing.forkserver import ensure_running

                    # It lets interrupts in again once it has started; the fork server would start it in the block.
                    resource_tracker.ensure_running()
                    with without_interrupts(), sockets_in_scratch():
                        ensure_running()
                process.start()
            return process
        except (OSError, EOFError):
            if attempt == _STARTS:
                raise
            time.sleep(0.1 * attempt)  # until a killed fork server is seen to be dead
    raise AssertionError("not reached")


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep multiprocessing from running the user's script again in each process.

    It would import ``__main__`` there, so that a script without an ``if __name__ == "__main__"`` guard
    would start itself over; the work needs nothing of ``__main__``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _identity(process: int) -> Optional[psutil.Process]:
    try:
        return psutil.Process(process)
    except psutil.NoSuchProcess:
        return None


def _lives(process: Optional[psutil.Process]) -> bool:
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _how_it_ended(code: Optional[int], hidden: bool) -> str:
    if hidden or code is None:
        return "its process ended before its work was done, and so had the process that could say why"
    if code >= 0:
        return f"its process ended with exit code {code} before its work was done"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has none
        name = f"signal {-code}"
    hint = " (out of memory, or killed by hand)" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"


def _stop(running: Sequence[_Running]) -> None:
    """End them, gently for `_TERM_SECONDS` in all; at once where an interrupt comes meanwhile."""
    try:
        for item in running:
            item.terminate()
        deadline = time.monotonic() + _TERM_SECONDS
        alive = list(running)
        while alive and time.monotonic() < deadline:
            for item in _ready(alive):
                item.receive()
            alive = [item for item in alive if not item.is_over()]
    finally:
        for item in running:
            item.kill()
        for item in running:
            item.process.join(timeout=_TERM_SECONDS)
            item.close()
