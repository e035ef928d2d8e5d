"""Exit code 1 never comes from a traceback: what the system refuses is one message and exit code 2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.planted import planted_competition

from movierec_bench.data.atomic import write_atomic


def bench(folder: Path, *arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that first does what ``before`` says, in Python."""
    code = f"{textwrap.dedent(before)}\nimport sys\nfrom movierec_bench.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a finished run."""
    folder = tmp_path_factory.mktemp("place")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    done = bench(folder, "run", "--models", "Pop", "--no-track")
    assert done.returncode == 0, done.stderr
    return folder


SIGNAL_AT_THE_END = """
    import os, signal
    import movierec_bench.cli as cli
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
    leave = cli._leave
    def late(code):
        os.kill(os.getpid(), signal.SIGHUP)
        leave(code)
    cli._leave = late
"""


def test_a_signal_that_comes_when_all_is_done_is_no_traceback(tmp_path: Path) -> None:
    done = bench(tmp_path, "--version", before=SIGNAL_AT_THE_END)
    assert done.returncode == -signal.SIGHUP
    assert done.stderr == ""


SIGNAL_IN_A_FINALIZER = """
    import os, signal, time
    import movierec_bench.cli as cli
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    class Swallows:
        def __del__(self):
            os.kill(os.getpid(), {number})
    def typed():
        Swallows()
        time.sleep(20)
    cli._typed = typed
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_in_a_finalizer_ends_the_command_nevertheless(tmp_path: Path, number: int, code: int) -> None:
    done = bench(tmp_path, "models", before=SIGNAL_IN_A_FINALIZER.format(number=int(number)))
    assert done.returncode == code
    assert done.stderr == ""


FULL = """
    import os, errno, builtins, io
    real = io.open
    def open_(path, mode="r", *rest, **more):
        if set(mode) & set("wax+") and "{folder}" in str(path):
            raise OSError(errno.{error}, os.strerror(errno.{error}), str(path))
        return real(path, mode, *rest, **more)
    builtins.open = io.open = open_
"""


@pytest.mark.parametrize(
    ("error", "step"),
    [
        ("ENOSPC", "free some"),
        ("EACCES", "correct its rights"),
        ("EROFS", "correct its rights"),
        ("EIO", "run the same"),
    ],
)
def test_a_disk_that_refuses_is_a_message(place: Path, error: str, step: str) -> None:
    before = FULL.format(folder="runs", error=error)
    refused(bench(place, "submit", "runs/planted", "--model", "Pop", before=before), step)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("command", [("leaderboard", "runs/planted"), ("models",)])
def test_an_output_that_is_full_is_a_message(place: Path, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "movierec_bench", *command],
            cwd=place,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2, done.stderr
    assert "free some" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_has_had_enough_is_no_failure(place: Path) -> None:
    line = f"{sys.executable} -m movierec_bench models | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=place, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_message(place: Path) -> None:
    status = place / "runs" / "planted" / "models" / "Pop" / "status.json"
    status.chmod(0)
    try:
        refused(bench(place, "leaderboard", "runs/planted"), "status.json")
    finally:
        status.chmod(0o644)


def test_a_fault_of_ours_is_a_message_and_its_traceback_can_be_had(place: Path) -> None:
    before = """
        import movierec_bench.commands.from_function as made
        made.flush_output = lambda: 1 / 0
    """
    refused(bench(place, "models", before=before), "unexpected ZeroDivisionError", "MOVIEREC_BENCH_DEBUG=1")
    done = bench(place, "models", before=before, MOVIEREC_BENCH_DEBUG="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


KERNEL_CACHE = """
    import os
    real = os.access
    os.access = lambda path, mode, **more: str(path).startswith({allowed!r}) and real(path, mode, **more)
    from numba.core import caching
    for locator in caching.CacheImpl._locator_classes:
        def ensure(self, made=locator.ensure_cache_path):
            if not str(self.get_cache_path()).startswith({allowed!r}):
                raise OSError("read-only")
            made(self)
        locator.ensure_cache_path = ensure
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows always has a folder for the user's caches")
def test_kernels_are_kept_where_neither_package_nor_home_can_be_written(tmp_path: Path) -> None:
    before = KERNEL_CACHE.format(allowed=str(tmp_path))
    loads = (
        f"{textwrap.dedent(before)}\nimport movierec_bench.mixing.kernels as made\nprint(made.numba.config.CACHE_DIR)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / f"movierec_bench-kernels-{os.getuid()}"
    assert done.stdout.strip() == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows always has a folder for the user's caches")
def test_kernels_are_not_run_from_a_folder_that_others_can_write(tmp_path: Path) -> None:
    folder = tmp_path / f"movierec_bench-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    before = KERNEL_CACHE.format(allowed=str(tmp_path))
    loads = f"{textwrap.dedent(before)}\nimport movierec_bench, os\nprint(os.environ.get('NUMBA_CACHE_DIR'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "None", done.stderr


def test_an_interrupt_before_the_command_begins_is_no_traceback(tmp_path: Path) -> None:
    for seconds in (0.15, 0.5, 1.5):
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "movierec_bench", "run", "--models", "Pop"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:  # from here on the library's own code runs
            if "movierec_bench" in line:
                break
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode in (130, 2, -signal.SIGINT), errors
        assert "Traceback" not in errors
