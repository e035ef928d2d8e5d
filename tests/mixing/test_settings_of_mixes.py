"""Settings and recipes of mixes: which are refused, and what a recipe written by hand does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support.mix_runs import Oracle, write_run

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing.ensemble import ensemble
from movierec_bench.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "borda"}, "method is 'borda'; expected one of vote"),
        ({"method": "zcore"}, "did you mean zscore"),
        ({"method": "vote", "weights": "1,2"}, "there are 2 weights for 4 models"),
        ({"method": "vote", "weights": "1,2,x,4"}, "weight is 'x'; expected a number"),
        ({"method": "vote", "weights": "Even=1,Odd=2"}, "correct Noise"),
        ({"method": "vote", "weights": [0, 0, 0, 0]}, "every weight is 0"),
        ({"method": "vote", "weights": [-1, 0, 1, 1]}, "from 0 to 1000"),
        ({"method": "vote", "depth": 0}, "expected 1 to 100"),
        ({"method": "vote", "rrf_k": 5}, "rrf_k means nothing for method 'vote'"),
        ({"method": "fit", "rrf_k": 5}, "rrf_k means nothing for the rule 'linear'"),
        ({"method": "fit", "rule": "mean"}, "rule 'mean' is not known"),
        ({"method": "auto", "weights": "1"}, "weights means nothing for method 'auto'"),
        ({"method": "auto", "folds": 1}, "folds is 1"),
        ({"method": "greedy", "steps": 0}, "steps is 0"),
        ({"method": "fit", "folds": 1}, "folds is 1"),
        ({"method": "stack", "learner": "forest"}, "learner is 'forest'; expected one of logistic, lambdamart"),
        ({"method": "stack", "strength": 0}, "strength is 0"),
        ({"method": "stack", "depth": 5}, "depth is 5; expected 10 to 100"),
        ({"method": "stack", "weights": "1"}, "weights means nothing for method 'stack'"),
        ({"method": "concat", "firsts": "5,0"}, "whole numbers from 1"),
        ({"method": "concat", "firsts": "1,2,3,4,5"}, "at most 4"),
        ({"method": "route", "by": "mood"}, "segments by 'mood' are not known"),
        ({"method": "route", "routes": "short:Even"}, "expected NAME=VALUE"),
        ({"method": "route", "routes": "tiny=Even"}, "the segment 'tiny', in which nobody is"),
        ({"method": "route", "models": "Even,Odd", "routes": "short=Weak"}, "routes lead to Weak"),
        ({"method": "vote", "name": "a/b"}, "name is 'a/b'"),
        ({"method": "vote", "name": "Even"}, "Even is a model of"),
        ({"recipe": "x.yaml", "method": "vote", "weights": "1"}, "leave out weights, method"),
        ({"recipe": "nowhere.yaml"}, "nowhere.yaml is no file"),
    ],
)
def test_settings_that_cannot_be_are_refused(copy: RunFolder, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ensemble(copy.path, **options)
    assert not copy.ensembles()


def test_no_run_and_other_data_are_refused(copy: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give a run's folder"):
        ensemble(tmp_path)
    write_run(tmp_path / "other", {"One": Oracle(1.0)}, users=41)
    with pytest.raises(DataError, match="holds data"):
        ensemble(copy.path, atomic=tmp_path / "other" / "atomic")


def test_a_recipe_written_by_hand_under_another_name(copy: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "hand.yaml"
    path.write_text("name: hand\nmethod: rrf\nmembers: [Odd, Even]\nrule: rrf\nweights: {Odd: 1, Even: 2}\n")
    ensemble(copy.path, recipe=path, name="other")
    ensemble(copy.path, method="rrf", models="Odd,Even", weights="1,2")
    pd.testing.assert_frame_equal(copy.ensemble("other").read_topk("test"), copy.ensemble("rrf").read_topk("test"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wieghts": {}}, "unknown key 'wieghts'.*did you mean weights"),
        ({"members": None}, "members missing"),
        ({"weights": {"Odd": 1}}, "expected one for each member"),
        ({"weights": [1, 2]}, "weights is .* expected key: value lines"),
        ({"weights": {"Odd": "much", "Even": 1}}, "weights are .*expected numbers"),
        ({"weights": {"Odd": 0, "Even": 0}}, "one above 0"),
        ({"weights": {"Odd": -1, "Even": 1}}, "from 0 to 1000"),
        ({"rule": None}, "needs rule and weights"),
        ({"firsts": [5, 5]}, "firsts mean nothing for method 'rrf'"),
        ({"depth": "deep"}, "depth is 'deep'; expected an integer"),
        ({"method": "concat"}, "mean nothing for method 'concat'"),
        ({"members": ["Odd", "Odd"]}, "each once"),
        ({"data_hash": "0123"}, "found on other data"),
        ({"protocol_hash": "0123"}, "found on other protocol"),
        ({"members": ["Odd", "Evan"], "weights": {"Odd": 1, "Evan": 1}}, "no model or ensemble 'Evan'"),
    ],
)
def test_damaged_recipes_are_refused(copy: RunFolder, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    recipe = {"name": "r", "method": "rrf", "members": ["Odd", "Even"], "rule": "rrf", "weights": {"Odd": 1, "Even": 2}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe, **changes}))
    with pytest.raises(ConfigError, match=message):
        ensemble(copy.path, recipe=path)
    assert not copy.ensembles()
