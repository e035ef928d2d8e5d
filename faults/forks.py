"""Starts the library's processes by forking a process that has imported everything, so that none costs seconds.

The library starts a fork server (of multiprocessing), an uploader (``python -m movierec_bench...``) and the command
itself. All are forked here in place of a fresh interpreter, with the descriptors, environment and arguments that a
fresh one would have got. Any other program, such as git, is started as ever.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import multiprocessing.forkserver
import multiprocessing.util
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional

from faults import points

_LEFT_TO_THE_COMMAND = ("__main__", "ray", "cluster", "recbole_configs", "eda", "pages")  # what no scene needs
_kept: set[tuple[int, str]] = set()  # descriptors with what they stand for, as the numbers are used again


def preload() -> None:
    """Import the whole library and what it imports late, wrap the points, and fork in place of fresh interpreters."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import movierec_bench

    for module in pkgutil.walk_packages(movierec_bench.__path__, "movierec_bench."):
        if not any(word in module.name for word in _LEFT_TO_THE_COMMAND):
            importlib.import_module(module.name)
    for name in ("torch._dynamo", "mlflow", "mlflow.tracking", "sqlalchemy.dialects.sqlite", "alembic"):
        importlib.import_module(name)
    _load_kernels()
    points.install()
    points.install_mlflow()
    import _posixsubprocess

    _posixsubprocess.fork_exec = _forking(_posixsubprocess.fork_exec)
    if hasattr(subprocess, "_fork_exec"):
        subprocess._fork_exec = _posixsubprocess.fork_exec
    _name_model_processes()
    gc.collect()
    gc.freeze()  # what is here stays, so that children share its pages


def _load_kernels() -> None:
    """Load compiled kernels from numba's cache, but none that would start threads, which a fork loses."""
    from numba.core.dispatcher import Dispatcher

    ours = [known for known in gc.get_objects() if isinstance(known, Dispatcher)]
    for kernel in ours:
        if kernel.__module__.startswith("movierec_bench") and not kernel.targetoptions.get("parallel"):
            for signature, *_ in kernel._cache._cache_file._load_index():  # type: ignore[attr-defined]
                kernel.compile(signature)


def keep_descriptor(descriptor: int) -> None:
    """Leave this descriptor open in every process that is forked in place of a fresh interpreter."""
    _kept.add((descriptor, os.readlink(f"/proc/self/fd/{descriptor}")))


def _open_descriptors() -> set[tuple[int, str]]:
    """Every open descriptor with what it stands for; a pipe that is made anew has another name."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue  # the listing's own
    return found


def fork_command(
    argv: Sequence[str], folder: Path, environment: dict[str, str], output: Path, prepare: Callable[[], None]
) -> int:
    """Start ``python -m movierec_bench ARGV`` in ``folder``; returns its process id.

    Args:
        argv: the arguments.
        folder: the working directory.
        environment: variables that differ from this process's.
        output: standard output and error go there.
        prepare: called in the new process before the command.
    """
    process = os.fork()
    if process:
        return process
    try:
        weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # the temporary folders of this process
        _kept.update(_open_descriptors())
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ.update(environment)
        tempfile.tempdir = os.environ.get("TMPDIR")  # None would have it found by a file that is made and removed
        _redirect(os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        sys.argv = ["movierec_bench", *argv]
        prepare()
        _finish(_code_of(_command))
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(120)


def _command() -> NoReturn:
    """What ``movierec_bench.__main__`` does."""
    from movierec_bench import cli

    try:
        cli.main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _redirect(source: int, target: int) -> None:
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    _renew_streams()


def _renew_streams() -> None:
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)


def _code_of(main: Callable[[], Any]) -> int:
    """The exit code an interpreter would end with after calling ``main``."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _finish(code: int) -> NoReturn:
    """End this process as an interpreter does, without tearing down what it was forked with."""
    try:
        multiprocessing.util._exit_function()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    except BaseException:
        traceback.print_exc()
        code = code or 120
    os._exit(code)


def _forking(real: Callable[..., int]) -> Callable[..., int]:
    """``fork_exec`` that forks this process where the program would be this interpreter with our code."""

    def fork_exec(args: Any, executables: Any, close: Any, keep: Any, folder: Any, env: Any, *rest: Any) -> int:
        work = _work_of([os.fsdecode(word) for word in args])
        if work is None:
            return real(args, executables, close, keep, folder, env, *rest)
        open_before = _open_descriptors()
        process = os.fork()
        if process:
            return process
        try:
            # Libraries such as Arrow make their pipes anew in every fork, under the same number.
            _kept.update(_open_descriptors() - open_before)
            _become_fresh(keep, env, rest)
            _finish(_code_of(work))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(120)

    return fork_exec


def _work_of(argv: list[str]) -> Optional[Callable[[], Any]]:
    """What the interpreter would run; None where it is another program or none of our business."""
    if argv[0] != sys.executable:
        return None
    module = points.command_module(argv)
    if module is not None:

        def run_module() -> None:
            points.become(points.UPLOADER)
            sys.argv = argv[2:]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # that the module is imported already
                runpy.run_module(module, run_name="__main__", alter_sys=True)

        return run_module
    if argv[-2] == "-c" and argv[-1].startswith("from multiprocessing."):

        def run_code() -> None:
            is_server = "forkserver" in argv[-1]
            points.become(points.FORK_SERVER if is_server else "resource-tracker")
            exec(argv[-1], {"__name__": "__main__"})  # noqa: S102 - multiprocessing's own line

        return run_code
    return None


def _become_fresh(keep: Sequence[int], env: Optional[Sequence[bytes]], rest: Sequence[Any]) -> None:
    """Descriptors, session, environment and signals as after an exec."""
    read_in, _, _, write_out, _, write_error, _, ends_with_exec, _, new_session = rest[:10]
    if new_session:
        os.setsid()
    for source, target in ((read_in, 0), (write_out, 1), (write_error, 2)):
        if source not in (-1, target):
            os.dup2(source, target)
    for descriptor, _ in _open_descriptors() - _kept:
        if descriptor not in {0, 1, 2, *keep} - {ends_with_exec}:
            os.close(descriptor)
    if env is not None:
        os.environ.clear()
        os.environ.update({name: value for name, _, value in (os.fsdecode(entry).partition("=") for entry in env)})
    tempfile.tempdir = os.environ.get("TMPDIR")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]
    fresh: Any = multiprocessing.forkserver._forkserver
    fresh._forkserver_pid = fresh._forkserver_alive_fd = fresh._forkserver_address = None
    _renew_streams()


def _name_model_processes() -> None:
    from multiprocessing.process import BaseProcess

    real = BaseProcess._bootstrap  # type: ignore[attr-defined]

    def bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        points.become(f"model {self.name}")
        return real(self, *args, **kwargs)

    BaseProcess._bootstrap = bootstrap  # type: ignore[attr-defined]
