"""Several seeds of training and of the split: where their results go, what the board makes of them, what goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.commands.leaderboard import show_board
from movierec_bench.data.atomic import write_atomic
from movierec_bench.data.split import read_part
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.statistics import mean_interval
from movierec_bench.mixing.mix import Mix
from movierec_bench.reports.board import Board
from movierec_bench.reports.pages import Figure, Table
from movierec_bench.reports.report.material import read_material
from movierec_bench.reports.report.repeated import seeds_chapter
from movierec_bench.reports.user_segments import best_on_validation
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.seeds import split_runs
from movierec_bench.schema import MAIN_METRIC

MODELS = "Random,Pop"


def go(folder: Path, models: str = MODELS, **flags: Any) -> Board:
    where = {"atomic": folder / "atomic_data", "out": folder / "runs", "quiet": True}
    return mb.run(models, **{**where, **flags})


def written(run: RunFolder) -> dict[str, float]:
    """When each status of a run was written."""
    return {folder.name: folder.status.stat().st_mtime_ns for folder in run.models()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with two seeds each, under two splits; one model was there before with one seed."""
    folder = tmp_path_factory.mktemp("seeds")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    go(folder, "Pop")
    before = written(RunFolder(folder / "runs" / "planted"))
    go(folder, seeds=2, split_seeds=2)
    assert written(RunFolder(folder / "runs" / "planted"))["Pop"] == before["Pop"]
    return folder


@pytest.fixture
def run(folder: Path) -> RunFolder:
    return RunFolder(folder / "runs" / "planted")


@pytest.fixture
def other(folder: Path) -> RunFolder:
    return RunFolder(folder / "runs" / "planted@split43")


def recall(run: RunFolder, name: str) -> float:
    return run.model(name).read_status().metrics[MAIN_METRIC]


def test_a_further_seed_is_a_model_of_the_run_with_a_submission(run: RunFolder, other: RunFolder) -> None:
    names = ["Pop", "Pop@seed43", "Random", "Random@seed43"]
    for there in (run, other):
        assert [model.name for model in there.models()] == names
        assert [there.model(name).read_status().seed for name in names] == [42, 43] * 2
        assert all(there.submission(name).is_file() for name in names)
    assert recall(run, "Pop") == recall(run, "Pop@seed43")
    assert len({recall(run, name) for name in names[2:]}) > 1


def test_another_split_is_a_run_of_its_own_on_other_rows(run: RunFolder, other: RunFolder) -> None:
    manifests = [run.read_manifest(), other.read_manifest()]
    assert manifests[0].data_hash == manifests[1].data_hash
    assert manifests[0].protocol_hash != manifests[1].protocol_hash
    rows = [set(map(tuple, read_part(there.split, "test")[["user", "item"]].to_numpy())) for there in (run, other)]
    assert rows[0] != rows[1]
    assert [there.path.name for there in split_runs(run)] == ["planted@split43"]
    assert split_runs(other) == []


def test_the_board_has_mean_deviation_and_interval_of_both_kinds_of_seeds(run: RunFolder, other: RunFolder) -> None:
    table = mb.leaderboard(run.path).to_frame().set_index("model")
    seeds = {there: [recall(there, name) for name in ("Random", "Random@seed43")] for there in (run, other)}
    splits = [sum(values) / 2 for values in seeds.values()]
    for kind, values in (("seeds", seeds[run]), ("splits", splits)):
        expected = mean_interval(values)
        row = table.loc["Random", [f"{kind}{end}" for end in ("", "_mean", "_sd", "_low", "_high")]].tolist()
        assert row == pytest.approx(
            [expected.count, expected.mean, expected.deviation, expected.low, expected.high], abs=1e-12
        )
    differences = mean_interval([splits[0] - recall(run, "Pop"), splits[1] - recall(other, "Pop")])
    found = table.loc["Random", ["splits_difference", "splits_difference_low", "splits_difference_high"]].tolist()
    assert found == pytest.approx([differences.mean, differences.low, differences.high], abs=1e-12)
    assert table.loc["Pop", "splits_difference":].isna().all()


def test_further_seeds_have_no_place_and_are_compared_with_nobody(run: RunFolder) -> None:
    board = mb.leaderboard(run.path)
    table = board.to_frame().set_index("model")
    assert table["place"].dropna().to_dict() == {"Pop": 1, "Random": 2}
    assert set(board.tests["model"]) == {"Random"}
    assert (table.loc[["Pop@seed43", "Random@seed43"], "status"] == "done").all()
    assert "Random@seed43" not in set(mb.leaderboard(run.path, by="length").to_frame()["model"])


