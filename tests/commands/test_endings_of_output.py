"""What a command prints last: how it read a stranger's files, and the next useful command."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.mix_runs import write_run

from movierec_bench.commands import convert as convert_command
from movierec_bench.commands import eda as eda_command
from movierec_bench.commands import ensemble as ensemble_command
from movierec_bench.commands import leaderboard as leaderboard_command
from movierec_bench.commands import models as models_command
from movierec_bench.commands import run as run_command
from movierec_bench.commands import score as score_command
from movierec_bench.commands import tune as tune_command
from movierec_bench.data.convert import convert
from movierec_bench.kept.recommending import Recommendations
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.reports.eda.command import Eda
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.reports.score import score
from movierec_bench.runs.trials import Trial
from movierec_bench.tuning.tuned import ModelTuning, Tuned

SHOP = "A1,B-2,4.0,1260759108\nA1,B-3,1.0,1260759109\nA2,B-2,5.0,1260759110\n"
RELEASE = "userId,movieId,rating,timestamp\n1,31,3.0,1260759144\n1,32,3.5,1260759145\n2,31,1.0,1260759146\n"
MOVIES = "movieId,title,genres\n31,Dangerous Minds (1995),Drama\n32,Twelve Monkeys (1995),Sci-Fi\n"


def printed(capsys: pytest.CaptureFixture[str], folder: Path) -> list[str]:
    convert_command._show(folder)
    return capsys.readouterr().out.splitlines()


def test_convert_tells_how_it_read_a_shop_s_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.csv").write_text(SHOP)
    assert printed(capsys, convert(data="shop.csv")) == [
        "atomic_data/shop: 3 interactions, 2 users, 2 movies",
        "  read as: columns without names, separated by commas (user 1, item 2, time 4, rating 3)",
        "  every row counts, whatever its rating; --min-rating 4 would drop the lower ones",
        "  rating rows: 3",
        "  movies rated: 2",
        "  no movie has any of: titles, years, genres, directors, writers; models that need them will be skipped",
        "next: python -m movierec_bench run --models fast",
    ]
    assert not any("--min-rating" in line for line in printed(capsys, convert(data="shop.csv", min_rating=4)))


def test_convert_names_only_what_no_movie_has_and_the_data_set_among_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ml").mkdir()
    Path("ml/ratings.csv").write_text(RELEASE)
    Path("ml/movies.csv").write_text(MOVIES)
    Path("shop.csv").write_text(SHOP)
    convert(data="shop.csv", out="there")
    lines = printed(capsys, convert(data="ml", out="there"))
    assert "  no movie has any of: directors, writers; models that need them will be skipped" in lines
    assert lines[-1] == "next: python -m movierec_bench run --models fast --dataset ml --atomic there"


def test_boards_and_mixes_say_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, users=30)
    shown = [
        (run_command._show, leaderboard(run.path), f"report {run.path}"),
        (leaderboard_command._show, leaderboard(run.path), f"ensemble {run.path}"),
        (leaderboard_command._show, leaderboard(run.path, by="length"), f"ensemble {run.path}"),
        (ensemble_command._show, ensemble(run.path, method="vote", no_track=True), f"leaderboard {run.path}"),
    ]
    for show, result, expected in shown:
        show(result)
        assert capsys.readouterr().out.splitlines()[-1] == f"next: python -m movierec_bench {expected}"


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_the_catalogue_leads_to_a_model_and_a_model_to_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    for asked, expected in (
        ({}, "models ADMMSLIM"),
        ({"models": "EASE,Pop"}, "models EASE"),
        ({"name": "EASE"}, "run --models EASE"),
        ({"name": "EASE", "configs": tmp_path}, f"run --models EASE --configs {tmp_path}"),
    ):
        models_command._show(models_command.models(**asked))
        assert last_line(capsys) == f"next: python -m movierec_bench {expected}"


def test_a_score_leads_to_boards_and_boards_to_a_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, first in (("a", 0), ("b", 5)):
        rows = "".join(f"{user},{item}\n" for user in (1, 2, 3) for item in range(first, first + 10))
        (tmp_path / f"{name}.csv").write_text("user,item\n" + rows)
    (tmp_path / "answers.csv").write_text("user,item\n1,3\n2,4\n3,12\n")
    a, b, answers = (tmp_path / f"{name}.csv" for name in ("a", "b", "answers"))
    for asked, expected in (
        ({}, None),
        ({"answers": answers}, f"score --submission {a} --answers {answers} --boards"),
        ({"answers": answers, "boards": True}, None),
        ({"answers": answers, "boards": True, "against": b}, f"ensemble --files {a},{b}"),
    ):
        result = score(a, **asked)  # type: ignore[call-overload]
        score_command._show(result)
        lines = capsys.readouterr().out.splitlines()
        assert "\n".join(lines).startswith(result.describe())
        assert [line for line in lines if line.startswith("next")] == (
            [] if expected is None else [f"next: python -m movierec_bench {expected}"]
        )


def test_pictures_lead_to_a_run_or_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, users=30)
    for run, expected in (
        (None, "run --models fast --atomic atomic"),
        (Path("runs/planted"), "report runs/planted"),
    ):
        eda_command._show(Eda(Path("eda/planted"), ("months",), run, data=Path("atomic/planted")))
        assert last_line(capsys) == f"next: python -m movierec_bench {expected}"


def test_a_search_ends_with_the_run_of_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial(0, "done", {"reg_weight": 500.0}, "0123456789abcdef", recall=0.2, seconds=1.0)
    found = ModelTuning("EASE", [trial], Path("EASE.yaml"), Path("tuned"))
    tune_command._show(Tuned(Path("tuned"), [found], "python -m movierec_bench run --models EASE", "tracked in x"))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "tracked in x",
        "next: python -m movierec_bench run --models EASE",
    ]


def test_a_stranger_has_no_id_and_movies_without_titles_no_column_of_them() -> None:
    table = pd.DataFrame({"user": [0], "rank": [1], "item": ["B-2"], "score": [0.5], "title": [""]})
    alone = Recommendations("EASE", table, watched=(("B-3", "B-4"),)).to_rich()
    assert [column.header for column in alone.columns] == ["rank", "item", "score"]
    assert str(alone.title) == "EASE recommends after B-3; B-4"
    known = Recommendations("EASE", table.assign(user="A1", title="A film")).to_rich()
    assert [column.header for column in known.columns] == ["user", "rank", "item", "title", "score"]
