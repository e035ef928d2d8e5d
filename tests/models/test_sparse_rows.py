"""Autoencoders fed with lists of movies: the layers, the losses and the scores of RecBole's on dense rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.general_recommender.multidae import MultiDAE
from recbole.model.general_recommender.multivae import MultiVAE
from recbole.model.general_recommender.recvae import RecVAE
from scipy.sparse import csr_matrix
from torch.nn.functional import log_softmax, normalize

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.sparse_rows import RowLinear, RowLists, multinomial_loss
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.schema import USER_FIELD
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset
from movierec_bench.training.trainer import seed_everything

SEEN = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)  # the second has seen nothing
ALL_ROWS = torch.arange(3)


def lists() -> RowLists:
    return RowLists.of(csr_matrix(SEEN), ALL_ROWS)


def test_rows_as_lists_by_hand() -> None:
    rows = RowLists.of(csr_matrix(SEEN), torch.tensor([2, 1, 0]))
    assert rows.columns.tolist() == [3, 1, 2]
    assert rows.row.tolist() == [0, 2, 2]
    assert rows.starts.tolist() == [0, 1, 1]
    assert rows.counts.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(rows.dense(4), SEEN[::-1])


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("first", [1.0, 0.25])
def test_a_layer_of_lists_is_the_layer_of_dense_rows(normalised: bool, first: float) -> None:
    """Also where a one has a weight: the first row is then 0, 0.25, 1, 0."""
    linear = torch.nn.Linear(4, 5)
    layer = RowLinear(linear, normalised)
    dense = torch.from_numpy(SEEN).clone()
    dense[0, 1] = first
    expected = linear(normalize(dense) if normalised else dense)
    outputs = layer(RowLists.of(csr_matrix(dense.numpy()), ALL_ROWS), dropout_prob=0.0)
    torch.testing.assert_close(outputs, expected)
    expected.square().sum().backward()
    outputs.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, linear.weight.grad.T)
    torch.testing.assert_close(layer.bias.grad, linear.bias.grad)


def test_dropped_ones_leave_the_mean_and_only_in_training() -> None:
    torch.manual_seed(1)
    layer = RowLinear(torch.nn.Linear(4, 2))
    kept = layer(lists(), 0.0)
    drawn = torch.stack([layer(lists(), 0.5) for _ in range(4000)])
    torch.testing.assert_close(drawn.mean(dim=0), kept, atol=0.05, rtol=0)
    assert (drawn[:, 0] != kept[0]).any()
    layer.eval()
    torch.testing.assert_close(layer(lists(), 0.5), kept)


def test_the_likelihood_and_its_gradient_by_hand() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, 0.5], [1.0, 1.0, 1.0, 1.0], [0.3, 0.2, 0.1, 0.0]], requires_grad=True)
    expected = -(log_softmax(scores, dim=1) * torch.from_numpy(SEEN)).sum(dim=1).mean()
    (gradient,) = torch.autograd.grad(3 * expected, scores)
    loss = multinomial_loss(scores, lists())
    torch.testing.assert_close(loss, expected)
    (found,) = torch.autograd.grad(3 * loss, scores)
    torch.testing.assert_close(found, gradient)


def test_a_second_backward_pass_fails_instead_of_being_wrong() -> None:
    scores = torch.zeros(3, 4, requires_grad=True)
    loss = multinomial_loss(scores, lists())
    loss.backward(retain_graph=True)
    with pytest.raises(TypeError):
        loss.backward()


RECBOLES = {
    "MultiVAE": (MultiVAE, lambda model, batch: model.calculate_loss(batch)),
    "MultiDAE": (MultiDAE, lambda model, batch: model.calculate_loss(batch)),
    "RecVAE": (RecVAE, lambda model, batch: model.calculate_loss(batch, encoder_flag=True)),
}


@pytest.mark.parametrize("name", RECBOLES)
def test_loss_gradients_and_scores_are_recboles(name: str, planted: AtomicData, tmp_path: Path) -> None:
    original, loss_of = RECBOLES[name]
    train = Interactions.from_rows(planted.interactions, planted.vocabulary)
    changes = {"MultiVAE": {"anneal_cap": 0.0, "noise": 0.01}, "MultiDAE": {}, "RecVAE": {"noise": 0.01}}
    entry = load_catalog()[name].with_parameters({"dropout_prob": 0.0, **changes[name]})
    config = build_config(entry, 3, tmp_path)
    dataset = build_dataset(config, planted, train)
    batch = Interaction({USER_FIELD: torch.arange(1, 40)})
    theirs, ours = (seeded(build, config, dataset) for build in (original, load_model_class(entry)))
    losses = [trained_loss(model, loss_of, batch) for model in (theirs, ours)]
    torch.testing.assert_close(losses[1], losses[0])
    # Every weight has one partner of the same size; the first layer's lies the other way round.
    for model in (theirs, ours):
        model.zero_grad()
        trained_loss(model, loss_of, batch).backward()
    sizes = [sorted(float(p.grad.norm()) for p in model.parameters() if p.requires_grad) for model in (theirs, ours)]
    np.testing.assert_allclose(sizes[1], sizes[0], rtol=1e-3, atol=1e-6)
    for model in (theirs, ours):
        model.eval()
    with torch.no_grad():
        scores = [model.full_sort_predict(batch).view(len(batch), -1) for model in (theirs, ours)]
    torch.testing.assert_close(scores[1], scores[0], atol=1e-5, rtol=1e-4)


def seeded(build: Callable[..., Any], config: Any, dataset: Any) -> Any:
    seed_everything(7)
    return build(config, dataset)


def trained_loss(model: Any, loss_of: Callable[[Any, Any], torch.Tensor], batch: Interaction) -> torch.Tensor:
    model.train()
    seed_everything(11)  # the latent vectors' noise
    return loss_of(model, batch)
