"""Whatever ends a run, what was finished and not replaced stays; and what is called finished is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pandas as pd
import pytest
from support.planted import planted_competition

from movierec_bench.data.atomic import read_atomic, write_atomic
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.execution.jobs import Job, begin, make_job, settle, will_replace
from movierec_bench.execution.model_process import Phase, bench_model
from movierec_bench.execution.run import run
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.runs.files import write_text
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import only_run, open_run
from movierec_bench.runs.publishing import publish
from movierec_bench.runs.records import SUBMISSION, Status
from movierec_bench.runs.trials import DEFAULT, Trial, TrialFolder, best_config
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.protocol import protocol_of

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    atomic(folder)
    go(folder, "Pop,EASE,Random")
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "movierec_bench", "run", "--atomic", str(folder / "atomic_data"), *words]


# -- a result gives way only to a complete one ---------------------------------------------------


def test_ctrl_c_right_after_a_mistyped_flag_loses_nothing(copied: Path) -> None:
    before = bytes_of(run_folder(copied).path)
    process = subprocess.Popen(
        command(copied, "--models", "EASE,Pop,Random", "--seed", "7"), cwd=copied, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines = []
    while not lines or "load" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert any("3 finished models will be redone (seed 42 before, 7 now): EASE, Pop, Random" in line for line in lines)
    assert {path.name for path in (run_folder(copied).path / "models").iterdir()} == {"EASE", "Pop", "Random"}
    after = bytes_of(run_folder(copied).path)
    assert {name: after.get(name) for name in before} == before
    go(copied, "Pop,EASE,Random")
    kept = bytes_of(run_folder(copied).path)
    assert kept == before, "the old command has nothing to do"


@pytest.mark.parametrize("place", ["fit", "refit", "submit"])
def test_killed_in_any_phase_the_earlier_result_stays_and_the_next_run_is_as_undisturbed(
    copied: Path, place: str
) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    job = one_job(copied, "Random", seed=7)
    killed_in(job, place)
    assert {name: content for name, content in bytes_of(there.path).items() if "/." not in name} == before
    board = go(copied, "Random", seed=7).to_frame().set_index("model")
    assert board.loc["Random", "status"] == "done" and board.loc["Random", "seed"] == 7
    assert {path.name for path in (there.path / "models").iterdir()} == {"EASE", "Pop", "Random"}
    undisturbed = copied.parent / "undisturbed"
    atomic(undisturbed)
    go(undisturbed, "Random", seed=7)
    assert there.submission("Random").read_bytes() == run_folder(undisturbed).submission("Random").read_bytes()
    assert there.model("Random").read_status().result_hash == (
        run_folder(undisturbed).model("Random").read_status().result_hash
    )


def one_job(folder: Path, model: str, seed: int = 42) -> Job:
    dataset, rules = folder / "atomic_data" / "planted", protocol_of(None, None)
    with only_run(run_folder(folder)):
        manifest = open_run(run_folder(folder), read_atomic(dataset), rules, seed, fresh=False, command="")
    return make_job(
        load_catalog()[model], run_folder(folder), dataset, manifest, rules.test_fit, seed, None, "", refit=True
    )


def killed_in(job: Job, place: str) -> None:
    """Do what the model's process does, killed when it enters a phase."""
    child = os.fork()
    if child == 0:
        try:
            bench_model(job, lambda message: os.kill(os.getpid(), signal.SIGKILL) if message == Phase(place) else None)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_a_fit_that_was_stored_before_the_kill_is_not_done_again(copied: Path) -> None:
    killed_in(one_job(copied, "Random", seed=7), "refit")
    staged = run_folder(copied).model("Random").staged
    fitted = staged.topk("test").stat().st_mtime_ns
    go(copied, "Random", seed=7)
    assert run_folder(copied).model("Random").topk("test").stat().st_mtime_ns == fitted


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


