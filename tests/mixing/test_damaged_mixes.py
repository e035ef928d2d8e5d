"""A mix vouches for its files like a model's result: damage is named by whatever meets it, and made good."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.mix_runs import write_run

from movierec_bench.errors import BenchError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.submission import submit
from movierec_bench.runs.files import stored_file
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import SUBMISSION

FILES = ("params.yaml", "per_user.parquet", SUBMISSION, "topk_full.parquet", "topk_test.parquet", "topk_valid.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = write_run(tmp_path_factory.mktemp("damaged"), users=40)
    ensemble(run.path, method="vote", no_track=True)
    return run


@pytest.fixture
def copy(made: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(made.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def file_of(run: RunFolder, name: str) -> Path:
    return run.submission("vote") if name == SUBMISSION else run.ensemble("vote").path / name


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_mix_vouches_for_size_and_content_of_each_of_its_files(made: RunFolder) -> None:
    files = made.ensemble("vote").read_status().files
    assert files == {name: stored_file(file_of(made, name)) for name in FILES}


@pytest.mark.parametrize("harm", [cut, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_the_board_names_a_damaged_mix_and_the_same_command_makes_it_again(
    copy: RunFolder, name: str, harm: Callable[[Path], object]
) -> None:
    before = file_of(copy, name).read_bytes()
    harm(file_of(copy, name))
    row = build_board(copy).to_frame().set_index("model").loc["vote"]
    assert row["status"] == "damaged" and name in row["error"]
    ensemble(copy.path, method="vote", no_track=True)
    assert build_board(copy).to_frame().set_index("model").loc["vote", "status"] == "done"
    assert file_of(copy, name).read_bytes() == before


@pytest.mark.parametrize(
    ("harm", "said"), [(cut, "has .* bytes"), (change, "has other content"), (Path.unlink, "is not there, though")]
)
def test_no_submission_and_no_mix_comes_of_a_damaged_ranking(
    copy: RunFolder, harm: Callable[[Path], object], said: str
) -> None:
    harm(copy.ensemble("vote").topk("full"))
    for command in (
        lambda: submit(copy.path, "vote"),
        lambda: ensemble(copy.path, method="rrf", models="vote,Even", no_track=True),
        lambda: ensemble(copy.path, method="concat", models="Even,vote", firsts="5", no_track=True),
    ):
        with pytest.raises(BenchError, match=rf"ensembles/vote/topk_full\.parquet {said}"):
            command()
    assert [folder.name for folder in copy.ensembles()] == ["vote"]


def test_a_submission_sweeps_what_a_killed_one_was_writing(copy: RunFolder) -> None:
    left = copy.path / "submissions" / f".Even.csv.{2**22 + 1}-0123456789ab.tmp"
    left.write_text("user,it")
    submit(copy.path, "vote")
    assert not left.exists()
