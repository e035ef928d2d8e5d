"""Gated recurrent layers against torch's own, states and gradients."""

from __future__ import annotations

import pytest
import torch

from movierec_bench.models.parts.gru_cpu import recurrent_states


@pytest.mark.parametrize(
    "batch, width, inputs, hidden, layers", [(3, 7, 4, 5, 1), (1, 1, 2, 3, 1), (4, 1, 3, 3, 2), (2, 9, 6, 2, 3)]
)
def test_states_and_gradients_are_torchs(batch: int, width: int, inputs: int, hidden: int, layers: int) -> None:
    torch.manual_seed(0)
    gru = torch.nn.GRU(inputs, hidden, layers, bias=False, batch_first=True).double()
    read = torch.randn(batch, width, inputs, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(batch, width, hidden, dtype=torch.float64)
    parameters = [read, *gru.parameters()]
    theirs, _ = gru(read)
    ours = recurrent_states(gru, read)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad((states * towards).sum(), parameters) for states in (ours, theirs))
    for mine, torchs in zip(found, expected):
        torch.testing.assert_close(mine, torchs)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    gru = torch.nn.GRU(2, 3, bias=False, batch_first=True).double()
    read = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda inputs: recurrent_states(gru, inputs), (read,))


def test_without_gradients_nothing_is_kept() -> None:
    gru = torch.nn.GRU(2, 3, bias=False, batch_first=True)
    with torch.no_grad():
        assert recurrent_states(gru, torch.randn(2, 4, 2)).grad_fn is None
