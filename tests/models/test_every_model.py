"""The slow, complete pass: every catalogued model through `run`, refit and submission included."""

from __future__ import annotations

import pandas as pd
import pytest
from support.planted import planted_competition

from movierec_bench.data.atomic import read_atomic, write_atomic
from movierec_bench.execution.run import run
from movierec_bench.reports.submission import validate_submission
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import K
from movierec_bench.settings.catalog import load_catalog

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("every-model")]
BUDGET = 5


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("every")
    write_atomic(planted_competition(n_users=120, n_movies=80), folder / "atomic_data", "planted")
    made = run(
        models="all,variants", atomic=folder / "atomic_data", out=folder / "runs", budget=BUDGET, workers=2, quiet=True
    )
    return RunFolder(folder / "runs" / "planted"), made.to_frame().set_index("model")


def test_every_catalogued_model_is_on_the_board(board: tuple[RunFolder, pd.DataFrame]) -> None:
    _, table = board
    catalog = load_catalog()
    assert set(table.index) == set(catalog)
    assert set(table.index[table["status"] == "skipped"]) == {name for name, entry in catalog.items() if entry.needs}


def test_none_failed(board: tuple[RunFolder, pd.DataFrame]) -> None:
    _, table = board
    assert table[table["status"] == "failed"]["error"].to_dict() == {}


@pytest.mark.parametrize("name", [name for name, entry in load_catalog().items() if not entry.needs])
def test_its_submission_and_rankings_are_complete(name: str, board: tuple[RunFolder, pd.DataFrame]) -> None:
    run_folder, table = board
    data = read_atomic(run_folder.path.parents[1] / "atomic_data" / "planted")
    submission = pd.read_csv(run_folder.submission(name))
    validate_submission(submission, data.interactions, data.vocabulary)
    assert len(submission) == K * len(data.vocabulary.users)
    for part in ("valid", "test", "full"):
        assert len(run_folder.model(name).read_topk(part, K)) > 0
    assert 0 <= table.loc[name, "recall@10"] <= 1