def test_the_terminal_shows_both_tables(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    show_board(mb.leaderboard(run.path))
    shown = capsys.readouterr().out
    assert "recall@10 over training seeds and splits" in shown
    assert "minus Pop" in shown and "Random@seed43" not in shown
    assert "seeds_mean" in run.leaderboard("csv").read_text().splitlines()[0]
    assert "over training seeds and splits" in mb.leaderboard(run.path)._repr_html_()


def test_the_report_draws_both_means(run: RunFolder, tmp_path: Path) -> None:
    section = seeds_chapter(read_material(run.path))
    *figures, table = section.parts
    assert [figure.name for figure in figures if isinstance(figure, Figure)] == ["over-seeds", "over-splits"]
    assert isinstance(table, Table)
    board = mb.leaderboard(run.path).to_frame().set_index("model").loc[["Pop", "Random"]]
    assert table.frame.set_index("model")["splits_mean"].to_dict() == board["splits_mean"].to_dict()
    assert "over-splits" in mb.report(run.path, tmp_path / "page.html").read_text(encoding="utf-8")


def test_running_again_redoes_what_is_lost_and_nothing_else(folder: Path, run: RunFolder, other: RunFolder) -> None:
    before = [written(there) for there in (run, other)]
    other.model("Random@seed43").topk("test").unlink()
    go(folder, seeds=2, split_seeds=2)
    after = [written(there) for there in (run, other)]
    assert after[0] == before[0]
    assert [name for name in after[1] if after[1][name] != before[1][name]] == ["Random@seed43"]


def test_a_mix_is_made_in_every_split_and_says_what_it_brings(run: RunFolder, other: RunFolder) -> None:
    made = mb.ensemble(run.path, method="rrf", models="Random,Random@seed43,Pop", no_track=True)
    assert isinstance(made, Mix)
    assert [split.run.name for split in made.splits] == ["planted", "planted@split43"]
    recalls = [there.ensemble("rrf").read_status().metrics[MAIN_METRIC] for there in (run, other)]
    assert [split.recall for split in made.splits] == recalls
    singles = [best_on_validation(there, 1)[0] for there in (run, other)]
    assert [split.single for split in made.splits] == singles
    gain = sum(recalls) / 2 - sum(map(recall, (run, other), singles)) / 2
    assert f"over 2 splits: test recall@10 {sum(recalls) / 2:.4f}, {gain:+.4f}" in made.describe()
    row = mb.leaderboard(run.path).to_frame().set_index("model").loc["rrf"]
    assert (row["splits"], row["splits_mean"]) == (2, pytest.approx(sum(recalls) / 2))


def test_a_split_without_the_members_costs_the_others_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_atomic(planted_competition(), tmp_path / "atomic_data", "planted")
    go(tmp_path, "Pop", split_seeds=2, no_refit=True)
    go(tmp_path, "Random", no_refit=True)
    made = mb.ensemble(tmp_path / "runs" / "planted", method="rrf", models="Random,Pop", no_track=True)
    assert isinstance(made, Mix) and len(made.splits) == 1
    assert "no mix of the split in" in caplog.text and "Random" in caplog.text


def test_a_model_that_fails_under_another_split_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(planted_competition(), tmp_path / "atomic_data", "planted")
    board = go(tmp_path, "Pop", split_seeds=2, no_refit=True)
    assert not board.failed
    models = tmp_path / "configs" / "models"
    models.mkdir(parents=True)
    (models / "Odd.yaml").write_text(
        "catalog: {family: rule, source: ours, trainer: closed_form, batches: interactions, history: rows}\n"
    )
    (models / "odd.py").write_text("raise ValueError('odd')\n")
    board = go(tmp_path, "Pop,Odd", split_seeds=2, no_refit=True, configs=tmp_path / "configs")
    assert board.failed
    assert "Odd of planted@split43" in board.not_replaced


def test_a_result_under_another_filter_is_no_repetition(run: RunFolder) -> None:
    model = run.model("Random@seed43")
    status = model.read_status()
    model.write_status(replace(status, filter="unpopular:1"))
    assert mb.leaderboard(run.path).to_frame().set_index("model").loc["Random", "seeds"] == 1
    model.write_status(status)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seeds": 0}, "--seeds is 0; expected a number above 0"),
        ({"seed": -1}, "--seed is -1; expected a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "--seed is 4294967296"),
        ({"seed": 2**32 - 1, "seeds": 2}, "--seed is 4294967295; expected a whole number from 0 to 4294967294"),
        ({"split_seeds": 2, "protocol": "last"}, "the protocol 'last' draws nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        go(folder, **flags)


def test_a_group_cannot_have_the_name_of_a_seed(folder: Path, tmp_path: Path) -> None:
    user = read_part(folder / "runs" / "planted" / "split", "train")["user"].iloc[0]
    (tmp_path / "seed43.csv").write_text(f"{user}\n")
    with pytest.raises(DataError, match="are called 'seed43'"):
        go(folder, "Pop", only_users=str(tmp_path / "seed43.csv"))
