"""`eda` as a user runs it: a subprocess in an empty folder; what it leaves there, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.mix_runs import write_run

import movierec_bench as mb
from movierec_bench.data.atomic import read_atomic
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.reports.eda import command
from movierec_bench.reports.eda.numbers import judged
from movierec_bench.runs.folder import RunFolder


def bench(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "movierec_bench", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_ml_100k_in_an_empty_folder(tmp_path: Path) -> None:
    bench(tmp_path, "convert")
    said = bench(tmp_path, "eda").stdout
    assert {path.name for path in tmp_path.iterdir()} == {"atomic_data", "eda"}
    folder = tmp_path / "eda" / "ml-100k"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    pictures = manifest["pictures"]
    expected = {"index.html", "manifest.json"} | {f"{name}.{kind}" for name in pictures for kind in ("png", "csv")}
    assert {path.name for path in folder.iterdir()} == expected
    assert f"eda/ml-100k/index.html and {len(pictures)} pictures" in said and "no run to judge the users by" in said
    lengths = pd.read_csv(folder / "history-lengths.csv")
    assert lengths["users"].sum() == 943
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "No movie of these data has a director." in page and "run --dataset ml-100k" in page
    bench(tmp_path, "eda", "--bad-below", "0.3", code=2)
    assert "holds no data set" in bench(tmp_path, "eda", "--dataset", "nothing", code=2).stderr


# -- with a run of made-up models ---------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data in ``atomic`` and a run in ``runs/planted``."""
    folder = tmp_path_factory.mktemp("made")
    write_run(folder, users=60)
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`made` as the working directory, without pictures."""
    monkeypatch.chdir(made)
    yield made
    shutil.rmtree(made / "eda", ignore_errors=True)


def test_the_run_beside_is_found_and_judges(here: Path) -> None:
    found = mb.eda(atomic="atomic", quiet=True)
    assert found.run == Path("runs/planted")
    assert found.page == Path("eda/planted/index.html") and found.page.is_file()
    assert set(found.pictures) >= {"judged-users", "judged-lengths", "judged-spans", "judged-genres"}
    assert "The judges are Even" in found.page.read_text(encoding="utf-8")
    counted = pd.read_csv(here / "eda" / "planted" / "judged-users.csv")
    assert counted["users"].sum() == 60


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG files without a picture, where other things are tested: to draw them takes seconds."""
    monkeypatch.setattr(command, "write_png", lambda path, figure: path.touch())


