"""Gated recurrent layers on a CPU, trained through whole windows: torch's own keep a graph of every single step."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def recurrent_states(layers: torch.nn.GRU, inputs: torch.Tensor) -> torch.Tensor:
    """What ``layers(inputs)`` gives first, in two thirds of the time of an epoch.

    The steps are written into buffers, and of the gradient a step keeps only what depends on the step after it; all
    else are products and sums over the whole window.

    Args:
        layers: without biases and without dropout between layers, ``batch_first``, as RecBole's GRU4Rec has them.
        inputs: float32 [B, W, input_size].

    Returns:
        Float32 [B, W, hidden_size], the last layer's states; before the first position all are 0.

    Source:
        Cho et al., EMNLP 2014, with the gates as torch orders them: reset, update, new.
    """
    states = inputs.transpose(0, 1)
    for layer in range(layers.num_layers):
        gates = states @ getattr(layers, f"weight_ih_l{layer}").T
        states = _States.apply(gates, getattr(layers, f"weight_hh_l{layer}"))
    return states.transpose(0, 1)


class _States(torch.autograd.Function):
    """States [W, B, H] from the inputs' share of the gates [W, B, 3 H] and the states' weights [3 H, H]."""

    @staticmethod
    def forward(ctx: Any, from_inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        width, batch, size = len(from_inputs), from_inputs.shape[1], weights.shape[1]
        states = from_inputs.new_zeros(width + 1, batch, size)
        gates = from_inputs.clone()
        from_state = from_inputs.new_empty(width, batch, 3 * size)
        for step in range(width):
            before, share = states[step], from_state[step]
            torch.mm(before, weights.T, out=share)
            open_gates = gates[step, :, : 2 * size].add_(share[:, : 2 * size]).sigmoid_()
            reset, update = open_gates[:, :size], open_gates[:, size:]
            new = gates[step, :, 2 * size :].addcmul_(reset, share[:, 2 * size :]).tanh_()
            torch.lerp(new, before, update, out=states[step + 1])
        ctx.save_for_backward(weights, states, gates, from_state[..., 2 * size :])
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, states, gates, new_from_state = ctx.saved_tensors
        width, batch, size = new_from_state.shape
        before = states[:-1]
        reset, update, new = gates.split(size, dim=2)
        # How each gate, before its sigmoid or tanh, moves the state that follows.
        by_new = (1 - update) * (1 - new * new)
        by_update = (before - new) * update * (1 - update)
        by_reset = by_new * new_from_state * reset * (1 - reset)
        factors = torch.stack((by_reset, by_update, by_new * reset), dim=2)
        gradients = torch.empty_like(states[1:])
        to_gates = torch.empty_like(factors)
        gradient = torch.zeros_like(states[0])
        for step in range(width - 1, -1, -1):
            torch.add(gradient, outer[0][step], out=gradients[step])
            torch.mul(factors[step], gradients[step].unsqueeze(1), out=to_gates[step])
            carried = gradients[step] * update[step]
            gradient = torch.addmm(carried, to_gates[step].view(batch, 3 * size), weights)
        to_weights = to_gates.view(width * batch, 3 * size).T @ before.reshape(width * batch, size)
        to_inputs = to_gates.view(width, batch, 3 * size).clone()
        to_inputs[..., 2 * size :] = by_new * gradients
        return to_inputs, to_weights
