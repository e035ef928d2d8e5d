"""The run: what it leaves on disk, what it keeps, what it refuses, and how it survives failing models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from support.planted import planted_competition
from support.small_runs import BPR_HEAD, MODEL_FILES, MODELS, atomic, ended_at, go, small_configs

from movierec_bench.data.atomic import read_atomic, write_atomic
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.execution.run import run
from movierec_bench.reports.submission import validate_submission
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.opening import find_dataset
from movierec_bench.schema import BOARD_COLUMNS


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    atomic(folder)
    go(folder)
    return folder


# -- what a run leaves --------------------------------------------------------------------------


def test_every_file_of_the_contract_is_there(finished: Path) -> None:
    run_folder = finished / "runs" / "planted"
    for name in MODELS.split(","):
        assert {path.name for path in (run_folder / "models" / name).iterdir()} == MODEL_FILES
        assert (run_folder / "submissions" / f"{name}.csv").is_file()
    for name in ("manifest.json", "leaderboard.csv", "leaderboard.md", "leaderboard.html"):
        assert (run_folder / name).is_file()
    assert {path.name for path in (run_folder / "split").iterdir()} == {
        "train.parquet",
        "valid.parquet",
        "test.parquet",
    }


def test_the_board_begins_with_the_contracts_columns(finished: Path) -> None:
    board = pd.read_csv(finished / "runs" / "planted" / "leaderboard.csv")
    assert tuple(board.columns[: len(BOARD_COLUMNS)]) == BOARD_COLUMNS
    assert board["status"].tolist() == ["done"] * 3
    assert board["place"].tolist() == [1, 2, 3]
    assert board["users"].nunique() == 1


def test_rankings_mask_what_the_protocol_lets_a_model_see(finished: Path) -> None:
    split = finished / "runs" / "planted" / "split"
    train, valid, test = (pd.read_parquet(split / f"{part}.parquet") for part in ("train", "valid", "test"))
    model = RunFolder(finished / "runs" / "planted").model("EASE")
    for part, seen, users in (
        ("valid", [train], valid),
        ("test", [train, valid], test),
        ("full", [train, valid, test], pd.concat([train, valid, test])),
    ):
        topk = model.read_topk(part)
        assert set(topk["user"]) == set(users["user"])
        assert len(topk.merge(pd.concat(seen), on=["user", "item"])) == 0
        assert topk.groupby("user")["rank"].apply(lambda rank: rank.tolist() == list(range(1, len(rank) + 1))).all()


def test_the_board_is_scored_from_the_stored_ranking(finished: Path) -> None:
    run_folder = RunFolder(finished / "runs" / "planted")
    board = pd.read_csv(run_folder.leaderboard("csv")).set_index("model")
    test = pd.read_parquet(run_folder.split / "test.parquet")
    for name in MODELS.split(","):
        again = per_user(run_folder.model(name).read_topk("test"), test)
        assert board.loc[name, "recall@10"] == pytest.approx(again["recall@10"].mean(), abs=1e-12)


def test_submissions_are_valid(finished: Path) -> None:
    data = read_atomic(finished / "atomic_data" / "planted")
    for name in MODELS.split(","):
        submission = pd.read_csv(RunFolder(finished / "runs" / "planted").submission(name))
        assert list(submission.columns) == ["user", "item"]
        validate_submission(submission, data.interactions, data.vocabulary)


def test_the_refit_takes_the_best_epoch_count(finished: Path) -> None:
    folder = RunFolder(finished / "runs" / "planted").model("BPR")
    status = folder.read_status()
    epochs = pd.read_csv(folder.epochs)
    assert list(epochs.columns) == ["epoch", "train_loss", "valid_recall@10", "seconds"]
    assert status.best_epoch == epochs.loc[epochs["valid_recall@10"].idxmax(), "epoch"]


def test_a_run_keeps_how_long_pretraining_lasted_for_its_refit(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "S3Rec", budget=0.02)
    status = RunFolder(tmp_path / "runs" / "planted").model("S3Rec").read_status()
    assert status.stage_epochs == {"pretrain_epochs": status.best_epoch - 1}
    assert status.stage_epochs["pretrain_epochs"] < status.epochs, "a model that never learned to rank"


def test_params_hold_every_parameter_that_took_effect(finished: Path) -> None:
    import yaml

    params = yaml.safe_load(RunFolder(finished / "runs" / "planted").model("BPR").params.read_text())
    assert params["embedding_size"] == 8
    assert params["learning_rate"] == 0.001
    assert params["seed"] == 42


def test_the_manifest_says_what_it_rests_on(finished: Path) -> None:
    manifest = RunFolder(finished / "runs" / "planted").read_manifest()
    assert manifest.data_hash == read_atomic(finished / "atomic_data" / "planted").data_hash
    assert "--models Pop,EASE,BPR" in manifest.command
    assert {"recbole", "torch", "movierec_bench"} <= set(manifest.versions)


# -- resuming -----------------------------------------------------------------------------------


def test_running_again_keeps_what_is_finished(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "Pop,BPR")
    before = ended_at(tmp_path)
    go(tmp_path, "Pop,BPR,Random")
    after = ended_at(tmp_path)
    assert {name: after[name] for name in before} == before
    assert "Random" in after


def test_a_changed_yaml_redoes_just_its_model(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "Pop,BPR")
    before = ended_at(tmp_path)
    (small_configs(tmp_path) / "models" / "BPR.yaml").write_text(f"{BPR_HEAD}epochs: 2\n")
    run(
        "Pop,BPR",
        atomic=tmp_path / "atomic_data",
        out=tmp_path / "runs",
        configs=tmp_path / "configs",
        quiet=True,
    )
    after = ended_at(tmp_path)
    assert after["Pop"] == before["Pop"]
    assert after["BPR"] != before["BPR"]


def test_a_refit_that_was_left_out_comes_without_another_fit(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "BPR", no_refit=True)
    model = RunFolder(tmp_path / "runs" / "planted").model("BPR")
    assert not model.topk("full").exists()
    before = ended_at(tmp_path)
    board = go(tmp_path, "BPR")
    assert ended_at(tmp_path) == before
    assert model.topk("full").is_file()
    assert board.to_frame()["refit_seconds"].notna().all()


def test_a_lost_submission_is_written_again(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "Pop")
    submission = RunFolder(tmp_path / "runs" / "planted").submission("Pop")
    text = submission.read_text()
    submission.unlink()
    go(tmp_path, "Pop")
    assert submission.read_text() == text


def test_another_seed_redoes_the_models(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "Random")
    before = ended_at(tmp_path)
    go(tmp_path, "Random", seed=7)
    assert ended_at(tmp_path) != before


def test_other_data_or_protocol_is_refused_until_fresh(tmp_path: Path) -> None:
    atomic(tmp_path)
    go(tmp_path, "Pop")
    with pytest.raises(DataError, match="other protocol.*--fresh"):
        go(tmp_path, "Pop", protocol="last")
    atomic(tmp_path, seed=1)
    with pytest.raises(DataError, match="other data.*--fresh"):
        go(tmp_path, "Pop")
    go(tmp_path, "Pop", fresh=True)


def test_a_folder_that_is_no_run_is_never_deleted_silently(tmp_path: Path) -> None:
    atomic(tmp_path)
    (tmp_path / "runs" / "planted").mkdir(parents=True)
    (tmp_path / "runs" / "planted" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no run of ours"):
        go(tmp_path, "Pop")
    assert (tmp_path / "runs" / "planted" / "thesis.txt").read_text() == "years of work"


def test_two_runs_on_one_folder_are_refused(tmp_path: Path) -> None:
    atomic(tmp_path)
    (tmp_path / "runs").mkdir()
    with FileLock(tmp_path / "runs" / ".planted.lock"), pytest.raises(ConfigError, match="another command"):
        go(tmp_path, "Pop")


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "EASY"}, "did you mean EASE"),
        ({"budget": 0}, "--budget is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"filter": "future:soon"}, "--filter 'future:soon' is unknown"),
        ({"protocol": "lastly"}, "lastly"),
        ({"dataset": "other"}, "no data set 'other'; expected one of planted"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    atomic(tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        go(tmp_path, **changes)
    assert not (tmp_path / "runs" / "planted").exists()


def test_the_data_set_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="convert` first"):
        find_dataset(tmp_path / "nothing", None)
    for name in ("a", "b"):
        write_atomic(planted_competition(), tmp_path, name)
    with pytest.raises(DataError, match="a, b; say which"):
        find_dataset(tmp_path, None)
    assert find_dataset(tmp_path, "b") == tmp_path / "b"


# -- no leak ------------------------------------------------------------------------------------


def test_shuffling_the_test_rows_changes_no_model(tmp_path: Path) -> None:
    """Other test rows, same train and validation rows: every stored test and validation ranking stays the same."""
    atomic(tmp_path)
    go(tmp_path, no_refit=True)
    run_folder = RunFolder(tmp_path / "runs" / "planted")
    before = {name: run_folder.model(name).read_topk("test") for name in MODELS.split(",")}
    valid_before = {name: run_folder.model(name).read_topk("valid") for name in MODELS.split(",")}

    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    competition = planted_competition()
    test_path = run_folder.split / "test.parquet"
    test = pd.read_parquet(test_path)
    rng = np.random.default_rng(5)
    moved = test.assign(item=rng.permutation(test["item"].to_numpy())).drop_duplicates(["user", "item"])
    kept = pd.concat([pd.read_parquet(run_folder.split / f"{part}.parquet") for part in ("train", "valid")])
    moved = (
        moved.merge(kept[["user", "item"]], how="left", indicator=True)
        .query("_merge == 'left_only'")
        .drop(columns="_merge")
    )
    from dataclasses import replace as changed

    ratings = pd.concat([kept, moved], ignore_index=True)
    write_atomic(changed(competition, ratings=ratings), shuffled / "atomic_data", "planted")
    other = RunFolder(shuffled / "runs" / "planted")
    from movierec_bench.data.split import Split, write_split

    # The same division of rows, whatever the protocol would draw: only the test rows differ.
    parts = [pd.read_parquet(run_folder.split / f"{part}.parquet") for part in ("train", "valid")]
    write_split(Split(*parts, test=moved), other.split)
    data_hash = read_atomic(shuffled / "atomic_data" / "planted").data_hash
    manifest = changed(run_folder.read_manifest(), data_hash=data_hash, split={})
    other.write_manifest(manifest)
    go(shuffled, no_refit=True)
    assert len(moved) > 0.5 * len(test)
    for name in MODELS.split(","):
        after = other.model(name).read_topk("test")
        common = set(after["user"])
        pd.testing.assert_frame_equal(before[name][before[name]["user"].isin(common)].reset_index(drop=True), after)
        pd.testing.assert_frame_equal(valid_before[name], other.model(name).read_topk("valid"))
