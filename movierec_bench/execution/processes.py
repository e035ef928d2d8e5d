"""Runs jobs in processes of their own, so that whatever happens to one leaves the others alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Callable, Optional

Send = Callable[[Any], None]

# Imported once by the process that forks the others, so that a model starts in milliseconds, not in
# the seconds torch and RecBole take to import.
_PRELOADED = [
    "movierec_bench.training.trainer",
    "movierec_bench.ranking.top_k",
    "movierec_bench.evaluation.metrics",
    "torch._dynamo",  # which the first optimiser imports
]


# Between two looks at the messages, so that an interrupt that ends no waiting (Ray's) is heeded all the same.
_HEED_SECONDS = 1.0


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        name: what progress and messages call it.
        argument: what ``work`` is given; must be picklable.
        log: file that receives all the process prints and logs.
    """

    name: str
    argument: Any
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a task's process ended: ``error`` says why it failed, None when it did its work."""

    error: Optional[str]


@dataclass
class _Running:
    task: Task
    process: Any
    messages: Connection
    failure: Optional[str] = None


@dataclass(frozen=True)
class _Failure:
    reason: str


def run_tasks(
    tasks: Sequence[Task], work: Callable[[Any, Send], None], workers: int, threads: int
) -> Generator[tuple[Task, Any], None, None]:
    """Run ``work(task.argument, send)`` for every task, each in a process of its own.

    Args:
        tasks: in the order they are started.
        work: a module-level function; what it sends comes out of this generator as it arrives.
        workers: processes at once.
        threads: threads of numerical libraries each process may use.

    Yields:
        (task, message) for every message, and (task, Ended) once for every task.

    Closing the generator, or an exception such as KeyboardInterrupt in its consumer, stops the
    processes that still run.
    """
    context = _process_context()
    waiting = list(tasks)
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(context, waiting.pop(0), work, threads))
            for ready in wait([item.messages for item in running], timeout=_HEED_SECONDS):
                item = next(item for item in running if item.messages is ready)
                try:
                    message = item.messages.recv()
                except EOFError:  # the process has closed its end: it is over
                    running.remove(item)
                    yield item.task, Ended(_reason(item))
                    continue
                if isinstance(message, _Failure):
                    item.failure = message.reason
                else:
                    yield item.task, message
    finally:
        for item in running:
            _stop(item)


def _process_context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _start(context: Any, task: Task, work: Callable[[Any, Send], None], threads: int) -> _Running:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_task, args=(task, work, sender, threads), name=task.name)
    with _no_main_module():
        process.start()
    sender.close()
    return _Running(task, process, receiver)


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


def _reason(item: _Running) -> Optional[str]:
    item.process.join()
    item.messages.close()
    code = item.process.exitcode
    if item.failure is not None:
        return item.failure
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, or killed by hand)" if -code == signal.SIGKILL else ""
        return f"its process was killed by {name}{hint}; see {item.task.log}"
    return f"its process ended with exit code {code}; see {item.task.log}"


def _stop(item: _Running) -> None:
    item.process.terminate()
    item.process.join(timeout=5)
    if item.process.is_alive():
        item.process.kill()
        item.process.join()
    item.messages.close()


def _run_task(task: Task, work: Callable[[Any, Send], None], sender: Connection, threads: int) -> None:
    """What the new process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _end_with_parent()
    _write_everything_to(task.log)
    limit_threads(threads)
    try:
        work(task.argument, sender.send)
    except Exception as error:  # whatever a model does wrong is its row's error, with the traceback in its log
        traceback.print_exc()
        sender.send(_Failure(describe(error)))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sender.close()


def describe(error: BaseException) -> str:
    """An error's type and message on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on alone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _write_everything_to(log: Path) -> None:
    """Send all output, also that of compiled code, into the task's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )


def usable_cpus() -> int:
    """The cores this process may use: fewer than the machine's under an affinity or a container's quota."""
    from joblib import cpu_count

    return int(cpu_count())


def limit_threads(threads: int) -> None:
    """Let BLAS, OpenMP, torch and numba use so many threads in this process."""
    import numba
    import threadpoolctl
    import torch

    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    threadpoolctl.threadpool_limits(threads)
