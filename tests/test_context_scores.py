"""The shared-work scores of context-aware models equal RecBole's own ``predict``, pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data.interaction import Interaction

from movierec_bench.atomic import AtomicData
from movierec_bench.catalog import ModelEntry, load_catalog
from movierec_bench.recbole_backend.context_scores import context_scores, scores_at_once
from movierec_bench.recbole_backend.data import Interactions
from movierec_bench.recbole_backend.trainer import FitSettings, Fitted, fit
from movierec_bench.schema import USER_FIELD

CONTEXT = [entry for entry in load_catalog().values() if entry.family == "context" and not entry.needs]
VARIANTS = {
    "PNN": {"use_outer": True},
    "DCNV2": {"structure": "stacked"},
    "FFM": {"load_col": {"item": ["item_id", "genre"]}},
    "DSSM": {"load_col": {"item": ["item_id"]}},
    "FM": {"load_col": {"item": ["item_id", "decade", "writer"]}},
}


@pytest.fixture(scope="module")
def train(planted: AtomicData) -> Interactions:
    return Interactions.from_rows(planted.interactions, planted.vocabulary)


def fitted(entry: ModelEntry, data: AtomicData, train: Interactions, scratch: Path) -> Fitted:
    """Two epochs of training, so that no weight is still where it started and the running means have moved."""
    return fit(entry, data, train, FitSettings(seed=3, scratch=scratch, epochs=2))


def pair_by_pair(model: Any, users: Interaction, items: Interaction) -> torch.Tensor:
    """What RecBole does: every pair a row with all its columns."""
    pairs = users.repeat_interleave(len(items))
    pairs.update(items.repeat(len(users)))
    return model.predict(pairs).view(len(users), len(items))


def check_equal(made: Fitted) -> None:
    made.model.eval()
    users = Interaction({USER_FIELD: torch.arange(1, made.model.n_users_in_test)})
    with torch.no_grad():
        expected = pair_by_pair(made.model, users, made.items)
        found = context_scores(made.model, users, made.items)
    assert expected.std() > 1e-4, "all pairs score alike, so this would prove nothing"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("entry", CONTEXT, ids=lambda entry: entry.name)
def test_scores_equal_predict(entry: ModelEntry, planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    made = fitted(entry, planted, train, tmp_path)
    assert scores_at_once(made.model)
    made.model.n_users_in_test = train.n_users
    check_equal(made)
