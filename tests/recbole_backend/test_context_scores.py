"""The shared-work scores of context-aware models equal RecBole's own ``predict``, pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.context_aware_recommender import FM

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.context_scores import context_scores, scores_at_once
from movierec_bench.schema import USER_FIELD
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.training.trainer import FitSettings, Fitted, fit

CONTEXT = [entry for entry in load_catalog().values() if entry.family == "context" and not entry.needs]
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
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


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
    torch.testing.assert_close(made.scores(train, np.arange(1, 5)), -before, rtol=0, atol=1e-5)


def test_a_mixing_model_is_whole_again_afterwards(planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """Its layers are replaced while it ranks; training must go on with its own, also after an error."""
    made = fitted("AFM", planted, train, tmp_path)
    weights = {name: value.clone() for name, value in made.model.state_dict().items()}
    users = Interaction({USER_FIELD: torch.arange(1, 4)})
    made.model.predict = None
    with pytest.raises(TypeError), torch.no_grad():
        context_scores(made.model, users, made.items)
    assert made.model.state_dict().keys() == weights.keys()
    assert "concat_embed_input_fields" not in vars(made.model)
