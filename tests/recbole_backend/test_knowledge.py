"""The orders of RecBole's knowledge trainers: which loss sees which batches, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from movierec_bench.training.schemes.alternating import AlternatingScheme, KGATScheme, MKRScheme

CONFIG = {
    "learner": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "clip_grad_norm": None, "device": torch.device("cpu"),
    "model": "Recorder", "kge_interval": 3, "train_rec_step": 2, "train_kg_step": 1,
}  # fmt: skip


class Recorder(torch.nn.Module):
    """A model that writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.asked: list[tuple[str, str, bool]] = []

    def _loss(self, name: str, interaction: Interaction) -> torch.Tensor:
        self.asked.append((name, interaction.columns[0], self.training))
        return (self.weight - 1.0).square().sum()

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        return self._loss("loss", interaction)

    def calculate_rs_loss(self, interaction: Interaction) -> torch.Tensor:
        return self._loss("rs", interaction)

    def calculate_kg_loss(self, interaction: Interaction) -> torch.Tensor:
        return self._loss("kg", interaction)

    def update_attentive_A(self) -> None:  # noqa: N802 (RecBole's name)
        assert not torch.is_grad_enabled()
        self.asked.append(("attention", "", self.training))


class OneBatchEach:
    """Batches with one of interactions and one of triples."""

    def interactions(self, rng: np.random.Generator) -> Iterator[Interaction]:
        return iter([Interaction({"user_id": torch.ones(2)})])

    def triples(self, rng: np.random.Generator) -> Iterator[Interaction]:
        return iter([Interaction({"head_id": torch.ones(2)})])


def asked_in(scheme_class: Any, epochs: int) -> list[list[tuple[str, str, bool]]]:
    model = Recorder()
    scheme = scheme_class(CONFIG, model)
    taken = []
    for _ in range(epochs):
        model.asked = []
        scheme.epoch(OneBatchEach(), np.random.default_rng(0))
        taken.append(model.asked)
    return taken


RS, KG = ("loss", "user_id", True), ("kg", "head_id", True)


def test_kgat_learns_from_both_and_then_renews_its_attention() -> None:
    assert asked_in(KGATScheme, 2) == [[RS, KG, ("attention", "", False)]] * 2


def test_mkr_takes_the_triples_every_third_epoch() -> None:
    rs = ("rs", "user_id", True)
    assert asked_in(MKRScheme, 5) == [[rs, KG], [rs], [rs], [rs, KG], [rs]]


def test_ktup_takes_turns() -> None:
    assert asked_in(AlternatingScheme, 5) == [[RS], [RS], [KG], [RS], [RS]]


def test_the_loss_is_summed_over_the_passes_and_the_optimiser_is_one() -> None:
    model = Recorder()
    loss = KGATScheme(CONFIG, model).epoch(OneBatchEach(), np.random.default_rng(0))
    assert loss == pytest.approx(1.0 + 0.8**2)  # weight 0, then 0.2 after one step of the same optimiser
    assert model.weight.item() == pytest.approx(0.36)
