"""Latent vectors are drawn with the spread that the encoder and ``noise`` say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset, build_model

MEAN, LOG_VARIANCE = torch.tensor([0.0, 2.0, -1.0]), torch.log(torch.tensor([1.0, 4.0, 0.25]))


@pytest.mark.parametrize("name", ["MultiVAE", "RecVAE", "RaCT"])
@pytest.mark.parametrize("changes", [{}, {"noise": 0.5}, {"noise": 0.0}])
def test_draws_have_the_mean_and_spread(name: str, changes: dict, planted: AtomicData, tmp_path: Path) -> None:
    entry = load_catalog()[name].with_parameters(changes)
    config = build_config(entry, 1, tmp_path)
    rows = Interactions.from_rows(planted.interactions, planted.vocabulary)
    model = build_model(entry, config, build_dataset(config, planted, rows))
    noise = changes.get("noise", 1.0)  # the papers'
    torch.manual_seed(0)
    model.train()
    drawn = model.reparameterize(MEAN.expand(20_000, 3), LOG_VARIANCE.expand(20_000, 3))
    torch.testing.assert_close(drawn.mean(dim=0), MEAN, atol=0.05 * noise, rtol=1e-6)
    torch.testing.assert_close(drawn.std(dim=0), noise * torch.tensor([1.0, 2.0, 0.5]), atol=1e-6, rtol=0.03)
    model.eval()
    torch.testing.assert_close(model.reparameterize(MEAN, LOG_VARIANCE), MEAN)
