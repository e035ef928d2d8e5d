"""Routes: a segment gets a model of its own only where that helps users who had no say in the choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.mix_runs import Oracle, write_run

from movierec_bench.data.user_groups import Judging, read_judging
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.mixing.routing import View, best_routes, half_recalls, halves
from movierec_bench.mixing.search import Validation, folds_of
from movierec_bench.reports.leaderboard import leaderboard
from movierec_bench.reports.user_segments import run_segments


def test_good_users_of_a_model_are_not_routed_to_it_for_its_luck(tmp_path: Path) -> None:
    """Better is better for every user; those whom Lucky served well on some rows are no exception on others."""
    run = write_run(tmp_path, {"Lucky": Oracle(1.5), "Better": Oracle(2.2)}, users=400)
    made = ensemble(run.path, method="route", by="good", judges="Lucky")
    assert made.recipe.members == ("Better",)
    assert set((made.recipe.routes or {}).values()) == {"Better"}
    assert made.recipe.search is not None
    assert made.recipe.search["best_on_validation"] == "Better"


def test_nor_are_they_where_the_good_ones_come_in_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    oracles = {"Lucky": Oracle(1.5), "Better": Oracle(2.2), "Better@good": Oracle(2.5)}
    run = write_run(tmp_path, oracles, users=400)
    users = tmp_path / "users.csv"
    leaderboard(run.path, by="good", judges="Lucky", users_out=users)
    assert read_judging(users) == Judging(("Lucky",), None)
    made = ensemble(run.path, method="route", by=str(users), no_track=True)
    assert made.recipe.members == ("Better",)
    assert set((made.recipe.routes or {}).values()) == {"Better"}
    assert "Better@good gets no route: the validation rows told its users apart" in caplog.text
    with pytest.raises(ConfigError, match="name it with --routes, such as --routes good=Better@good"):
        ensemble(run.path, method="route", by=str(users), models="Better@good", no_track=True)
    named = ensemble(run.path, method="route", by=str(users), routes="good=Better@good,bad=Better", no_track=True)
    assert named.recipe.routes == {"good": "Better@good", "bad": "Better"}


def test_a_model_that_is_better_for_a_segment_serves_it(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"Short": Oracle(1.0), "Long": Oracle(1.0)}, users=400)
    segments = run_segments(run.path, "length").set_index("user")["segment"]
    held = {part: pd.read_parquet(run.split / f"{part}.parquet") for part in ("valid", "test")}
    for name, segment in (("Short", "short"), ("Long", "long")):
        for part, rows in held.items():  # of these users, the model names every held-out movie first
            topk = run.model(name).read_topk(part)
            known = rows[rows["user"].map(segments) == segment].assign(rank=0, score=np.inf)
            rest = topk.merge(known[["user", "item"]], how="left", indicator=True).query("_merge == 'left_only'")
            both = pd.concat([known[["user", "item", "rank", "score"]], rest[["user", "item", "rank", "score"]]])
            both = both.sort_values(["user", "rank"], kind="stable")
            both["rank"] = both.groupby("user").cumcount() + 1
            run.model(name).write_topk(part, both)
    made = ensemble(run.path, method="route", by="length")
    assert made.recipe.routes is not None
    assert (made.recipe.routes["short"], made.recipe.routes["long"]) == ("Short", "Long")
    gains = (made.recipe.search or {})["gain_out_of_fold"]
    served = {segment for segment, gain in gains.items() if gain["recall@10"] > gain["standard_error"]}
    assert served in ({"short"}, {"long"})  # one of both is the best model of all users already


def test_users_without_a_route_get_the_best_on_validation_and_not_the_first_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"Aaa": Oracle(0.5), "Mid": Oracle(1.0), "Top": Oracle(3.0)}, users=90)
    made = ensemble(run.path, method="route", by="length", models="all", routes="short=Mid")
    assert made.recipe.members[0] == "Top"
    segments = run_segments(run.path, "length").set_index("user")["segment"]
    found = run.ensemble("route").read_topk("test", 10)
    for segment, model in (("short", "Mid"), ("medium", "Top"), ("long", "Top")):
        users = segments.index[segments == segment]
        expected = run.model(model).read_topk("test", 10)
        assert (
            found.loc[found["user"].isin(users), "item"].tolist()
            == expected.loc[expected["user"].isin(users), "item"].tolist()
        )


def test_users_of_whom_nothing_is_known_may_be_routed_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"Aaa": Oracle(0.5), "Top": Oracle(3.0)}, users=60)
    made = ensemble(run.path, method="route", by="good", routes="unknown=Aaa,good=Top,bad=Top")
    assert made.recipe.routes == {"unknown": "Aaa", "good": "Top", "bad": "Top"}


def test_halves_part_each_user_s_rows_evenly() -> None:
    start = np.array([0, 1, 3, 8, 8, 18])
    half = halves(start, seed=1)
    counts = [np.bincount(half[a:b], minlength=2).tolist() for a, b in zip(start[:-1], start[1:])]
    assert [sorted(count) for count in counts] == [[0, 1], [1, 1], [2, 3], [0, 0], [5, 5]]
    assert halves(start, seed=1).tolist() == half.tolist()
    assert halves(start, seed=2).tolist() != half.tolist()


def test_the_recall_of_a_half_by_hand() -> None:
    """Of 12 movies, a user's 3 and 5 in one half, 9 and 12 in the other; the other half's rows count as seen."""
    items = np.arange(1, 14, dtype=np.int32).reshape(1, 1, 13)
    there = Validation(items, None, np.array([0, 4]), np.array([3, 5, 9, 12], dtype=np.int32))
    first, second = half_recalls(there, np.array([0, 0, 1, 1]))
    assert first.tolist() == [[1.0]]
    assert second.tolist() == [[1.0]]  # without 3 and 5, movie 12 is tenth
    first, second = half_recalls(there, np.array([0, 0, 0, 0]))
    assert first.tolist() == [[0.75]]  # 12 is twelfth
    assert np.isnan(second).all()


def test_a_route_must_win_out_of_fold() -> None:
    rng = np.random.default_rng(0)
    segment = np.repeat(["a", "b"], 200)
    noise = rng.random((8, 400))
    found = best_routes([View(segment, noise)], folds_of(400, 5, seed=0))
    assert set(found.routes) == {"a", "b"}
    for name, gain in found.gains.items():
        assert (found.routes[name] != found.best) == (gain.mean > gain.standard_error > 0)
    better = noise.copy()
    better[3, :200] += 0.3  # far better in the one segment, worst in the other
    better[3, 200:] -= 0.9
    found = best_routes([View(segment, better)], folds_of(400, 5, seed=0))
    assert found.best != 3
    assert found.routes == {"a": 3, "b": found.best}


@pytest.mark.parametrize("seed", range(3))
def test_equal_models_are_seldom_told_apart(seed: int) -> None:
    """Eight equal models in three segments: without the test out of fold, nearly each segment gets another one."""
    rng = np.random.default_rng(seed)
    routed = 0
    for _ in range(100):
        segment = rng.choice(["a", "b", "c"], 300)
        found = best_routes([View(segment, rng.random((8, 300)))], folds_of(300, 5, seed))
        routed += sum(member != found.best for member in found.routes.values())
    assert routed / 300 < 0.25
