"""Kept models: a run writes them, and they recommend to users, to strangers and under other settings."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.kept_reader import kept_reader
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.data.atomic import write_atomic
from movierec_bench.data.convert import convert
from movierec_bench.errors import ConfigError, DataError, ModelError
from movierec_bench.runs.folder import RunFolder

EPOCHS = {"BPR": 2, "BERT4Rec": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted data set, few epochs, and a run that kept its models."""
    folder = tmp_path_factory.mktemp("kept")
    write_atomic(planted_competition(), folder / "atomic_data", "planted")
    (folder / "configs" / "models").mkdir(parents=True)
    packaged = Path(mb.__file__).parents[1] / "recbole_configs" / "models"
    for name, epochs in EPOCHS.items():
        content = yaml.safe_load((packaged / f"{name}.yaml").read_text())
        (folder / "configs" / "models" / f"{name}.yaml").write_text(yaml.safe_dump({**content, "epochs": epochs}))
    go(folder, "EASE,Pop,BPR,BERT4Rec", keep_models=True)
    return folder


def go(folder: Path, models: str, **flags: object) -> pd.DataFrame:
    board = mb.run(
        models,
        atomic=folder / "atomic_data",
        out=folder / "runs",
        configs=folder / "configs",
        quiet=True,
        **flags,
    )
    return board.to_frame().set_index("model")


def test_the_run_that_kept_them_ranked_the_same(folder: Path, tmp_path: Path) -> None:
    run = RunFolder(folder / "runs" / "planted")
    with kept_reader(tmp_path) as read:
        for name in ("EASE", "Pop", "BPR", "BERT4Rec"):
            expected = run.model(name).read_topk("full", 10)
            pd.testing.assert_frame_equal(read(run.model(name).kept)[list(expected)], expected, rtol=1e-5)


def test_only_the_refit_is_repeated_for_a_model_that_was_not_kept(folder: Path) -> None:
    go(folder, "SLIM")
    model = RunFolder(folder / "runs" / "planted").model("SLIM")
    first = model.read_status().seconds
    assert not model.kept.exists()
    with pytest.raises(ConfigError, match="SLIM was not kept; expected a model of `run --keep-models`"):
        mb.load(folder / "runs" / "planted", "SLIM")
    go(folder, "SLIM", keep_models=True)
    again = model.read_status().seconds
    assert again.fit == first.fit and again.refit != first.refit
    assert len(mb.load(folder / "runs" / "planted", "SLIM").recommend(users=[100]).table) == 10


