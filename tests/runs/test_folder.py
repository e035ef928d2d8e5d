"""The layout of a run folder, its records, and that no reader ever meets half a file."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.runs.files import replacing, write_csv, write_parquet, write_text, write_yaml
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.records import STATES, STATUS_METRICS, Fingerprint, RunManifest, Seconds, Status, StoredFile
from movierec_bench.schema import ITEM, METRICS, RANK, SCORE, USER
from movierec_bench.settings.yaml_files import load_yaml

DONE = Status(
    model="EASE",
    state="done",
    family="general",
    source="ours",
    fingerprint=Fingerprint(fit="aa", refit="bb"),
    seconds=Seconds(load=0.5, fit=1.25, rank=0.1, score=0.2, refit=1.5, submit=0.3),
    peak_rss_mb=512.5,
    epochs=12,
    best_epoch=9,
    metrics=dict.fromkeys(STATUS_METRICS, 0.1),
    users=943,
    missing_users=1,
    budget=60.0,
    filter="future",
)
MANIFEST = RunManifest(
    dataset="ml-100k",
    atomic="atomic_data",
    data_hash="d" * 16,
    protocol="competition",
    protocol_hash="p" * 16,
    seed=7,
    versions={"recbole": "1.2.1", "torch": "2.13.0"},
    command="python -m movierec_bench run --models fast",
)


def test_every_path_is_the_one_of_the_contract(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    ease = run.model("EASE")
    paths = [
        run.manifest,
        run.split,
        ease.status,
        ease.params,
        ease.epochs,
        ease.topk("valid"),
        ease.topk("test"),
        ease.topk("full"),
        ease.per_user,
        ease.log,
        run.leaderboard("csv"),
        run.leaderboard("md"),
        run.leaderboard("html"),
        run.submission("EASE"),
        run.ensemble("vote").topk("full"),
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "manifest.json",
        "split",
        "models/EASE/status.json",
        "models/EASE/params.yaml",
        "models/EASE/epochs.csv",
        "models/EASE/topk_valid.parquet",
        "models/EASE/topk_test.parquet",
        "models/EASE/topk_full.parquet",
        "models/EASE/per_user.parquet",
        "models/EASE/log.txt",
        "leaderboard.csv",
        "leaderboard.md",
        "leaderboard.html",
        "submissions/EASE.csv",
        "ensembles/vote/topk_full.parquet",
    ]


def test_an_unknown_ranking_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'train'.*'valid', 'test', 'full'"):
        RunFolder(tmp_path).model("EASE").topk("train")


def test_folders_are_listed_by_name_and_files_are_not(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.models() == [] and run.ensembles() == []
    for folder in (run.model("SASRec"), run.model("BPR"), run.ensemble("vote")):
        folder.path.mkdir(parents=True)
    write_text(tmp_path / "models" / "notes.txt", "not a model")
    assert [folder.name for folder in run.models()] == ["BPR", "SASRec"]
    assert run.find("vote") == run.ensemble("vote")
    assert run.find("BPR") == run.model("BPR")


@pytest.mark.parametrize(("wrong", "hint"), [("SASRek", "SASRec"), ("zzz", "BPR, SASRec"), ("../BPR", "BPR")])
def test_a_model_that_is_not_in_the_run_is_refused_with_names(tmp_path: Path, wrong: str, hint: str) -> None:
    run = RunFolder(tmp_path)
    for name in ("BPR", "SASRec"):
        run.model(name).path.mkdir(parents=True)
    with pytest.raises(ConfigError, match=hint):
        run.find(wrong)


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom movierec_bench.runs.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_csv_keeps_every_digit_and_ends_lines_alike_everywhere(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [0.1 + 0.2, np.nan], "b": ['say "x", y', ""]})
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n0.30000000000000004,"say ""x"", y"\n,\n'


def test_yaml_reads_back_equal(tmp_path: Path) -> None:
    params = {"reg_weight": 500.0, "layers": [600, 200], "title": "Amélie: null", "none": None}
    write_yaml(tmp_path / "params.yaml", params)
    assert yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8")) == params


def test_what_is_written_twice_is_written_out_so_that_our_reader_takes_it(tmp_path: Path) -> None:
    layers = [64, 32]
    write_yaml(tmp_path / "params.yaml", {"encoder": layers, "decoder": layers})
    assert load_yaml(tmp_path / "params.yaml") == {"encoder": layers, "decoder": layers}


def test_a_ranking_is_stored_small_and_reads_back_equal(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    topk = pd.DataFrame({SCORE: [0.5, 0.25, 0.1], RANK: [1, 2, 1], ITEM: [2**40, 1, 7], USER: [1, 1, 2**33]})
    folder.write_topk("test", topk)
    stored = folder.read_topk("test")
    assert stored.dtypes.astype(str).to_dict() == {
        USER: "int64",
        ITEM: "int64",
        RANK: "int32",
        SCORE: "float32",
    }
    assert stored[[USER, ITEM, RANK]].values.tolist() == [[1, 2**40, 1], [1, 1, 2], [2**33, 7, 1]]
    assert stored[SCORE].tolist() == [0.5, 0.25, np.float32(0.1)]
    assert folder.read_topk("test", k=1)[ITEM].tolist() == [2**40, 7]
    chunk = pq.ParquetFile(folder.topk("test")).metadata.row_group(0).column(0)
    assert chunk.compression == "ZSTD" and "RLE_DICTIONARY" in chunk.encodings


def test_per_user_results_can_be_read_in_part(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    write_parquet(folder.per_user, pd.DataFrame({USER: [3], **{name: [0.5] for name in METRICS}}))
    assert list(folder.read_per_user().columns) == [USER, *METRICS]
    assert list(folder.read_per_user(("ndcg@10",)).columns) == [USER, "ndcg@10"]


def test_missing_and_damaged_rankings_are_named(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    with pytest.raises(DataError, match=r"topk_full\.parquet is not there.*expected.*delete this model's folder"):
        folder.read_topk("full")
    folder.path.mkdir()
    folder.topk("full").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"topk_full\.parquet: .*expected a whole parquet file"):
        folder.read_topk("full")


finite = st.floats(allow_nan=False, allow_infinity=False)
LARGEST = 2**63 - 1  # of integers: larger ones are refused
statuses = st.builds(
    Status,
    model=st.text(),
    state=st.sampled_from(STATES),
    family=st.text(),
    source=st.text(),
    error=st.none() | st.text(),
    fingerprint=st.builds(Fingerprint, fit=st.none() | st.text(), refit=st.none() | st.text()),
    seconds=st.builds(Seconds, load=st.none() | finite, fit=st.none() | finite, submit=st.none() | finite),
    peak_rss_mb=st.none() | finite,
    epochs=st.none() | st.integers(-LARGEST, LARGEST),
    best_epoch=st.none() | st.integers(-LARGEST, LARGEST),
    metrics=st.just({}) | st.fixed_dictionaries(dict.fromkeys(STATUS_METRICS, finite)),
    users=st.integers(0, LARGEST),
    missing_users=st.integers(0, LARGEST),
    budget=st.none() | finite,
    filter=st.none() | st.text(),
    seed=st.none() | st.integers(-LARGEST, LARGEST),
    versions=st.dictionaries(st.text(), st.text(), max_size=2),
    reads=st.lists(st.text(), max_size=2).map(tuple),
    files=st.dictionaries(
        st.from_regex(r"(model/)?[a-z_]{1,20}\.[a-z]{1,7}", fullmatch=True),
        st.builds(StoredFile, size=st.integers(0, LARGEST), sha256=st.text()),
        max_size=2,
    ),
    members=st.dictionaries(st.text(), st.text(), max_size=2),
)


@given(status=statuses)
def test_any_status_reads_back_equal(status: Status) -> None:
    assert Status.from_json(status.to_json()) == status


def test_a_status_is_stored_as_strict_json_with_the_contracts_fields(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    folder.write_status(DONE)
    stored = json.loads(folder.status.read_text())
    assert stored["seconds"] == {
        "load": 0.5,
        "fit": 1.25,
        "rank": 0.1,
        "score": 0.2,
        "refit": 1.5,
        "submit": 0.3,
        "test_fit": None,
    }
    assert stored["fingerprint"] == {"fit": "aa", "refit": "bb"}
    assert folder.read_status() == DONE


def test_only_a_model_scored_to_the_end_is_finished(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    assert folder.finished() is None
    for state, expected in (("done", True), ("budget", True), ("failed", False), ("skipped", False)):
        folder.write_status(replace(DONE, state=state))
        assert (folder.finished() is not None) == expected
    folder.write_status(replace(DONE, metrics={}))
    assert folder.finished() is None
    folder.write_status(DONE)
    assert folder.finished() == DONE
    folder.status.write_text("{", encoding="utf-8")
    assert folder.finished() is None


def test_a_status_of_before_is_still_read() -> None:
    stored = json.loads(DONE.to_json())
    for name in ("seed", "versions", "threads", "code_hash", "reads", "files", "members", "device", "chosen"):
        del stored[name]
    del stored["seconds"]["test_fit"]
    assert Status.from_json(json.dumps(stored)) == DONE


def test_a_result_is_known_by_its_rankings_and_by_what_it_depends_on() -> None:
    files = {"topk_test.parquet": StoredFile(10, "aa"), "params.yaml": StoredFile(3, "bb")}
    stored = replace(DONE, files=files)
    same = replace(stored, files={**files, "params.yaml": StoredFile(4, "cc")}, peak_rss_mb=1.0)
    assert stored.result_hash == same.result_hash
    others = [
        replace(stored, files={**files, "topk_test.parquet": StoredFile(10, "dd")}),
        replace(stored, fingerprint=Fingerprint(fit="cc", refit="bb")),
        DONE,
        replace(DONE, metrics={**DONE.metrics, "recall@10": 0.2}),  # no files are recorded in a folder of before
    ]
    assert len({status.result_hash for status in [stored, *others]}) == 5


def test_a_metric_that_is_no_number_survives_as_null() -> None:
    status = replace(DONE, metrics={**DONE.metrics, "recall@10": math.nan})
    assert "NaN" not in status.to_json()
    assert math.isnan(Status.from_json(status.to_json()).metrics["recall@10"])


def _without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda stored: {name: value for name, value in stored.items() if name != key}


def _with(key: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda stored: {**stored, key: value}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("state"), "state missing"),
        (_with("model", 3), "model is 3; expected str"),
        (_with("users", "943"), "users is '943'; expected int"),
        (_with("users", True), "users is True; expected int"),
        (_with("epochs", 1.5), "epochs is 1.5; expected int or null"),
        (_with("state", "running"), "'running'; expected one of"),
        (_with("metrics", {"recall@10": 0.1}), "metrics missing or unknown"),
        (_with("metrics", {**DONE.metrics, "auc": 0.1}), "'auc'"),
        (_with("metrics", {**DONE.metrics, "hit@10": "much"}), "hit@10 is 'much'; expected float"),
        (_with("metrics", []), "metrics is .*; expected dict"),
        (_with("seconds", {"fit": 1.0}), "load, rank, score, refit, submit missing"),
        (_with("fingerprint", "aa"), "fingerprint is 'aa'; expected dict"),
    ],
)
def test_a_damaged_field_is_named(
    tmp_path: Path, damage: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    write_text(folder.status, json.dumps(damage(json.loads(DONE.to_json()))))
    with pytest.raises(DataError, match=message) as caught:
        folder.read_status()
    assert "run the command that made it again" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b'{"model": "EA', b"[1, 2]", b"null", b"\xff\xfe{}"])
def test_a_status_that_is_no_json_object_names_the_file(tmp_path: Path, content: bytes) -> None:
    folder = ModelFolder(tmp_path / "EASE")
    folder.path.mkdir()
    folder.status.write_bytes(content)
    with pytest.raises(DataError, match=r"status\.json.*expected.*run the command that made it again"):
        folder.read_status()


def test_a_manifest_reads_back_equal(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_manifest(MANIFEST)
    assert run.read_manifest() == MANIFEST


@pytest.mark.parametrize("where", ["nowhere", "file.txt"])
def test_a_path_that_is_no_run_says_what_to_give(tmp_path: Path, where: str) -> None:
    write_text(tmp_path / "file.txt", "text")
    with pytest.raises(DataError, match=r"manifest\.json is not there.*python -m movierec_bench run"):
        RunFolder(tmp_path / where).read_manifest()
