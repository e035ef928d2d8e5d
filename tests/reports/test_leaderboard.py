"""The board: its exact rows and columns, its order, and that nothing in it can be taken for markup."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.evaluation.confidence_set import compare_with_best
from movierec_bench.reports.board_text import markdown_cell
from movierec_bench.reports.leaderboard import build_board, leaderboard
from movierec_bench.runs.files import write_parquet, write_text
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.records import STATUS_METRICS, RunManifest, Seconds, Status
from movierec_bench.schema import BOARD_COLUMNS, METRICS, USER

MANIFEST = RunManifest(
    dataset="ml-100k",
    atomic="atomic_data",
    data_hash="0123456789abcdef",
    protocol="competition",
    protocol_hash="fedcba9876543210",
    seed=7,
    versions={"recbole": "1.2.1", "torch": "2.13.0"},
    command="python -m movierec_bench run --models fast",
)
ATTACK = '<script>alert("x")</script><img src=x onerror=alert(1)>|a\nb'
HITS = {"EASE": [1, 1, 1, 0, 1, 0, 1, 1], "BPR": [1, 0, 1, 0, 0, 0, 1, 0], "Pop": [0, 0, 1, 0, 0, 0, 0, 0]}


def _metrics(recall: float) -> dict[str, float]:
    values = dict.fromkeys(STATUS_METRICS, recall / 2)
    return {**values, "recall@10": recall, "ci_low": recall - 0.05, "ci_high": recall + 0.05}


def _add(folder: ModelFolder, state: str, recall: Optional[float] = None, **changes: Any) -> None:
    scored = {} if recall is None else {"metrics": _metrics(recall), "users": 8, "missing_users": 1}
    known = {"model": folder.name, "state": state, "family": "general", "source": "ours", **scored}
    folder.write_status(Status(**{**known, **changes}))
    if folder.name in HITS:
        hits = np.array(HITS[folder.name], dtype=float)
        write_parquet(folder.per_user, pd.DataFrame({USER: range(1, 9), **dict.fromkeys(METRICS, hits)}))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "ml-100k")
    run.write_manifest(MANIFEST)
    seconds = Seconds(load=0.1, fit=1.23456, rank=0.5, score=0.1, refit=2.0, submit=0.1, test_fit=3.5)
    _add(run.model("Pop"), "done", 0.125, family="rule", filter="future")
    _add(run.model("EASE"), "done", 0.75, seconds=seconds, peak_rss_mb=512.4, seed=42)
    _add(run.model("BPR"), "budget", 0.375, source="recbole", epochs=3)
    _add(run.ensemble("vote"), "done", 0.375, family="ensemble")
    _add(run.model("Broken"), "failed", error="ValueError: shapes (3, 4)")
    _add(run.model("Abc"), "skipped", family="tree", error="needs lightgbm")
    run.model("Killed").path.mkdir(parents=True)
    write_text(run.model("Torn").status, '{"model": "To')
    return run


def test_places_follow_recall_then_name_and_the_unscored_come_last(run: RunFolder) -> None:
    frame = build_board(run).to_frame()
    assert frame["place"].tolist() == [1, 2, 3, 4, pd.NA, pd.NA, pd.NA, pd.NA]
    assert frame["model"].tolist() == ["EASE", "BPR", "vote", "Pop", "Abc", "Broken", "Killed", "Torn"]
    assert frame["status"].tolist() == [
        "done",
        "budget",
        "done",
        "done",
        "skipped",
        "failed",
        "unfinished",
        "failed",
    ]


def test_columns_begin_with_the_contracts(run: RunFolder) -> None:
    board = build_board(run)
    board.write(run)
    header = run.leaderboard("csv").read_text().splitlines()[0]
    assert header == (
        "place,model,family,source,status,recall@10,ci_low,ci_high,recall_plain@10,ndcg@10,mrr@10,map@10,"
        "precision@10,hit@10,coverage@10,users,missing_users,fit_seconds,rank_seconds,refit_seconds,"
        "peak_rss_mb,epochs,error,filter,device,p_best,may_be_best,test_fit_seconds,seed,made_with"
    )
    assert tuple(board.to_frame().columns[: len(BOARD_COLUMNS)]) == BOARD_COLUMNS


def test_csv_rows_are_exact(run: RunFolder) -> None:
    build_board(run).write(run)
    rows = run.leaderboard("csv").read_text().splitlines()
    assert rows[1] == (
        "1,EASE,general,ours,done,0.75,0.7,0.8,0.375,0.375,0.375,0.375,0.375,0.375,0.375,8,1,1.23456,0.5,2.0,512.4,,,,,1.0,yes"
        ",3.5,42,"
    )
    assert rows[5] == ",Abc,tree,ours,skipped,,,,,,,,,,,,,,,,,,needs lightgbm,,,,,,,"
    assert rows[7].startswith(",Killed,,,unfinished,") and "run again to finish it" in rows[7]
    assert rows[8].startswith(",Torn,,,failed,") and "status.json line 1" in rows[8]
    assert pd.read_csv(run.leaderboard("csv"))["filter"].tolist()[3] == "future"


def test_a_failed_model_that_was_scored_keeps_its_numbers_and_gets_no_place(run: RunFolder) -> None:
    _add(run.model("Best"), "failed", 0.9, error="refit: out of memory")
    frame = build_board(run).to_frame().set_index("model")
    assert frame.loc["EASE", "place"] == 1
    assert pd.isna(frame.loc["Best", "place"]) and frame.loc["Best", "recall@10"] == 0.9


def test_the_board_says_which_models_may_be_the_best(run: RunFolder) -> None:
    board = build_board(run)
    stored = {name: pd.DataFrame({USER: range(1, 9), "recall@10": np.array(HITS[name], dtype=float)}) for name in HITS}
    expected = compare_with_best(stored, MANIFEST.seed).set_index("model")
    assert board.best == "EASE"
    assert sorted(board.tests["model"]) == ["BPR", "Pop"]  # "vote" stored no results per user
    for row in board.tests.to_dict("records"):
        assert row["difference"] == pytest.approx(np.mean(HITS[row["model"]]) - np.mean(HITS["EASE"]))
        assert row["difference_low"] < row["difference"] < row["difference_high"]
    frame = board.to_frame().set_index("model")
    for name in HITS:
        assert frame.loc[name, "p_best"] == expected.loc[name, "p_best"]
    assert frame["may_be_best"].to_dict() == {
        "EASE": "yes",
        "BPR": "yes",
        "Pop": "no",
        **dict.fromkeys(("vote", "Abc", "Broken", "Killed", "Torn"), ""),
    }
    assert board.contenders == ["EASE", "BPR"]
    assert frame.loc[["vote", "Broken"], "p_best"].isna().all()
    for text in (board.to_markdown(), board.to_html()):
        assert "EASE, BPR may be the best" in text


def test_a_run_without_any_model_has_an_empty_board(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_manifest(MANIFEST)
    board = build_board(run)
    assert board.best is None and len(board.to_frame()) == 0 and len(board.tests) == 0
    board.write(run)
    assert run.leaderboard("csv").read_text().count("\n") == 1
    assert "against" not in board.to_markdown() and "<tbody>" in board.to_html()


def test_a_run_of_failures_only_is_shown(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_manifest(MANIFEST)
    _add(run.model("Broken"), "failed", error="ValueError: no")
    board = build_board(run)
    assert board.best is None and board.to_frame()["place"].isna().all()
    assert "ValueError: no" in board.to_markdown()


def test_the_public_function_sorts_and_filters_without_renumbering(run: RunFolder) -> None:
    def names(**choices: str) -> list[str]:
        return list(leaderboard(str(run.path), **choices).to_frame()["model"])

    assert names()[:4] == ["EASE", "BPR", "vote", "Pop"]
    assert names(sort="fit_seconds")[0] == "EASE"  # the only one with a time; empty cells come last
    assert names(sort="model") == ["Abc", "BPR", "Broken", "EASE", "Killed", "Pop", "Torn", "vote"]
    assert names(family="ensemble") == ["vote"]
    assert names(status="unfinished") == ["Killed"]
    assert names(family="general", status="done") == ["EASE"]
    assert leaderboard(run.path, family="rule").to_frame()["place"].tolist() == [4]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"sort": "recal@10"}, "sort 'recal@10' is not known; .*did you mean recall@10"),
        ({"family": "generel"}, "did you mean general"),
        ({"status": "ok"}, "expected one of done, failed, skipped, budget, unfinished"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(run: RunFolder, choice: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        leaderboard(run.path, **choice)


def test_a_path_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give a run's folder"):
        leaderboard(tmp_path)


def test_the_board_cannot_be_changed_through_its_frame(run: RunFolder) -> None:
    board = build_board(run)
    frame = board.to_frame()
    frame["model"] = "changed"
    assert board.to_frame()["model"].iloc[0] == "EASE"


def test_markdown_shows_the_table_the_tests_and_what_they_rest_on(run: RunFolder) -> None:
    text = build_board(run).to_markdown()
    lines = text.splitlines()
    assert lines[0] == "# Leaderboard: ml-100k"
    assert (
        "| 1 | EASE | general | ours | done | 0.7500 | 0.7000 | 0.8000 | 0.3750 | 0.3750 | 0.3750 | 0.3750 "
        "| 0.3750 | 0.3750 | 0.3750 | 8 | 1 | 1.2 | 0.5 | 2.0 | 512.4 |  |  |  |  | 1.0000 | yes "
        "| 3.5 | 42 |  |"
    ) in lines
    header = next(index for index, line in enumerate(lines) if line.startswith("| place"))
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[header : header + 10]}
    assert widths == {len(BOARD_COLUMNS) + 8}
    assert lines[header + 1].startswith("| ---: | --- | --- | --- | --- | ---: |")
    assert lines[header + 1].endswith("| --- | --- | --- | ---: | --- | ---: | ---: | --- |")
    assert "## Each model against EASE" in lines
    for fact in ("hits in the top 10 / min(10, held-out rows)", "competition (hash fedcba9876543210)"):
        assert fact in text
    for fact in ("data hash: 0123456789abcdef", "seed: 7", "recbole 1.2.1, torch 2.13.0"):
        assert fact in text


def test_markdown_cells_stay_cells() -> None:
    assert markdown_cell("a|b\nc") == r"a\|b c"
    assert markdown_cell("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    assert markdown_cell("__init__ *x* `y` [z](u)") == r"\_\_init\_\_ \*x\* \`y\` \[z\](u)"


class _Page(HTMLParser):
    """Collects the tags, the attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, Optional[str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _attacked(run: RunFolder) -> RunFolder:
    _add(run.model("Evil"), "failed", error=ATTACK, model=ATTACK, family='"><script>', filter="<i>")
    run.write_manifest(
        RunManifest(**{**MANIFEST.__dict__, "dataset": ATTACK, "command": ATTACK, "versions": {ATTACK: ATTACK}})
    )
    return run


def test_html_shows_hostile_texts_as_text(run: RunFolder) -> None:
    clean = _Page(build_board(run).to_html())
    html = build_board(_attacked(run)).to_html()
    page = _Page(html)
    assert page.tags.count("script") == clean.tags.count("script") == 1
    assert set(page.tags) == set(clean.tags)
    assert "onerror" not in {name for name, _ in page.attributes}
    assert ATTACK in page.texts
    script = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(script) == 1 and "alert" not in script[0]


def test_html_loads_nothing_from_elsewhere(run: RunFolder) -> None:
    html = build_board(run).to_html()
    page = _Page(html)
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href"} & {name for name, _ in page.attributes}
    assert "http" not in html and "@import" not in html and "url(" not in html


def test_html_holds_every_cell_and_marks_the_best(run: RunFolder) -> None:
    html = build_board(run).to_html()
    page = _Page(html)
    for text in ("EASE", "0.7500", "1.2", "needs lightgbm", "Each model against EASE", "fedcba9876543210"):
        assert any(text in found for found in page.texts)
    assert html.count('class="best"') == 1
    assert ("data-value", "1.23456") in page.attributes  # the page sorts by the whole number


def test_markdown_shows_hostile_texts_as_text(run: RunFolder) -> None:
    text = build_board(_attacked(run)).to_markdown()
    assert "<script" not in text and "<img" not in text
    evil = [line for line in text.splitlines() if line.startswith("|") and "script" in line]
    assert len(evil) == 1 and len(re.findall(r"(?<!\\)\|", evil[0])) == len(BOARD_COLUMNS) + 8


def test_the_terminal_shows_the_column_it_is_sorted_by(run: RunFolder) -> None:
    def shown(sort: str) -> str:
        output = io.StringIO()
        Console(file=output, width=100, color_system=None).print(build_board(run).select(sort=sort).to_rich())
        return output.getvalue()

    assert "ndcg@10" in shown("recall@10") and "ndcg@10" in shown("fit_seconds")
    by_coverage = shown("coverage@10")
    assert "coverage@10" in by_coverage and "ndcg@10" not in by_coverage


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_table_fits_and_gives_reasons(run: RunFolder, width: int) -> None:
    _add(run.model("FISMProfile"), "done", 0.1, error=None)
    _add(run.model("Markup"), "failed", error="[red]not markup[/red] at [/nowhere]\nTraceback")
    table = build_board(run).to_rich()
    assert isinstance(table, Table)
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(table)
    lines = output.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    ease = next(line for line in lines if " EASE " in line)
    assert ease.split()[:7] == ["1", "EASE", "done", "0.7500", "0.700-0.800", "yes", "0.3750"]
    assert "…" not in output.getvalue()
    assert any("Broken: ValueError: shapes (3, 4)" in line for line in lines)
    assert any("[red]not markup[/red]" in line for line in lines)
    assert "Traceback" not in output.getvalue()
