"""Files that somebody made to do harm, or that an accident made strange: refused in a message, and at once."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from rich.table import Table
from support.mix_runs import write_run

from movierec_bench.commands import terminal
from movierec_bench.data import delimited
from movierec_bench.data.atomic_format import read_items
from movierec_bench.data.competition import _read_genre_numbers
from movierec_bench.data.delimited import read_bytes
from movierec_bench.data.packed import PackedFiles
from movierec_bench.errors import BenchError, ConfigError, DataError, readable
from movierec_bench.execution.capped_log import CappedLog
from movierec_bench.mixing.recipe import Recipe
from movierec_bench.reports.submission_files import score_submission
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import RunManifest, Status
from movierec_bench.runs.trials import Trial, TrialFolder
from movierec_bench.tracking.model_runs import ModelResult

DEEP = "[" * 100_000 + "]" * 100_000
DEEP_FOR_ITS_READER = '{"1": ' + "[" * 900 + "]" * 900 + "}"
LONG = '{"1": [' + "9" * 5000 + "]}"
ODD_JSON = {"deep": DEEP, "deep object": '{"a": ' * 100_000 + "1" + "}" * 100_000, "long": LONG, "cut": '{"1": ['}


@pytest.mark.parametrize("text", [*ODD_JSON.values(), DEEP_FOR_ITS_READER, "3", '"x"', "null"])
def test_strange_json_is_refused_by_every_reader(text: str, tmp_path: Path) -> None:
    path = tmp_path / "Ml_item2attributes.json"
    path.write_text(text)
    readers: list[Callable[[], Any]] = [
        lambda: _read_genre_numbers(path),
        lambda: Status.from_json(text),
        lambda: RunManifest.from_json(text),
    ]
    for read in readers:
        with pytest.raises(DataError, match="expected"):
            read()
    with pytest.raises((ValueError, KeyError, TypeError)):
        Trial.from_json(text)


def status_text(**changes: object) -> str:
    import json

    content = json.loads(Status("Pop", "failed", "rule", "ours", error="in fit: odd").to_json())
    return json.dumps({**content, **changes})


def test_a_record_of_a_stranger_commands_nothing_and_is_bounded() -> None:
    status = Status.from_json(status_text(error="\x1b]0;owned\x07" + "x" * 10**6))
    assert status.error is not None
    assert status.error.startswith("\\x1b]0;owned\\x07")
    assert len(status.error) <= 2000
    assert Status.from_json(status.to_json()) == status
    with pytest.raises(DataError, match="users has 4000 digits; expected a smaller number"):
        Status.from_json(status_text().replace('"users": 0', '"users": ' + "9" * 4000))


@pytest.mark.parametrize("number", [2**64, -(2**64)])
def test_a_whole_number_that_no_table_holds_is_refused(number: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="epochs has 20 digits; expected a smaller number"):
        Status.from_json(status_text(epochs=number))
    trials = TrialFolder(tmp_path)
    trials.trials_csv.write_text(f"trial,fingerprint\n{number},one\n")
    with pytest.raises(DataError, match="expected a table with trial and fingerprint"):
        trials.listed()


def test_parameters_nested_too_deeply_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, users=30)
    run.model("Even").params.write_text("layers: " + "[" * 2000 + "]" * 2000)
    result = ModelResult(run, run.read_manifest(), run.model("Even"))
    with pytest.raises(DataError, match="params.yaml.*have the model redone"):
        result.params()


def test_a_message_is_bounded_and_plain() -> None:
    message = str(DataError(f"title is {'y' * 200_000!r}; expected a shorter one"))
    assert len(message) < 4200
    assert message.endswith("expected a shorter one")
    assert readable("a\x1b[2J\u202eb\u2028c\ud800\tü–\n", 100) == "a\\x1b[2J\\u202eb\\u2028c\\ud800\tü–\n"


def test_a_table_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("model\x1b[2J")
    table.add_row("Pop\x1b]0;owned\x07")
    terminal.show_table(table)
    terminal.say("and \x1b[31mred")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_ratings.csv")
    with pytest.raises(DataError, match="is no regular file"):
        read_bytes(tmp_path / "train_ratings.csv")
    run = RunFolder(tmp_path)
    os.mkfifo(run.manifest)
    with pytest.raises(DataError, match="is no regular file"):
        run.read_manifest()


def test_what_unpacks_to_more_than_memory_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "most_unpacked", lambda: 10 * 2**20)
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as packing:
        for _ in range(64):
            packing.write(bytes(2**20))
    (tmp_path / "train_ratings.csv.gz").write_bytes(packed.getvalue())
    with pytest.raises(DataError, match="unpacks to more than 10 MiB"):
        read_bytes(tmp_path / "train_ratings.csv.gz")
    with zipfile.ZipFile(tmp_path / "log.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", bytes(64 * 2**20))
    with pytest.raises(DataError, match="unpacks to more than 10 MiB"):
        PackedFiles.open(tmp_path / "log.zip").read("log.csv")


@pytest.mark.parametrize("year", ["²", "9" * 400, "99999", "0", "-1", "nineteen", "1e3", "٢٠٠٠"])
def test_an_odd_year_of_a_foreign_file_is_no_year(year: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.item"
    path.write_text(f"item_id:token\trelease_year:token\n1\t{year}\n2\t1994\n", encoding="utf-8")
    _, known = read_items(path, encoded=False)
    assert np.isnan(known["year"]["1" if "1" in known["year"] else 1])
    assert known["year"]["2" if "2" in known["year"] else 2] == 1994


@pytest.mark.parametrize(
    "change",
    [
        {"members": [["A"]]},
        {"members": [1, 2]},
        {"method": "route", "by": "length", "routes": {"short": ["A"]}},
        {"method": "route", "by": "length", "routes": {1: "A"}},
        {"rule": "linear", "weights": {"A": True}, "depth": 10},
        {"rule": "linear", "weights": {"A": 1.0}, "depth": True},
        {"rule": "linear", "weights": {"A": "much"}, "depth": 10},
        {"method": "concat", "firsts": [True]},
        {"method": "route", "by": "good", "judges": [{}], "routes": {"good": "A"}},
    ],
)
def test_recipes_of_wrong_types_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    import yaml

    recipe = {"name": "mine", "method": "linear", "members": ["A"], **change}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(ConfigError, match="expected"):
        Recipe.read(path)


def test_an_empty_name_of_a_data_set_is_not_taken_for_none(tmp_path: Path) -> None:
    submission = tmp_path / "submission.csv"
    submission.write_text("user,item\n" + "".join(f"1,{item}\n" for item in range(10)))
    with pytest.raises(BenchError):
        score_submission(submission, dataset="", atomic=tmp_path)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="the system has no symbolic links")
def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "log.txt").symlink_to(precious)
    import multiprocessing

    source, sink = multiprocessing.Pipe(duplex=False)
    log = CappedLog(tmp_path / "log.txt", source)
    os.write(sink.fileno(), b"said")
    sink.close()
    log.close(10)
    assert precious.read_text() == "mine"
    assert (tmp_path / "log.txt").read_text() == "said"


def test_a_parquet_file_whose_pandas_notes_are_damaged_is_refused(tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    from movierec_bench.data.split import read_part
    from movierec_bench.runs.folder import ModelFolder

    table = pa.Table.from_pandas(pd.DataFrame({"user": [1], "item": [2], "rank": [1], "score": [0.5], "time": [3]}))
    damaged = table.replace_schema_metadata({b"pandas": b'{"index_columns": [\x01'})
    pyarrow.parquet.write_table(damaged, tmp_path / "topk_test.parquet")
    with pytest.raises(DataError, match="expected a whole parquet file"):
        ModelFolder(tmp_path).read_topk("test")
    with pytest.raises(DataError, match="expected a parquet file"):
        read_part(tmp_path, "topk_test")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "", "x" * 3000, "a\0b", "a\\b"])
def test_a_status_vouches_for_files_of_its_own_folder_only(name: str) -> None:
    with pytest.raises(DataError, match="expected names of files"):
        Status.from_json(status_text(files={name: {"size": 1, "sha256": "0"}}))
