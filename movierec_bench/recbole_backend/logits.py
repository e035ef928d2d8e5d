"""What a model scores before the sigmoid that ends it.

The sigmoid changes no order, but in float32 it gives 1 to every score above 16.7: ties, broken by the movie's id.
"""

from __future__ import annotations

from typing import Any, Callable

from torch import Tensor, nn


def before_sigmoid(model: Any, rate: Callable[[], Tensor]) -> Tensor:
    """The scores that ``rate`` gives; where they come straight from a sigmoid of the model, what went into that.

    Args:
        model: whose layers are watched, those named in the model itself and not those within its layers.
        rate: asks the model for scores.

    Returns:
        A tensor of the shape of the scores.
    """
    last: list[Tensor] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        last[:] = [given[0], output]

    handles = [layer.register_forward_hook(note) for layer in model.children() if type(layer) is nn.Sigmoid]
    try:
        scores = rate()
    finally:
        for handle in handles:
            handle.remove()
    if last and _same_numbers(last[1], scores):
        return last[0].reshape(scores.shape)
    return scores


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors lie at one place in memory, one perhaps the other in another shape."""
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()
