"""A model that memory cannot hold is skipped with a sentence before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.planted import planted_competition

import movierec_bench as mb
from movierec_bench.data.atomic import write_atomic
from movierec_bench.errors import ConfigError
from movierec_bench.execution import memory
from movierec_bench.execution.memory import free_bytes, lacking_memory, needed_bytes
from movierec_bench.settings.catalog import load_catalog

GB = 10**9


def test_gowalla_needs_two_matrices_of_its_movies_for_ease_and_none_for_item_knn() -> None:
    catalog = load_catalog()
    ease = needed_bytes(catalog["EASE"], 1_027_370, 29_858, 40_981)
    assert ease == 600 * 10**6 + 250 * 1_027_370 + 4 * 2 * 40_981**2
    assert needed_bytes(catalog["ItemKNN"], 1_027_370, 29_858, 40_981) < GB


def test_what_holds_no_matrix_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    assert lacking_memory(load_catalog()["ItemKNN"], 10**6, 10**5, 10**5) == ""


def test_too_little_memory_is_told_with_what_is_needed_and_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    ease = load_catalog()["EASE"]
    monkeypatch.setattr(memory, "free_bytes", lambda: 11 * GB)
    told = lacking_memory(ease, 1_027_370, 29_858, 40_981)
    assert told.startswith("needs about 14.3 GB of memory, 2 matrices of movies by movies (40,981 x 40,981) at once")
    assert "and 11.0 GB are free" in told and "ItemKNN" in told
    monkeypatch.setattr(memory, "free_bytes", lambda: 15 * GB)
    assert lacking_memory(ease, 1_027_370, 29_858, 40_981) == ""


def test_a_worker_that_shares_memory_gets_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    ease = load_catalog()["EASE"]
    monkeypatch.setattr(memory, "free_bytes", lambda: 20 * GB)
    told = lacking_memory(ease, 1_027_370, 29_858, 40_981, share=10 * GB)
    assert "each of the workers has 10.0 GB; run it with --workers 1" in told


@pytest.mark.parametrize("given_back", ["inactive_file", "total_inactive_file"])
def test_a_containers_limit_counts_and_what_the_kernel_gives_back_is_free(tmp_path: Path, given_back: str) -> None:
    for name, text in (("max", "5000"), ("current", "3000"), ("stat", f"anon 17\n{given_back} 500\n")):
        (tmp_path / name).write_text(text)
    files = ((str(tmp_path / "max"), str(tmp_path / "current"), str(tmp_path / "stat")),)
    assert free_bytes(files) == 2500
    (tmp_path / "max").write_text("max\n")
    assert free_bytes(files) > 5000


def test_a_run_skips_what_does_not_fit_and_finishes_the_rest(tmp_path: Path) -> None:
    write_atomic(planted_competition(), tmp_path / "atomic", "planted")
    own = tmp_path / "configs" / "models"
    own.mkdir(parents=True)
    (own / "HugeEASE.yaml").write_text("base: EASE\ncatalog:\n  matrices: {movies_by_movies: 1000000000000}\n")
    board = mb.run(
        models="HugeEASE,Pop",
        atomic=tmp_path / "atomic",
        out=tmp_path / "runs",
        configs=tmp_path / "configs",
        no_refit=True,
        quiet=True,
    ).to_frame()
    rows = board.set_index("model")
    assert rows.loc["Pop", "status"] == "done"
    assert rows.loc["HugeEASE", "status"] == "skipped"
    assert rows.loc["HugeEASE", "error"].startswith("needs about ")
    assert "GB are free" in rows.loc["HugeEASE", "error"]


@pytest.mark.parametrize("written", ["{movies: 2}", "{movies_by_movies: -1}", "{movies_by_movies: true}", "2"])
def test_what_is_no_count_of_matrices_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Mine.yaml").write_text(f"base: EASE\ncatalog:\n  matrices: {written}\n")
    with pytest.raises(ConfigError, match=r"'catalog.matrices' is .*expected numbers > 0"):
        load_catalog(tmp_path)
