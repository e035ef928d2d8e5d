"""A task's own process: it does the work with its output in a log, and ends when its parent does."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Callable

from movierec_bench.errors import readable

Send = Callable[[Any], None]

_ERROR_CHARACTERS = 900  # of a message to the parent, which then fits a pipe's atomic write


@dataclass(frozen=True)
class Failure:
    """Sent when the work has failed: why."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """Sent last, when the work is done."""


def run_task(
    argument: Any, work: Callable[[Any, Send], None], sender: Connection, log: Connection, threads: int
) -> None:
    """Do ``work(argument, send)``; the last message is `Finished`, or a `Failure`.

    Args:
        argument: what ``work`` is given.
        work: a module-level function.
        sender: where messages go.
        log: where all output goes, also that of compiled code.
        threads: threads of numerical libraries.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _end_with_parent()
    _write_everything_to(log)
    limit_threads(threads)
    try:
        work(argument, sender.send)
        last: Any = Finished()
    except SystemExit as end:  # some of RecBole's models end the process where a setting does not suit them
        traceback.print_exc()
        last = Failure(f"SystemExit: the model ended its process with exit code {end.code!r}; the log says where")
    except BaseException as error:  # whatever a model does wrong is told on the board, with the traceback in its log
        traceback.print_exc()
        last = Failure(describe(error))
    sys.stdout.flush()
    sys.stderr.flush()
    sender.send(last)
    sender.close()


def describe(error: BaseException) -> str:
    """An error's type and message on one line, which may leave out the middle."""
    text = " ".join(str(error).split())
    return readable(f"{type(error).__name__}: {text}" if text else type(error).__name__, _ERROR_CHARACTERS)


def _end_with_parent() -> None:
    """End this process when its parent has been killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
    _be_killed_at_the_end_of(parent.sentinel)


def _be_killed_at_the_end_of(pipe: int) -> None:
    """Have the kernel kill this process when the pipe's writer dies: no thread runs while compiled code does.

    Only Linux lets one choose that signal.
    """
    try:
        from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG, fcntl
    except ImportError:
        return
    fcntl(pipe, F_SETOWN, os.getpid())
    fcntl(pipe, F_SETSIG, signal.SIGKILL)
    fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | os.O_ASYNC)
    if wait([pipe], timeout=0):  # it had died before
        os._exit(1)


def _write_everything_to(log: Connection) -> None:
    if sys.platform == "win32":
        import msvcrt

        descriptor = msvcrt.open_osfhandle(log.fileno(), 0)
    else:
        descriptor = log.fileno()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    log.close()
    faulthandler.enable(file=2)  # a crash in compiled code says where
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
    with _locks_without_names():
        numba.set_num_threads(min(threads, numba.get_num_threads()))
    threadpoolctl.threadpool_limits(threads)


@contextmanager
def _locks_without_names() -> Iterator[None]:
    """Let the lock of numba's threads have no name, under which a process that is killed would leave it in /dev/shm.

    In a process that came from a fork server locks are named until it ends, in one that was forked they are not.
    """
    method = multiprocessing.get_start_method(allow_none=True)
    if method != "forkserver":
        yield
        return
    multiprocessing.set_start_method("fork", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(method, force=True)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes in this block that Ctrl-C does not reach; one pressed meanwhile takes effect after the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
