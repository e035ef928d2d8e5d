"""RaCT's critic and last stage, on fewer movies than its NDCG looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.trainer import FitSettings, fit


def test_all_stages_run_on_few_movies(planted: AtomicData, tmp_path: Path) -> None:
    train = Interactions.from_rows(planted.interactions, planted.vocabulary)
    entry = load_catalog()["RaCT"].with_parameters({"pretrain_epochs": 1, "critic_epochs": 1, "train_batch_size": 16})
    assert entry.parameters["metrics_k"] > train.n_items
    fitted = fit(entry, planted, train, FitSettings(seed=1, scratch=tmp_path, epochs=2))
    assert fitted.model.train_stage == "finetune"
    assert len(fitted.epochs) == 2
    assert np.isfinite([record.train_loss for record in fitted.epochs]).all()