def test_killed_at_any_call_of_the_swap_the_next_command_has_one_result_or_the_other(
    copied: Path, tmp_path: Path
) -> None:
    old = bytes_of(run_folder(copied).path)
    job = one_job(copied, "Random", seed=7)
    bench_model(job, lambda message: None)
    shutil.copytree(copied, tmp_path / "whole")

    def swap(folder: Path) -> None:
        publish(run_folder(folder), run_folder(folder).model("Random"))

    calls = killed_at(0, lambda: swap(tmp_path / "whole"))
    new = bytes_of(run_folder(tmp_path / "whole").path)
    assert new != old and calls > 10
    for kill_at in range(1, calls + 1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(copied, folder)
        killed_at(kill_at, lambda: swap(folder))  # noqa: B023
        one_job(folder, "Pop")  # any command that holds the folder
        assert bytes_of(run_folder(folder).path) == new, f"killed at call {kill_at}"
        assert build_board(run_folder(folder)).to_frame()["status"].tolist() == ["done"] * 3


def test_a_failed_attempt_leaves_the_result_of_before(copied: Path) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    board = go(copied, "EASE", seed=7, timeout=0.01)
    assert board.failed and "its earlier result stays" in board.not_replaced["EASE"]
    assert board.to_frame().set_index("model").loc["EASE", "status"] == "done"
    after = bytes_of(there.path)
    after.pop("models/EASE/failed_log.txt", None)  # where it had come to writing one
    assert after == before


# -- what is finished is whole ------------------------------------------------------------------


def test_a_status_vouches_for_every_file(finished: Path) -> None:
    there = run_folder(finished)
    for name in ("Pop", "EASE", "Random"):
        folder = there.model(name)
        status = folder.read_status()
        paths = {file: folder.path / file for file in status.files if file != SUBMISSION}
        paths[SUBMISSION] = there.submission(name)
        assert set(status.files) == set(paths) and len(paths) == 7
        for file, path in paths.items():
            content = path.read_bytes()
            assert (status.files[file].size, status.files[file].sha256) == (
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
        assert status.seed == 42 and status.threads and status.code_hash
        assert {"python", "torch", "recbole", "movierec_bench"} <= set(status.versions)


@pytest.mark.parametrize(
    ("lost", "harm"),
    [
        ("topk_test.parquet", lambda path: path.write_bytes(b"")),
        ("per_user.parquet", lambda path: os.truncate(path, 9)),
        ("params.yaml", Path.unlink),
        ("topk_full.parquet", lambda path: os.truncate(path, 9)),
        (SUBMISSION, lambda path: path.write_bytes(b"")),
    ],
)
def test_a_damaged_result_is_no_result_and_is_redone(copied: Path, lost: str, harm: Any) -> None:
    there = run_folder(copied)
    before = bytes_of(there.path)
    path = there.submission("Pop") if lost == SUBMISSION else there.model("Pop").path / lost
    fitted = there.model("Pop").topk("valid").stat().st_mtime_ns
    harm(path)
    board = build_board(there).to_frame().set_index("model")
    assert board.loc["Pop", "status"] == "damaged" and lost in board.loc["Pop", "error"]
    assert board.loc[["EASE", "Random"], "place"].tolist() == [1, 2]
    go(copied, "Pop")
    assert build_board(there).to_frame()["status"].tolist() == ["done"] * 3
    after = bytes_of(there.path)
    same = [name for name in before if not name.endswith(("status.json", "log.txt", "leaderboard.csv"))]
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    only_refit = lost in ("topk_full.parquet", SUBMISSION)
    assert (there.model("Pop").topk("valid").stat().st_mtime_ns == fitted) == only_refit


def test_other_content_of_the_same_size_is_found_when_it_is_used(copied: Path) -> None:
    there = run_folder(copied)
    path = there.model("EASE").per_user
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"per_user\.parquet has other content.*run the command that made it again"):
        there.model("EASE").read_per_user()
    board = build_board(there).to_frame().set_index("model")
    assert board.loc["EASE", "status"] == "damaged"
    assert board.loc[["Pop", "Random"], "place"].notna().all()


def test_a_copied_or_renamed_folder_is_told_and_counts_for_nothing(copied: Path) -> None:
    there = run_folder(copied)
    shutil.copytree(there.model("Pop").path, there.model("Pop_old").path)
    there.model("Random").path.rename(there.model("Chance").path)
    board = build_board(there).to_frame().set_index("model")
    assert sorted(board.index) == ["Chance", "EASE", "Pop", "Pop_old"]
    assert board.loc["Pop_old", "error"].startswith("holds the result of Pop: ")
    assert board.loc["Chance", "error"].startswith("holds the result of Random: ")
    assert board.loc[["Chance", "Pop_old"], "place"].isna().all()
    assert not go(copied, "Pop,EASE,Random").failed


def test_a_board_that_cannot_be_written_costs_no_result(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    there = run_folder(copied)
    there.leaderboard("csv").unlink()
    there.leaderboard("csv").mkdir()
    board = go(copied, "EASE,Pop,Random,YearPop")
    assert board.to_frame()["status"].tolist() == ["done"] * 4
    assert "leaderboard.csv cannot be written" in caplog.text


# -- the data -----------------------------------------------------------------------------------


def test_data_converted_again_meanwhile_are_refused_by_the_models_process(tmp_path: Path) -> None:
    atomic(tmp_path)
    job = one_job(tmp_path, "Pop")
    atomic(tmp_path, seed=1)
    with pytest.raises(DataError, match="holds other data than the run.*converted again"):
        bench_model(job, lambda message: None)
    assert not job.staged.status.exists()


def test_a_process_that_ends_without_a_result_is_its_models_row(copied: Path) -> None:
    job = one_job(copied, "YearPop")
    begin(job)
    status = settle(job, "fit", None)
    assert status.state == "failed" and "in fit: its process ended without a result; see" in str(status.error)
    assert ".new" not in str(status.error)
    assert build_board(run_folder(copied)).to_frame().set_index("model").loc["YearPop", "status"] == "failed"
    assert not go(copied, "YearPop,Pop").failed


def test_a_user_with_too_few_unseen_movies_is_found_before_anything_trains(tmp_path: Path) -> None:
    competition = planted_competition()
    movies = competition.movies["item"]
    seen = pd.DataFrame({"user": 999, "item": movies[:-9], "time": range(len(movies) - 9)})
    ratings = pd.concat([competition.ratings, seen.astype(competition.ratings.dtypes)], ignore_index=True)
    write_atomic(replace(competition, ratings=ratings), tmp_path / "atomic_data", "planted")
    with pytest.raises(DataError, match="user 999.*only 9 unseen movies.*at least 10"):
        go(tmp_path, "Pop,EASE")
    assert run_folder(tmp_path).models() == []
    assert not go(tmp_path, "Pop", no_refit=True).failed


def test_data_that_hold_out_nothing_are_refused_before_anything_trains(tmp_path: Path) -> None:
    competition = planted_competition()
    short = competition.ratings.groupby("user").head(4).reset_index(drop=True)
    write_atomic(replace(competition, ratings=short), tmp_path / "atomic_data", "planted")
    with pytest.raises(DataError, match="holds out no row of planted.*longest log has 4 rows"):
        go(tmp_path, "Pop,EASE")
    assert run_folder(tmp_path).models() == []


# -- the folder ---------------------------------------------------------------------------------


def test_fresh_deletes_a_run_and_nothing_else(copied: Path) -> None:
    there = run_folder(copied)
    (there.path / "thesis.txt").write_text("years of work")
    (there.path / "training").mkdir()
    (there.path / "training" / "BPR.npz").write_bytes(b"half trained")
    go(copied, "Pop", fresh=True)
    assert not (there.path / "training").exists()
    assert (there.path / "thesis.txt").read_text() == "years of work"
    assert [folder.name for folder in there.models()] == ["Pop"]
    assert [path.name for path in (there.path / "submissions").iterdir()] == ["Pop.csv"]


def test_fresh_never_deletes_the_data_or_a_foreign_folder(tmp_path: Path) -> None:
    data = atomic(tmp_path) / "planted"
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    with pytest.raises(DataError, match="no run of ours"):
        go(tmp_path, "Pop", out=tmp_path / "atomic_data", fresh=True)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    (tmp_path / "runs" / "planted").mkdir(parents=True)
    (tmp_path / "runs" / "planted" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no run of ours"):
        go(tmp_path, "Pop", fresh=True)
    assert os.listdir(tmp_path / "runs" / "planted") == ["thesis.txt"]


def add_search(there: RunFolder) -> None:
    folder = TrialFolder.of(there, "EASE")
    folder.write(Trial(DEFAULT, "done", {"reg_weight": 500.0}, "0123456789abcdef", recall=0.2, seconds=1.0))
    folder.write_tables(folder.read())
    write_text(best_config(there, "EASE"), "reg_weight: 500.0\n")


def files_of_searches(there: RunFolder) -> dict[str, bytes]:
    places = [path for name in ("trials", "configs") for path in (there.path / name).rglob("*")]
    return {path.relative_to(there.path).as_posix(): path.read_bytes() for path in places if path.is_file()}


def test_fresh_keeps_the_searches_of_these_data(copied: Path) -> None:
    there = run_folder(copied)
    add_search(there)
    before = files_of_searches(there)
    assert len(before) == 4
    go(copied, "Pop", fresh=True)
    assert [folder.name for folder in there.models()] == ["Pop"]
    assert files_of_searches(there) == before


@pytest.mark.parametrize("other", ["data", "protocol"])
def test_fresh_on_other_data_is_refused_where_it_would_delete_searches(copied: Path, other: str) -> None:
    there = run_folder(copied)
    add_search(there)
    before = {path: path.read_bytes() for path in there.path.rglob("*") if path.is_file()}
    if other == "data":
        atomic(copied, seed=1)
    with pytest.raises(ConfigError, match=f"holds searches of `tune` .*other {other}.*--fresh would delete: EASE"):
        go(copied, "Pop", fresh=True, protocol="last" if other == "protocol" else None)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("how", ["fresh", "new"])
def test_killed_at_any_call_of_opening_the_same_command_is_never_refused(
    copied: Path, tmp_path: Path, how: str
) -> None:
    if how == "new":
        shutil.rmtree(copied / "runs")
    shutil.copytree(copied, tmp_path / "whole")

    def open_it(folder: Path) -> None:
        there, dataset = run_folder(folder), folder / "atomic_data" / "planted"
        with only_run(there):
            open_run(there, read_atomic(dataset), protocol_of(None, None), 42, fresh=how == "fresh", command="")

    calls = killed_at(0, lambda: open_it(tmp_path / "whole"))
    for kill_at in range(1, calls + 1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(copied, folder)
        killed_at(kill_at, lambda: open_it(folder))  # noqa: B023
        there = run_folder(folder)
        if there.manifest.is_file():  # whatever is called finished is whole
            states = set(build_board(there).to_frame()["status"])
            assert states <= {"done"}, f"killed at call {kill_at}"
        open_it(folder)
        assert there.models() == []
        assert {path.name for path in there.path.iterdir()} <= {"manifest.json", "split"}
        assert there.read_manifest().split == run_folder(tmp_path / "whole").read_manifest().split


def test_a_damaged_split_is_made_again(copied: Path) -> None:
    there = run_folder(copied)
    before = (there.split / "test.parquet").read_bytes()
    os.truncate(there.split / "test.parquet", 100)
    go(copied, "Pop,YearPop")
    assert (there.split / "test.parquet").read_bytes() == before


def test_a_linked_run_folder_is_a_run_folder(copied: Path, tmp_path: Path) -> None:
    there = run_folder(copied)
    (tmp_path / "disk").mkdir()
    there.path.rename(tmp_path / "disk" / "planted")
    there.path.symlink_to(tmp_path / "disk" / "planted")
    with only_run(RunFolder(tmp_path / "disk" / "planted")), pytest.raises(ConfigError, match="another command"):
        go(copied, "Pop")
    go(copied, "Pop", fresh=True)
    assert there.path.is_symlink()
    assert [folder.name for folder in RunFolder(tmp_path / "disk" / "planted").models()] == ["Pop"]


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), PermissionError(13, "Permission denied")])
def test_a_disk_without_locks_is_told(tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("movierec_bench.runs.locks.FileLock.acquire", refuse)
    atomic(tmp_path)
    with pytest.raises(ConfigError, match=f"cannot be locked .{error.strerror}"):
        go(tmp_path, "Pop")


# -- seeds, versions, budgets -------------------------------------------------------------------


def test_the_manifest_says_how_the_folder_began_and_each_row_its_own_seed(copied: Path) -> None:
    board = go(copied, "Random", seed=7).to_frame().set_index("model")
    assert board["seed"].to_dict() == {"EASE": 42, "Pop": 42, "Random": 7}
    manifest = run_folder(copied).read_manifest()
    assert manifest.seed == 42 and "--seed" not in manifest.command


def test_rows_of_other_versions_or_threads_say_so(copied: Path) -> None:
    folder = run_folder(copied).model("Pop")
    status = folder.read_status()
    folder.write_status(replace(status, versions={**status.versions, "torch": "1.0"}, threads=99))
    board = build_board(run_folder(copied)).to_frame().set_index("model")
    assert board["made_with"].to_dict() == {"EASE": "", "Pop": "threads 99, torch 1.0", "Random": ""}


def kept_by(job: Job, **changes: Any) -> tuple[bool, bool]:
    """Whether the fit of Pop's changed status stands, and whether anything is due."""
    from movierec_bench.execution.jobs import is_due

    job.folder.write_status(replace(job.folder.read_status(), **changes))
    entry, manifest = job.entry, RunFolder(job.run).read_manifest()
    again = make_job(
        entry, RunFolder(job.run), job.dataset, manifest, job.test_fit, job.seed, job.budget, "", refit=True
    )
    return again.kept is not None, is_due(again)


def test_another_budget_redoes_just_what_had_run_out_of_it(copied: Path) -> None:
    job = replace(one_job(copied, "Pop"), budget=3600)
    assert kept_by(job) == (True, False)
    assert kept_by(job, state="budget", budget=40.0, fit_out_of_budget=False) == (True, True), "the refit alone"
    assert kept_by(job, state="budget", budget=40.0, fit_out_of_budget=True) == (False, True)
    assert kept_by(job, state="failed", budget=40.0, fit_out_of_budget=True) == (False, True), "its refit failed"
    assert kept_by(job, state="failed", budget=40.0, fit_out_of_budget=False) == (True, True)
    assert kept_by(job, state="budget", budget=3600.0, fit_out_of_budget=True) == (True, False)


def test_what_will_be_redone_is_said_once_with_the_reason(copied: Path) -> None:
    job = one_job(copied, "Pop")
    assert will_replace([job]) == ""
    assert will_replace([replace(job, kept=None, seed=7)]).startswith("1 finished model will be redone (seed 42")
    assert "(changed code): Pop;" in will_replace([replace(job, kept=None, code_hash="other")])


def test_other_code_of_the_model_redoes_it(copied: Path) -> None:
    job = one_job(copied, "Pop")
    assert job.kept is not None
    status: Status = job.kept
    assert replace(job, code_hash="other").fingerprint(status.reads) != status.fingerprint.fit


def test_a_key_that_a_model_does_not_read_redoes_nothing(copied: Path) -> None:
    folder = copied / "configs"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 2\nembedding_size: 8\n")
    go(copied, "BPR", configs=folder)
    ended = run_folder(copied).model("BPR").status.stat().st_mtime_ns
    common = (load_catalog()["EASE"].path.parents[1] / "common.yaml").read_text()
    (folder / "common.yaml").write_text(f"{common}hidden_size: 64\n")
    go(copied, "BPR", configs=folder)
    assert run_folder(copied).model("BPR").status.stat().st_mtime_ns == ended
    (folder / "common.yaml").write_text(common.replace("learning_rate: 0.001", "learning_rate: 0.002"))
    go(copied, "BPR", configs=folder)
    assert run_folder(copied).model("BPR").status.stat().st_mtime_ns != ended


def test_temporary_files_of_processes_that_are_over_are_swept(copied: Path) -> None:
    there = run_folder(copied)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale = [
        there.path / f".manifest.json.{dead.stdout.strip()}.tmp",
        there.model("Pop").path / f".status.json.{dead.stdout.strip()}-0123456789ab.tmp",
        there.path / "submissions" / f".Pop.csv.{dead.stdout.strip()}-0123456789ab.tmp",
    ]
    alive = there.path / f".leaderboard.csv.{os.getpid()}-0123456789ab.tmp"
    for path in [*stale, alive]:
        path.write_text("half")
    one_job(copied, "Pop")
    assert not any(path.exists() for path in stale) and alive.exists()


# -- the whole command's time ---------------------------------------------------------------------


def test_the_cheap_come_first_and_the_others_share_what_is_left(copied: Path) -> None:
    from movierec_bench.execution.jobs import in_turn

    catalog, job = load_catalog(), replace(one_job(copied, "Pop"), kept=None, ends_at=1000.0)
    jobs = [replace(job, entry=catalog[name]) for name in ("BPR", "EASE", "LightGCN", "Pop", "SASRec")]
    turns = in_turn(jobs, workers=1)
    assert [one.entry.name for one in turns] == ["Pop", "EASE", "BPR", "LightGCN", "SASRec"]
    assert [one.turns for one in turns] == [3, 3, 3, 2, 1]
    shares = [one.seconds_a_fit(now=100.0) for one in turns[2:]]
    assert shares == pytest.approx([0.85 * 900 / left / 3 for left in (3, 2, 1)])
    assert [one.turns for one in in_turn(jobs, workers=2)][2:] == [1.5, 1, 1]
    assert replace(turns[2], budget=20).seconds_a_fit(now=100.0) == 20
    assert replace(turns[2], refit=False, test_fit="train").seconds_a_fit(now=100.0) == pytest.approx(255.0)


def test_a_command_ends_with_its_hours_and_the_next_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    atomic(tmp_path)
    configs = tmp_path / "configs" / "models"
    configs.mkdir(parents=True)
    (configs / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 1000000\nstopping_step: 1000000\nembedding_size: 8\n")
    began = time.monotonic()
    board = go(tmp_path, "BPR,Pop", configs=tmp_path / "configs", hours=60 / 3600)
    assert time.monotonic() - began < 75
    assert board.to_frame().set_index("model")["status"].to_dict() == {"BPR": "budget", "Pop": "done"}
    assert all(run_folder(tmp_path).submission(name).is_file() for name in ("BPR", "Pop"))
    go(tmp_path, "BPR,Pop,Random", configs=tmp_path / "configs", hours=1e-9)
    assert "--hours was over before Random" in caplog.text
    assert not go(tmp_path, "BPR,Pop,Random", configs=tmp_path / "configs", hours=1).failed
    assert run_folder(tmp_path).submission("Random").is_file()
