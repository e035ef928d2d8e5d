"""KD_DAGFM goes through its three phases by itself, and what ranks is always the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_batches, build_dataset
from movierec_bench.training.schemes.stages import DistillationScheme
from movierec_bench.training.trainer import FitSettings, fit, seed_everything


@pytest.fixture
def made(planted: AtomicData, tmp_path: Path) -> tuple[Any, Any, DistillationScheme]:
    """Model, batches and scheme, with one epoch of teaching and two of distillation."""
    entry = load_catalog()["KD_DAGFM"].with_parameters({"teacher_epochs": 1, "distillation_epochs": 2})
    config = build_config(entry, seed=1, scratch=tmp_path)
    dataset = build_dataset(config, planted, Interactions.from_rows(planted.interactions, planted.vocabulary))
    seed_everything(1)
    model = load_model_class(entry)(config, dataset)
    return model, build_batches(entry, config, dataset), DistillationScheme(config, model)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_parameters()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Which parts of the model changed: teacher, student, or the vectors they share."""
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {"teacher_network": "teacher", "student_network": "student", "token": "vectors"}
    return {part for name in changed for start, part in parts.items() if name.startswith(start)}


def test_each_phase_trains_its_own_part(made: tuple[Any, Any, DistillationScheme]) -> None:
    model, batches, scheme = made
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(5):
        before, pretraining = weights(model), scheme.is_pretraining
        loss = scheme.epoch(batches, rng)
        assert np.isfinite(loss)
        assert model.phase == "finetuning"
        seen.append((pretraining, moved(before, weights(model))))
    assert seen == [
        (True, {"teacher", "vectors"}),
        (True, {"student"}),
        (True, {"student"}),
        (False, {"student", "vectors"}),
        (False, {"student", "vectors"}),
    ]


def test_the_teacher_has_one_epoch_at_least_and_then_its_share_of_the_budget(
    planted: AtomicData, tmp_path: Path
) -> None:
    entry = load_catalog()["KD_DAGFM"].with_parameters({"teacher_epochs": 4, "distillation_epochs": 1})
    rows = Interactions.from_rows(planted.interactions, planted.vocabulary)
    fitted = fit(entry, planted, rows, FitSettings(1, tmp_path, budget=1e-9), lambda fitted: 0.5)
    assert fitted.stage_epochs == {"teacher_epochs": 1}
    assert [np.isnan(record.valid_recall) for record in fitted.epochs] == [True, False]  # teacher, then the student
