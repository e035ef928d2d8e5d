"""Mixes of a run: every method by its files, its row on the board, and that test rows decide nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from support.mix_runs import ORACLES, Oracle, write_run

from movierec_bench.data.split import read_split
from movierec_bench.errors import ConfigError
from movierec_bench.evaluation.metrics import per_user
from movierec_bench.evaluation.statistics import paired_tests
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.mixing.members import find_members, read_rankings
from movierec_bench.mixing.rules import Rule, concatenate, mix
from movierec_bench.reports.leaderboard import build_board
from movierec_bench.reports.submission import validate_submission
from movierec_bench.reports.user_segments import read_data, run_segments
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import FAILED, Status

METHODS: dict[str, dict[str, Any]] = {
    "vote": {"weights": "2,1,1,1"},
    "linear": {"weights": {"Even": 2, "Odd": 2, "Weak": 1, "Noise": 0}},
    "tail": {},
    "log2": {"depth": 30},
    "rrf": {"rrf_k": 10, "models": "Odd,Even"},
    "zscore": {"models": ["Even", "Odd"], "weights": [1, 2]},
    "minmax": {"models": "all,-Noise"},
    "concat": {"models": "Odd,Even,Weak", "firsts": "4,3"},
    "route": {"by": "focus"},
    "stack": {},
    "fit": {"rule": "rrf"},
    "greedy": {"steps": 5, "rule": "zscore"},
    "auto": {"folds": 3, "steps": 4},
}
FILES = ("params.yaml", "per_user.parquet", "topk_valid.parquet", "topk_test.parquet", "topk_full.parquet")


def contents(run: RunFolder, name: str) -> dict[str, bytes]:
    """The bytes of everything that makes a mix, its times aside."""
    paths = [run.ensemble(name).path / file for file in FILES] + [run.submission(name)]
    return {path.name: path.read_bytes() for path in paths}


def recipe_of(run: RunFolder, name: str) -> dict[str, Any]:
    return yaml.safe_load(run.ensemble(name).params.read_text(encoding="utf-8"))


# -- every method -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_mix_is_written_like_a_model_and_made_again_from_its_recipe(run: RunFolder, method: str) -> None:
    made = ensemble(run.path, method=method, **METHODS[method])
    folder = run.ensemble(method)
    assert made.folder == folder
    split, data = read_split(run.split), read_data(run)
    scored = per_user(folder.read_topk("test"), split.test)
    pd.testing.assert_frame_equal(folder.read_per_user(), scored)
    status = folder.read_status()
    assert (status.model, status.state, status.family, status.source) == (method, "done", "ensemble", "ours")
    assert status.metrics["recall@10"] == scored["recall@10"].mean()
    assert status.users == len(scored)
    for part, rows in (("valid", split.valid), ("test", split.test)):
        assert set(folder.read_topk(part)["user"]) == set(rows["user"])
    submission = pd.read_csv(run.submission(method))
    validate_submission(submission, data.interactions, data.vocabulary)
    assert made.submission == run.submission(method)

    before = contents(run, method)
    ensemble(run.path, recipe=folder.params)
    assert contents(run, method) == before


def test_a_mix_never_shows_what_a_user_has_seen(run: RunFolder) -> None:
    ensemble(run.path, method="log2")
    split, folder = read_split(run.split), run.ensemble("log2")
    seen = {
        "valid": split.train,
        "test": pd.concat([split.train, split.valid]),
        "full": pd.concat([split.train, split.valid, split.test]),
    }
    for part, rows in seen.items():
        assert len(folder.read_topk(part).merge(rows, on=["user", "item"])) == 0


def test_a_rule_is_the_one_of_mixing(run: RunFolder) -> None:
    ensemble(run.path, method="linear", models="Odd,Even", weights="1,3", name="weighed")
    data, users = read_data(run), np.unique(read_split(run.split).test["user"])
    there = read_rankings(run, ["Odd", "Even"], "test", users, data.vocabulary)
    items, totals = mix(Rule.of("linear"), there.items, np.array([1, 3]))
    found = run.ensemble("weighed").read_topk("test")
    user, place = np.nonzero(items)
    assert found["user"].tolist() == users[user].tolist()
    assert found["item"].tolist() == data.vocabulary.item_ids(items[user, place]).tolist()
    assert found["rank"].tolist() == (place + 1).tolist()
    assert found["score"].tolist() == totals[user, place].tolist()
    assert recipe_of(run, "weighed")["weights"] == {"Odd": 1.0, "Even": 3.0}


def test_concatenation_takes_the_first_of_each_in_the_given_order(run: RunFolder) -> None:
    ensemble(run.path, method="concat", models="Odd,Even", name="halves")
    data, users = read_data(run), np.unique(read_split(run.split).test["user"])
    there = read_rankings(run, ["Odd", "Even"], "test", users, data.vocabulary)
    expected = concatenate(there.items, np.array([0, 1]), np.array([5, 100]))
    found = run.ensemble("halves").read_topk("test")
    assert found["item"].tolist() == data.vocabulary.item_ids(expected[expected > 0]).tolist()
    assert recipe_of(run, "halves")["firsts"] == [5, 100]
    topk = found[found["user"] == users[0]]
    assert topk["score"].is_monotonic_decreasing


def test_routing_gives_each_segment_its_model_and_all_others_the_best_on_validation(run: RunFolder) -> None:
    ensemble(
        run.path, method="route", by="length", models="Weak,Odd,Even", routes="short=Weak,long=Odd", name="by-length"
    )
    found = run.ensemble("by-length").read_topk("test", 10)
    segments = run_segments(run.path, "length").set_index("user")["segment"]
    for segment, model in (("short", "Weak"), ("medium", "Even"), ("long", "Odd")):
        users = segments.index[segments == segment]
        expected = run.model(model).read_topk("test", 10)
        expected = expected[expected["user"].isin(users)]
        inside = found[found["user"].isin(users)]
        assert len(inside) > 0
        assert inside["item"].tolist() == expected["item"].tolist()


def test_routes_alone_name_the_members(run: RunFolder) -> None:
    made = ensemble(run.path, method="route", by="length", routes={"short": "Odd", "long": "Even"}, name="two-routes")
    assert made.recipe.members == ("Even", "Odd")  # the best first: it serves all others


def test_routes_by_good_remember_their_judges(run: RunFolder) -> None:
    made = ensemble(run.path, method="route", by="good", models="Even,Odd", name="judged")
    assert made.recipe.judges == ("Even", "Odd", "Weak", "Noise")
    chosen = ensemble(run.path, method="route", by="good", models="Even,Odd", judges="Weak", name="judged")
    assert chosen.recipe.judges == ("Weak",)


def test_auto_finds_the_models_that_add_to_each_other_and_beats_the_best(run: RunFolder) -> None:
    made = ensemble(run.path)
    assert made.recipe.method == made.recipe.name == "auto"
    assert {"Even", "Odd"} <= set(made.recipe.members)
    assert made.best_single == "Even"
    assert made.difference > 0.03
    assert made.p_value < 0.05
    both = {name: run.find(name).read_per_user() for name in ("Even", "auto")}
    test = paired_tests(both, "Even").iloc[0]
    assert (made.difference, made.p_value) == (test["difference"], test["p_value"])
    search = recipe_of(run, "auto")["search"]
    assert search["out_of_fold_recall@10"] > search["best_single_out_of_fold_recall@10"]
    assert 0 < search["share_of_mix"] <= 1
    assert f"{search['out_of_fold_recall@10']:.4f} out of fold" in made.describe()
    assert f"{made.difference:+.4f}" in made.describe()


def test_auto_never_mixes_the_baseline_of_chance(tmp_path: Path) -> None:
    """Here it is called Random and knows much, so that any search would take it."""
    names = {"Random": Oracle(4.0), "Even": Oracle(1.0, "even"), "Odd": Oracle(1.0, "odd")}
    there = write_run(tmp_path, names)
    assert "Random" in ensemble(there.path, method="greedy").recipe.members
    assert "Random" not in ensemble(there.path, folds=3, steps=4).recipe.members


def test_fitting_gives_noise_less_weight(run: RunFolder) -> None:
    for method in ("fit", "greedy"):
        weights = ensemble(run.path, method=method, name=f"{method}-linear").recipe.weights
        assert weights is not None
        assert weights.get("Noise", 0) < min(weights["Even"], weights["Odd"])


# -- no leak -----------------------------------------------------------------------------------------


def shuffle_test_rows(run: RunFolder) -> None:
    """Deal the test movies, and every ranking for the test, to other users; the refits, which see them, go."""
    rng = np.random.default_rng(0)
    test = pd.read_parquet(run.split / "test.parquet")
    test["item"] = rng.permutation(test["item"])
    test.to_parquet(run.split / "test.parquet", index=False)
    for folder in run.models():
        topk = folder.read_topk("test")
        users = topk["user"].unique()
        topk["user"] = topk["user"].map(dict(zip(users, rng.permutation(users))))
        folder.write_topk("test", topk)
        folder.topk("full").unlink()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("auto", {"folds": 3, "steps": 4}),
        ("stack", {"learner": "lambdamart"}),
        ("fit", {}),
        ("greedy", {"rule": "minmax"}),
        ("route", {"by": "good"}),
        ("route", {"by": "focus"}),
    ],
)
def test_shuffled_test_rows_change_no_recipe(
    run: RunFolder, copy: RunFolder, method: str, options: dict[str, Any]
) -> None:
    whole = ensemble(run.path, method=method, name="whole", **options)
    shuffle_test_rows(copy)
    spoiled = ensemble(copy.path, method=method, name="whole", **options)
    assert spoiled.folder.params.read_bytes() == whole.folder.params.read_bytes()
    pd.testing.assert_frame_equal(spoiled.folder.read_topk("valid"), whole.folder.read_topk("valid"))
    assert not spoiled.folder.read_topk("test").equals(whole.folder.read_topk("test"))


def test_validation_rows_do_change_the_recipe(run: RunFolder, copy: RunFolder) -> None:
    """So that the test above can fail: the same shuffle of the validation rows is noticed."""
    before = ensemble(run.path, method="fit", name="whole").recipe.weights
    valid = pd.read_parquet(copy.split / "valid.parquet")
    valid["item"] = np.random.default_rng(0).permutation(valid["item"])
    valid.to_parquet(copy.split / "valid.parquet", index=False)
    assert ensemble(copy.path, method="fit", name="whole").recipe.weights != before


# -- the board ------------------------------------------------------------------------------------------


def test_a_mix_joins_the_board_with_paired_tests(copy: RunFolder) -> None:
    ensemble(copy.path, method="zscore", models="Even,Odd", name="both")
    board = build_board(copy)
    assert board.best == "both"
    row = board.to_frame().set_index("model").loc["both"]
    assert row["family"] == "ensemble"
    assert set(board.tests["model"]) == set(ORACLES)
    assert "both" in copy.leaderboard("csv").read_text(encoding="utf-8")


def test_a_mix_of_that_name_is_replaced_with_all_it_left(copy: RunFolder) -> None:
    ensemble(copy.path, method="rrf", models="Even,Odd", name="mine")
    assert copy.submission("mine").is_file()
    copy.model("Weak").topk("full").unlink()
    made = ensemble(copy.path, method="vote", models="Even,Weak", name="mine")
    assert made.submission is None
    assert "not every member was refitted" in made.describe()
    assert not copy.submission("mine").exists()
    assert not copy.ensemble("mine").topk("full").exists()
    assert recipe_of(copy, "mine")["members"] == ["Even", "Weak"]


def test_members_of_a_group_without_a_refit_are_left_out_and_named_ones_are_told_of(
    copy: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    copy.model("Weak").topk("full").unlink()
    made = ensemble(copy.path, method="vote")
    assert made.recipe.members == ("Even", "Noise", "Odd") and made.submission is not None
    assert "left out, because not refitted on every row: Weak" in caplog.text
    made = ensemble(copy.path, method="vote", models="Even,Weak")
    assert made.recipe.members == ("Even", "Weak") and made.submission is None
    assert "no submission, because not refitted on every row: Weak" in caplog.text
    for name in ("Even", "Noise", "Odd"):
        copy.model(name).topk("full").unlink()
    assert set(ensemble(copy.path, method="vote").recipe.members) == set(ORACLES)


def test_mixes_mix(copy: RunFolder) -> None:
    ensemble(copy.path, method="rrf", models="Even,Odd", name="inner")
    made = ensemble(copy.path, method="route", by="length", routes="short=inner,long=Weak", name="outer")
    assert made.recipe.members == ("inner", "Weak")
    with pytest.raises(ConfigError, match="its own member"):
        ensemble(copy.path, method="rrf", models="outer,Weak", name="outer")


# -- members ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("Odd,Even", ("Odd", "Even")),
        (["Odd", "Even,Weak"], ("Odd", "Even", "Weak")),
        ("all", ("Even", "Noise", "Odd", "Weak")),
        ("-Noise,-Weak", ("Even", "Odd")),
        ("general", ("Even", "Weak")),
        ("Odd,all,-rule", ("Odd", "Even", "Weak")),
    ],
)
def test_members_by_name_and_group(run: RunFolder, models: Any, expected: tuple[str, ...]) -> None:
    assert find_members(run, models) == expected


def test_members_by_the_catalogue_s_groups(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"Pop": Oracle(1.0, family="rule"), "Mine": Oracle(0.5)}, users=40)
    assert find_members(run, "fast") == ("Pop",)


@pytest.mark.parametrize(("models", "message"), [("Evn", "Even"), ("Even,-Even", "leaves no finished model")])
def test_members_that_cannot_be(run: RunFolder, models: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_members(run, models)


def fail(run: RunFolder, name: str) -> None:
    run.model(name).write_status(Status(name, FAILED, "general", "ours", error="killed by signal 9"))


def test_failed_members_are_named_when_asked_for_and_left_out_of_groups(copy: RunFolder) -> None:
    fail(copy, "Odd")
    copy.model("Weak").status.unlink()
    with pytest.raises(ConfigError, match=r"Odd is failed: killed by signal 9\nWeak is not finished") as error:
        ensemble(copy.path, method="vote", models="Even,Odd,Weak")
    assert "Even" not in str(error.value)
    copy.model("Weak").status.write_text("{")
    with pytest.raises(ConfigError, match="Weak cannot be read: .* expected a whole JSON object"):
        ensemble(copy.path, method="vote", models="Weak")
    assert ensemble(copy.path, method="vote").recipe.members == ("Even", "Noise")


def test_members_without_a_ranking_are_named(copy: RunFolder) -> None:
    copy.model("Odd").topk("valid").unlink()
    with pytest.raises(ConfigError, match="Odd has no ranking topk_valid.parquet"):
        ensemble(copy.path, method="vote", models="Even,Odd")


def test_members_of_another_split_are_refused(copy: RunFolder) -> None:
    topk = copy.model("Odd").read_topk("test")
    topk["user"] += 7
    copy.model("Odd").write_topk("test", topk)
    with pytest.raises(ConfigError, match="Odd: topk_test.parquet ranks for user .* no test rows"):
        ensemble(copy.path, method="vote", models="Even,Odd")