@pytest.mark.usefixtures("undrawn")
def test_pictures_are_replaced_as_a_whole_or_not_at_all(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mb.eda(atomic="atomic", out="elsewhere", quiet=True).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, figure: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "write_png", full)
    with pytest.raises(ConfigError, match="elsewhere/planted cannot be written .No space left"):
        mb.eda(atomic="atomic", out="elsewhere", quiet=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["planted"]
    shutil.rmtree(folder.parent)


def test_what_is_not_ours_is_not_replaced(here: Path) -> None:
    (here / "eda" / "planted").mkdir(parents=True)
    (here / "eda" / "planted" / "holiday.png").touch()
    with pytest.raises(ConfigError, match="was not made by eda"):
        mb.eda(atomic="atomic", quiet=True)
    assert [path.name for path in (here / "eda" / "planted").iterdir()] == ["holiday.png"]


@pytest.mark.parametrize("out", ["runs", "atomic"])
def test_a_run_or_data_of_that_name_are_not_replaced_though_they_have_a_manifest(here: Path, out: str) -> None:
    before = {path: path.read_bytes() for path in (here / out).rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=f"{out}/planted is there and was not made by eda"):
        mb.eda(atomic="atomic", out=out, quiet=True)
    assert {path: path.read_bytes() for path in (here / out).rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("undrawn")
def test_pictures_among_which_somebody_has_put_a_file_are_not_replaced(here: Path) -> None:
    folder = mb.eda(atomic="atomic", quiet=True).folder
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="eda/planted holds notes.txt, which was not made by eda"):
        mb.eda(atomic="atomic", quiet=True)
    (folder / "notes.txt").unlink()
    mb.eda(atomic="atomic", quiet=True)


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_other_data_does_not_judge(here: Path) -> None:
    run = RunFolder(here / "runs" / "planted")
    kept = run.manifest.read_text(encoding="utf-8")
    try:
        run.manifest.write_text(kept.replace(run.read_manifest().data_hash, "0" * 16), encoding="utf-8")
        assert mb.eda(atomic="atomic", quiet=True).run is None
        with pytest.raises(DataError, match="expected data 0000000000000000"):
            mb.eda(run="runs/planted", quiet=True)
    finally:
        run.manifest.write_text(kept, encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"judges": "Evne"}, "no model or ensemble 'Evne'.*Even"),
        ({"bad_below": 0.5, "good_from": 0.4}, "--bad-below is 0.5 and --good-from is 0.4"),
        ({"good_from": 1.5}, "expected shares between 0 and 1"),
        ({"pause": 0}, "--pause is 0"),
        ({"run": "runs/planted", "dataset": "other"}, "is a run of planted, not of other"),
    ],
)
def test_what_cannot_be_is_refused(here: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mb.eda(**{"atomic": "atomic", "quiet": True, **wrong})  # type: ignore[arg-type]
    assert not (here / "eda").exists()


def test_judges_without_a_run_are_refused(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no run of planted"):
        mb.eda(atomic=here / "atomic", judges="Even", quiet=True)


# -- the judges -------------------------------------------------------------------------------


def test_groups_by_hand() -> None:
    recall = pd.DataFrame({"A": [0.0, 0.1, 0.2, 0.9], "B": [0.09, 0.0, 0.2, 0.19]}, index=[1, 2, 3, 4])
    assert judged.group_users(recall, 0.1, 0.2).to_dict() == {
        1: judged.BAD,
        2: judged.MIXED,  # .1 is not below .1
        3: judged.GOOD,  # .2 reaches .2
        4: judged.MIXED,
    }


def test_judges_are_asked_about_validation_rows_only(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "runs", tmp_path / "runs")
    run = RunFolder(tmp_path / "runs" / "planted")
    movies = read_atomic(made / "atomic" / "planted").movies
    before = judged.judge(run, movies)
    assert before.judges[0] == "Even" and len(before.judges) == judged.JUDGES
    (run.split / "test.parquet").unlink()
    for folder in run.models():
        for path in (folder.topk("test"), folder.topk("full"), folder.per_user):
            path.unlink()
    after = judged.judge(run, movies)
    pd.testing.assert_frame_equal(after.recall, before.recall)
    train = pd.read_parquet(run.split / "train.parquet")
    assert len(after.histories) == len(train), "what is told of the users comes from training rows"


def test_a_user_that_a_judge_cannot_rank_has_nothing(made: Path) -> None:
    run = RunFolder(made / "runs" / "planted")
    valid = pd.read_parquet(run.split / "valid.parquet")
    stranger = pd.DataFrame({"user": [-5], "item": valid["item"].iloc[:1].tolist(), "time": [0]})
    recall = judged.valid_recall(run, ["Even", "Noise"], pd.concat([valid, stranger]))
    assert recall.loc[-5].tolist() == [0, 0]
    assert recall.columns.tolist() == ["Even", "Noise"]
    # Even's recall of one user, counted from its ten and the held-out rows.
    user = valid["user"].iloc[0]
    ten = run.model("Even").read_topk("valid", 10).query("user == @user")["item"]
    wanted = valid.query("user == @user")["item"]
    assert recall.loc[user, "Even"] == len(set(ten) & set(wanted)) / min(10, len(wanted))


def test_tables_of_the_groups(made: Path) -> None:
    run = RunFolder(made / "runs" / "planted")
    judgement = judged.judge(run, read_atomic(made / "atomic" / "planted").movies, ["Weak"], 0.1, 0.3)
    train = pd.read_parquet(run.split / "train.parquet")
    lengths = train.groupby("user").size()
    summary = judged.group_summary(judgement).set_index("group")
    assert summary.loc[[judged.BAD, judged.GOOD], "users"].min() > 0, "or this test would see nothing"
    there = [group for group in judged.GROUPS if summary.loc[group, "users"]]
    for group in there:
        users = judgement.group.index[judgement.group == group]
        assert summary.loc[group, "users"] == len(users)
        assert summary.loc[group, "median_rows_a_user"] == lengths.loc[users].median()
        assert summary.loc[group, "mean_valid_recall@10"] == pytest.approx(judgement.recall.loc[users, "Weak"].mean())
    counted = judged.group_lengths(judgement).groupby("group")["users"].sum()
    assert counted.to_dict() == summary.loc[there, "users"].to_dict()
    spans = judged.group_spans(judgement).groupby("group")["share"].sum()
    assert spans.to_dict() == pytest.approx(dict.fromkeys(there, 1.0))


def test_genres_of_the_groups(made: Path) -> None:
    run = RunFolder(made / "runs" / "planted")
    movies = read_atomic(made / "atomic" / "planted").movies
    judgement = judged.judge(run, movies, ["Weak"], 0.1, 0.3)
    table = judged.group_genres(judgement).set_index(["group", "genre"])
    train = pd.read_parquet(run.split / "train.parquet").merge(movies, on="item")
    shares = train.assign(drama=train["genre"].map(lambda genres: "Drama" in genres)).groupby("user")["drama"].mean()
    bad = shares.loc[judgement.group.index[judgement.group == judged.BAD]]
    assert table.loc[(judged.BAD, "Drama"), "mean_share_a_user"] == pytest.approx(bad.mean())
    assert table.loc[(judged.BAD, "Drama"), "variance_share_a_user"] == pytest.approx(bad.var(ddof=1))
