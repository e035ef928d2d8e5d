"""ConvNCF's matrix products give the convolutions' scores, loss and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.general_recommender.convncf import ConvNCF

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.recbole_models.convncf import PatchConvNCF
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset


def pair_of_models(data: AtomicData, tmp_path: Path, **changes: Any) -> tuple[PatchConvNCF, ConvNCF]:
    config = build_config(load_catalog()["ConvNCF"].with_parameters(changes), seed=1, scratch=tmp_path)
    dataset = build_dataset(config, data, Interactions.from_rows(data.interactions, data.vocabulary))
    mine, theirs = PatchConvNCF(config, dataset), ConvNCF(config, dataset)
    with torch.no_grad():
        for value in mine.parameters():
            value.normal_(std=0.5, generator=torch.Generator().manual_seed(value.numel()))
    theirs.load_state_dict(mine.state_dict())
    return mine.double().eval(), theirs.double().eval()


def test_scores_loss_and_gradients_equal_recboles(planted: AtomicData, tmp_path: Path) -> None:
    mine, theirs = pair_of_models(planted, tmp_path)
    users = torch.arange(1, 61)
    batch = Interaction({"user_id": users, "item_id": users % 40 + 1, "neg_item_id": users * 7 % 40 + 1})
    torch.testing.assert_close(mine.predict(batch), theirs.predict(batch))
    losses = [model.calculate_loss(batch) for model in (mine, theirs)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (name, mine_value), theirs_value in zip(mine.named_parameters(), theirs.parameters()):
        torch.testing.assert_close(mine_value.grad, theirs_value.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_overlapping_kernels_are_refused(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cnn_strides"):
        pair_of_models(planted, tmp_path, cnn_kernels=[5, 4, 2, 2])
