"""A small finished run, its files as bytes, and work that is killed at a given call of the file system."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable

from movierec_bench.data.atomic import read_atomic, write_atomic
from movierec_bench.execution.jobs import Job, make_job
from movierec_bench.execution.run import run
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import only_run, open_run
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.protocol import protocol_of
from support.planted import planted_competition

BPR_HEAD = "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\n"


def atomic(folder: Path, seed: int = 0) -> Path:
    write_atomic(planted_competition(seed=seed), folder / "atomic_data", "planted")
    return folder / "atomic_data"


def go(folder: Path, models: str, **changes: Any):  # noqa: ANN201
    settings = {"atomic": folder / "atomic_data", "out": folder / "runs", "quiet": True}
    return run(models=models, **{**settings, **changes})


def run_folder(folder: Path) -> RunFolder:
    return RunFolder(folder / "runs" / "planted")


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of the models and submissions, by path."""
    there = [path for place in ("models", "submissions") for path in sorted((folder / place).rglob("*"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in there if path.is_file()}


def one_job(folder: Path, model: str, seed: int = 42) -> Job:
    dataset, rules = folder / "atomic_data" / "planted", protocol_of(None, None)
    with only_run(run_folder(folder)):
        manifest = open_run(run_folder(folder), read_atomic(dataset), rules, seed, fresh=False, command="")
    return make_job(
        load_catalog()[model], run_folder(folder), dataset, manifest, rules.test_fit, seed, None, "", refit=True
    )


CALLS = [(Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")]

CALLS += [(os, name) for name in ("unlink", "rmdir", "fsync", "link", "replace")]


def killed_at(kill_at: int, work: Callable[[], object]) -> int:
    """Do the work in a forked process that is killed at its call of that number; how many calls it made otherwise."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)

            return counting

        try:
            for owner, name in CALLS:
                setattr(owner, name, counted(getattr(owner, name)))
            work()
            os.write(writer, str(calls).encode())
        finally:
            os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        made = told.read()
    assert os.WIFSIGNALED(status) == (kill_at > 0) and bool(made) == (kill_at == 0)
    return int(made or 0)
