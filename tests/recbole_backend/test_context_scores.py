"""The shared-work scores of context-aware models equal RecBole's own ``predict``, pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.context_aware_recommender import AFM, FM

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.context_scores import context_scores, scores_at_once
from movierec_bench.schema import USER_FIELD
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.training.trainer import FitSettings, Fitted, fit

CONTEXT = [entry for entry in load_catalog().values() if entry.family == "context" and not entry.needs]
WITH_YEAR = {"load_col": {"item": ["item_id", "genre", "year"]}}
VARIANTS = [
    ("AFM", {"load_col": {"item": ["item_id", "decade"]}}),
    ("AutoInt", {"n_layers": 2, "has_residual": False}),
    ("DCN", {"cross_layer_num": 1, "mlp_hidden_size": [8]}),
    ("DCNV2", {"structure": "stacked"}),
    ("DCNV2", {"mixed": True}),
    ("DeepFM", {"mlp_hidden_size": [16]}),
    ("DSSM", {"load_col": {"item": ["item_id"]}}),
    ("FFM", {"load_col": {"item": ["item_id", "genre"]}}),
    ("FM", {"load_col": {"item": ["item_id"]}}),
    ("FM", {"load_col": {"item": ["item_id", "decade", "title", "writer"]}}),
    ("PNN", {"use_outer": True}),
    ("PNN", {"use_inner": False, "use_outer": True}),
    ("xDeepFM", {"direct": True}),
    *((name, WITH_YEAR) for name in ("AFM", "DeepFM", "DSSM", "FFM", "FM", "FwFM", "LR", "PNN")),
]


@pytest.fixture(scope="module")
def train(planted: AtomicData) -> Interactions:
    return Interactions.from_rows(planted.interactions, planted.vocabulary)


def check_equals_predict(entry: ModelEntry, data: AtomicData, train: Interactions, scratch: Path) -> None:
    """Two epochs of training first, so that weights and running means are not where they started."""
    entry = entry.with_parameters({"train_batch_size": 512})
    made = fit(entry, data, train, FitSettings(seed=3, scratch=scratch, epochs=2))
    made.model.eval()
    users = Interaction({USER_FIELD: torch.arange(1, train.n_users)})
    with torch.no_grad():
        expected = pair_by_pair(made.model, users, made.items)
        found = context_scores(made.model, users, made.items)
    assert expected.std() > 1e-4, "all pairs score alike, so this would prove nothing"
    torch.testing.assert_close(torch.sigmoid(found), expected, rtol=0, atol=1e-5)


def pair_by_pair(model: Any, users: Interaction, items: Interaction) -> torch.Tensor:
    """What RecBole does: every pair a row with all its columns."""
    pairs = users.repeat_interleave(len(items))
    pairs.update(items.repeat(len(users)))
    return model.predict(pairs).view(len(users), len(items))


@pytest.mark.parametrize("entry", CONTEXT, ids=lambda entry: entry.name)
def test_scores_equal_predict(entry: ModelEntry, planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    check_equals_predict(entry, planted, train, tmp_path)


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=lambda value: str(value))
def test_other_settings_too(
    name: str, changes: dict[str, Any], planted: AtomicData, train: Interactions, tmp_path: Path
) -> None:
    check_equals_predict(load_catalog()[name].with_parameters(changes), planted, train, tmp_path)


def test_a_year_that_is_asked_for_is_read(planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """Two movies that differ in nothing but their year differ in their score by what the model makes of the year."""
    entry = load_catalog()["LR"].with_parameters(WITH_YEAR)
    made = fit(entry, planted, train, FitSettings(seed=3, scratch=tmp_path, epochs=2))
    assert made.model.float_field_names == ["year"]
    years = made.items["year"][:, 0]
    assert (float(years[1:].min()), float(years[1:].max()), float(years[0])) == (0, 1, 0)
    older = {**made.items.interaction, "year": made.items["year"] * torch.tensor([0.5, 1.0])}
    before = made.scores(train, np.array([1]))
    made.items = Interaction(older)
    weight = float(made.model.first_order_linear.float_embedding_table.embedding.weight[1])
    assert weight != 0
    torch.testing.assert_close(before - made.scores(train, np.array([1])), 0.5 * years[None] * weight)


def fitted(name: str, data: AtomicData, train: Interactions, scratch: Path) -> Fitted:
    return fit(load_catalog()[name], data, train, FitSettings(seed=3, scratch=scratch, epochs=1))


def test_a_subclass_is_rated_pair_by_pair(planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """Its forward pass may be another, so the terms of its parent must not stand for it."""
    made = fitted("FM", planted, train, tmp_path)
    assert scores_at_once(made.model)

    class Reversed(FM):
        def predict(self, interaction: Any) -> torch.Tensor:
            return -super().predict(interaction)

    before = made.scores(train, np.arange(1, 5))
    made.model.__class__ = Reversed
    assert not scores_at_once(made.model)
    torch.testing.assert_close(made.scores(train, np.arange(1, 5)), -torch.sigmoid(before), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["FM", "AFM", "DCNV2", "KD_DAGFM", "PNN", "CDAE"])
def test_what_a_sigmoid_would_make_equal_is_told_apart(
    name: str, planted: AtomicData, train: Interactions, tmp_path: Path
) -> None:
    """In float32 the sigmoid of 17 and of anything above is 1."""
    made = fitted(name, planted, train, tmp_path)
    users = np.arange(1, train.n_users)
    with torch.no_grad():
        for value in made.model.parameters():
            value.mul_(50)
    scores = made.scores(train, users)[:, 1:]
    high = scores > 20
    assert high.sum() > 50, "nothing is above what float32 can tell apart, so this would prove nothing"
    assert len(scores[high].unique()) > 0.5 * high.sum()


def test_a_sigmoid_within_the_model_stays(planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """What is ranked is the scores, unless they are a sigmoid and nothing else."""
    made = fitted("FM", planted, train, tmp_path)

    class Halved(FM):
        def predict(self, interaction: Any) -> torch.Tensor:
            return 0.5 * super().predict(interaction)

    users = np.arange(1, 5)
    expected = 0.5 * torch.sigmoid(made.scores(train, users))
    made.model.__class__ = Halved
    torch.testing.assert_close(made.scores(train, users), expected, rtol=0, atol=1e-5)


def test_a_mixing_model_is_never_changed(
    planted: AtomicData, train: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model with other layers ranks in its place."""
    made = fitted("AFM", planted, train, tmp_path)
    layer, predict, rated = made.model.first_order_linear, AFM.predict, []

    def spied(self: AFM, interaction: Any) -> torch.Tensor:
        assert made.model.first_order_linear is layer and self.first_order_linear is not layer
        assert "concat_embed_input_fields" not in {**vars(made.model), **made.model._modules}
        rated.append(self is made.model)
        return predict(self, interaction)

    monkeypatch.setattr(AFM, "predict", spied)
    made.scores(train, np.arange(1, 5))
    assert rated and not any(rated)


def test_a_mixing_model_is_whole_after_an_error(planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    made = fitted("AFM", planted, train, tmp_path)
    weights = {name: value.clone() for name, value in made.model.state_dict().items()}
    users = Interaction({USER_FIELD: torch.arange(1, 4)})
    made.model.predict = None
    with pytest.raises(TypeError), torch.no_grad():
        context_scores(made.model, users, made.items)
    assert made.model.state_dict().keys() == weights.keys()
    assert "concat_embed_input_fields" not in vars(made.model)
