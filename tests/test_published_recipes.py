"""Every recipe of a published table runs on files of its formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.published_files import (
    some_rows,
    write_lightgcn,
    write_ncf,
    write_ratings_csv,
    write_ratings_dat,
)

from benchmarks.published.repeat import HERE, measure, read_tables
from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.split import read_split
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.protocol import protocol_of

TABLES = read_tables()
WRITERS = {"ncf": write_ncf, "ml-1m": write_ratings_dat, "yelp2018": write_lightgcn, "ml-20m": write_ratings_csv}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of 200 users of ml-100k."""
    return some_rows(tmp_path_factory.mktemp("rows"), 200)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_model_and_has_a_figure_a_metric(name: str) -> None:
    table, catalog = TABLES[name], load_catalog(HERE / name)
    protocol_of(HERE / name, None)
    for row in table.rows:
        assert row.model in catalog and len(row.published) == len(table.metrics)


@pytest.mark.parametrize(
    ("name", "model", "protocol"),
    [
        ("ncf", "EASE_1320", "given"),
        ("ml-1m", "SASRec_200", "last"),
        ("yelp2018", "EASE_300", "given"),
        ("ml-20m", "EASE_500", "users"),
    ],
)
def test_a_recipe_runs(name: str, model: str, protocol: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    table = TABLES[name]
    row = next(row for row in table.rows if row.model == model)
    WRITERS[name](tmp_path, rows)
    files = {what: tmp_path / file for what, file in table.files.items()}
    measured = measure(table, replace(row, budget=row.budget and 1.0), files, tmp_path / "work")
    if row.budget is None:
        assert measured["status"] == "done"
        assert len(measured["ours"]) == len(table.metrics) and all(0 < figure < 1 for figure in measured["ours"])
    else:
        assert measured["status"] == "budget", measured  # a second of training may find nothing
    assert protocol_of(HERE / name, None).name == protocol

    data = read_atomic(tmp_path / "work" / "atomic" / name)
    split = read_split(tmp_path / "work" / "runs" / name / "split")
    if name == "ncf":
        assert (split.candidates.groupby("user").size() == 100).all() and len(split.test) == 200
    elif name == "ml-1m":
        assert len(split.test) == len(split.valid) == 200
        assert data.interactions["item"].value_counts().min() >= 5
    elif name == "yelp2018":
        assert len(split.valid) == 1 and split.test["user"].nunique() == 199
    else:
        held_out = set(split.test["user"]) | set(split.valid["user"])
        assert len(held_out) == 2 * round(200 * 0.073165) and not held_out & set(split.train["user"])
        assert len(data.interactions) == (rows["rating"] >= 4).sum()