def test_without_a_refit_nothing_can_be_kept(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--keep-models keeps the refitted model"):
        go(folder, "EASE", keep_models=True, no_refit=True)


def test_users_and_strangers_get_titles(folder: Path) -> None:
    ease = mb.load(folder / "runs" / "planted", "EASE")
    table = ease.recommend(users="101, 100", k=3).to_frame()
    assert table["user"].tolist() == [101] * 3 + [100] * 3
    assert table["rank"].tolist() == [1, 2, 3] * 2
    assert (table["title"] == [f"Movie {item // 10 - 1}" for item in table["item"]]).all()

    even, odd = ease.recommend_for_histories([[10, 30, 50], "20,40,60"]).to_frame().groupby("user")["item"]
    assert set(even[1]).isdisjoint([10, 30, 50]) and set(odd[1]).isdisjoint([20, 40, 60])
    assert sum(item // 10 % 2 for item in even[1][:5]) > sum(
        item // 10 % 2 for item in odd[1][:5]
    )  # the planted tastes
    alone = ease.recommend(items=[10, 30, 50]).to_frame()
    assert alone["item"].tolist() == even[1].tolist()


def test_a_table_of_recommendations_overwrites_an_earlier_one_alone(folder: Path, tmp_path: Path) -> None:
    run, path = folder / "runs" / "planted", tmp_path / "top.csv"
    for user in ("100", "101"):
        mb.recommend(run, "EASE", users=user, out=path)
        assert pd.read_csv(path)["user"].unique().tolist() == [int(user)]
    titles = tmp_path / "titles.tsv"
    titles.write_text("item\ttitle\n10\tHeat\n")
    with pytest.raises(ConfigError, match=r"titles\.tsv is there and is no table of recommendations"):
        mb.recommend(run, "EASE", users="100", out=titles)
    assert titles.read_text() == "item\ttitle\n10\tHeat\n"


def test_what_cannot_be_is_said(folder: Path) -> None:
    run = folder / "runs" / "planted"
    ease = mb.load(run, "EASE")
    for asked in ({}, {"users": [100], "items": [10]}):
        with pytest.raises(ConfigError, match="expected --users or --items, one of them"):
            ease.recommend(**asked)
    with pytest.raises(DataError, match="user 7 is not among the 60 users of planted; for somebody new give --items"):
        ease.recommend(users=[100, 7])
    with pytest.raises(DataError, match="movie 11 is not among the .* movies of planted; expected ids .* such as 10"):
        ease.recommend(items="10,11")
    with pytest.raises(DataError, match="--items x: .*expected whole numbers"):
        ease.recommend(items="x")
    with pytest.raises(DataError, match="--items names none"):
        ease.recommend(items=[])
    with pytest.raises(ConfigError, match="--k is 0"):
        ease.recommend(users=[100], k=0)
    with pytest.raises(ModelError, match="BPR needs users it was trained on: .*one that reads histories"):
        mb.recommend(run, "BPR", items=[10])
    with pytest.raises(ConfigError, match="EASE has no parameter 'inference'"):
        mb.load(run, "EASE", inference="sum")
    with pytest.raises(ConfigError, match="inference"):
        mb.load(run, "BERT4Rec", inference="best")
    with pytest.raises(ConfigError, match="no model or ensemble 'EASY'"):
        mb.load(run, "EASY")


def test_a_filter_and_another_inference_rank_again_without_training(folder: Path) -> None:
    run = folder / "runs" / "planted"
    ease = mb.load(run, "EASE")
    plain, filtered = ease.recommend(users="all"), ease.recommend(users="all", filter="unpopular:15")
    watched = ease.kept.data.interactions["item"].value_counts()
    assert (watched[plain.table["item"]] < 15).any()
    ten = filtered.table[filtered.table["user"] == 100]
    assert len(ten) == 10 and (watched[ten["item"][:3]] >= 15).all()
    assert ease.recommend(users="all", filter="none").table.equals(plain.table)

    last, total = (mb.recommend(run, "BERT4Rec", users="all", inference=name) for name in ("last", "sum"))
    assert not last.table["score"].equals(total.table["score"])
    assert mb.recommend(run, "BERT4Rec", users="all").table.equals(
        mb.recommend(run, "BERT4Rec", users="all", inference=mb.load(run, "BERT4Rec").parameters["inference"]).table
    )


OWN_YAML = """catalog: {family: rule, source: ours, trainer: closed_form, batches: none, history: rows}
weight: 1.0  # float > 0
"""
OWN_CODE = '''
import torch

from movierec_bench.models import HistoryModel


class Largest(HistoryModel):
    """The movies of the largest numbers first."""

    other_parameter_name = ["scores"]

    def fit_closed_form(self):
        self.scores = torch.arange(self.n_items, dtype=torch.float32)

    def full_sort_predict(self, interaction):
        return self.scores.repeat(len(interaction[self.USER_ID]), 1)
'''


def test_a_model_of_ones_own_recommends_with_the_folder_that_has_its_class(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "models").mkdir(parents=True)
    (tmp_path / "mine" / "models" / "Largest.yaml").write_text(OWN_YAML)
    (tmp_path / "mine" / "models" / "Largest.py").write_text(OWN_CODE)
    mb.run(
        "Largest",
        atomic=folder / "atomic_data",
        out=tmp_path / "runs",
        configs=tmp_path / "mine",
        quiet=True,
        keep_models=True,
    )
    run = tmp_path / "runs" / "planted"
    with pytest.raises(ConfigError, match="no model here has it.*in models/ of the folder given with --configs"):
        mb.recommend(run, "Largest", users=[100])
    found = mb.recommend(run, "Largest", items=[10], k=3, configs=tmp_path / "mine").to_frame()
    assert found["item"].tolist() == sorted(found["item"], reverse=True)
    assert mb.load(run, "Largest", configs=tmp_path / "mine").name == "Largest"


def test_a_run_with_a_filter_recommends_with_it(folder: Path) -> None:
    write_atomic(planted_competition(seed=1), folder / "atomic_filtered", "planted")
    mb.run("Pop", atomic=folder / "atomic_filtered", out=folder / "filtered", filter="unpopular:15", keep_models=True)
    run = RunFolder(folder / "filtered" / "planted")
    kept = mb.load(run.path, "Pop").recommend(users="all").table
    expected = run.model("Pop").read_topk("full", 10)
    pd.testing.assert_frame_equal(kept[list(expected)], expected, rtol=1e-5)


def test_nothing_planted_in_the_folder_is_run(folder: Path, tmp_path: Path) -> None:
    model = RunFolder(folder / "runs" / "planted").model("EASE").kept
    assert {path.name for path in model.iterdir()} == {"model.json", "learned.npz", "data.npz"}
    ran = tmp_path / "ran"
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in model.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    touch = f"__import__('pathlib').Path({str(ran)!r}).touch()"
    for name in ("__init__.py", "model.py", "loader.py", "sitecustomize.py"):
        (copy / name).write_text(touch)
    for name in ("model.yaml", "MLmodel", "params.yaml"):
        (copy / name).write_text(f"!!python/object/apply:eval [{touch!r}]")
    for name in ("model.pkl", "learned.pkl", "model.pth", "learned.npy"):
        (copy / name).write_bytes(pickle.dumps(_Touch(ran)))
    from movierec_bench.kept.recommending import load_folder

    assert len(load_folder(copy).recommend(users=[100]).table) == 10
    assert not ran.exists()

    described = json.loads((copy / "model.json").read_text())
    teacher = {**described["model"]["parameters"], "teacher": touch}
    for change, error, message in (
        ({"module": "", "class_name": "os.system"}, ConfigError, "RecBole has no model 'os.system'"),
        ({"module": "os", "class_name": "system"}, ConfigError, "the class of EASE is none of this library's"),
        ({"module": "", "class_name": "KD_DAGFM", "parameters": teacher}, DataError, "teacher is .* expected one of"),
    ):
        changed = {**described, "model": {**described["model"], **change}}
        (copy / "model.json").write_text(json.dumps(changed))
        with pytest.raises(error, match=message):
            load_folder(copy)
    tree = np.frombuffer(b'{"array": 0}', dtype=np.uint8)
    np.savez(copy / "data.npz", tree=tree, **{"0": np.array([_Touch(ran)], dtype=object)})
    (copy / "model.json").write_bytes((model / "model.json").read_bytes())
    with pytest.raises(DataError, match="expected numbers and JSON"):
        load_folder(copy)
    assert not ran.exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_damaged_folder_is_told(folder: Path, tmp_path: Path) -> None:
    from movierec_bench.kept.recommending import load_folder

    run = RunFolder(folder / "runs" / "planted")
    with pytest.raises(DataError, match="model.json is not there"):
        load_folder(tmp_path)
    for path in run.model("EASE").kept.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "learned.npz").write_bytes((run.model("BPR").kept / "learned.npz").read_bytes())
    with pytest.raises(DataError, match="EASE cannot be made of what was kept"):
        load_folder(tmp_path).recommend(users=[100])
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 99; expected 1"):
        load_folder(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(DataError, match="model.json is damaged"):
        load_folder(tmp_path)


def test_string_ids_and_no_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["user,item"]
    for user in range(40):
        lines += [f"u{user},film {item:02d}" for item in rng.choice(30, 12, replace=False)]
    (tmp_path / "shop.csv").write_text("\n".join(lines) + "\n")
    convert(data=tmp_path / "shop.csv", out=tmp_path / "atomic_data")
    mb.run("EASE", atomic=tmp_path / "atomic_data", out=tmp_path / "runs", protocol="random", keep_models=True)
    ease = mb.load(tmp_path / "runs" / "shop", "EASE")
    assert ease.recommend(users="u7").table["user"].tolist() == ["u7"] * 10
    stranger = ease.recommend(items="film 01,film 02").table
    assert len(stranger) == 10 and not set(stranger["item"]) & {"film 01", "film 02"}
    with pytest.raises(ConfigError, match="--filter future:1: shop has no dates and no years"):
        ease.recommend(users="u7", filter="future")


def test_the_command_prints_titles(folder: Path) -> None:
    command = [sys.executable, "-m", "movierec_bench", "recommend", str(folder / "runs" / "planted"), "--model", "EASE"]
    done = subprocess.run([*command, "--items", "10,30", "--k", "4"], capture_output=True, text=True, check=True)
    expected = mb.load(folder / "runs" / "planted", "EASE").recommend(items=[10, 30], k=4).table["title"]
    assert "EASE recommends" in done.stdout and all(title in done.stdout for title in expected)
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2 and "expected --users or --items" in refused.stderr
    assert "Traceback" not in refused.stderr
