"""What a model has learned, apart from what its constructor makes again of the same data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from recbole.model.abstract_recommender import GeneralRecommender

from movierec_bench.recbole_backend.model_contract import HistoryModel
from movierec_bench.settings.catalog import ModelEntry

# What `give_history` sets: stored once as rows, and not with each model again.
_HISTORIES = ("history", "interactions", "interaction_matrix")
# What every RecBole model gets from its base class.
_OF_BASE = ("training", "logger", "USER_ID", "ITEM_ID", "NEG_ITEM_ID", "n_users", "n_items", "device")


def constructor_trains(entry: ModelEntry, model_class: type) -> bool:
    """Whether the constructor is the training, as with RecBole's models that have a closed form."""
    return entry.trainer == "closed_form" and not issubclass(model_class, HistoryModel)


def learned_state(entry: ModelEntry, model: Any) -> dict[str, Any]:
    """The weights, RecBole's ``other_parameter``, single numbers and texts, and what a constructor that trains made.

    The numbers and texts are such as the stage a training has reached, on which some models' scores depend.
    """
    own = {name: value for name, value in vars(model).items() if not name.startswith("_") and name not in _OF_BASE}
    other = other_parameter(model)
    return {
        "weights": {name: value.detach() for name, value in model.state_dict().items()},
        "other": {name: value for name, value in other.items() if name not in _HISTORIES},
        "single": {name: value for name, value in own.items() if isinstance(value, (bool, int, float, str))},
        "built": {name: value for name, value in own.items() if name not in _HISTORIES}
        if constructor_trains(entry, type(model))
        else {},
    }


def other_parameter(model: Any) -> dict[str, Any]:
    """RecBole's ``other_parameter``, without the layers that some models have there, whose weights stand elsewhere."""
    return {name: value for name, value in model.other_parameter().items() if not isinstance(value, torch.nn.Module)}


def without_training(model_class: Any, config: Any, dataset: Any, state: dict[str, Any]) -> Any:
    """A model whose constructor would train, made of what `learned_state` kept of it instead."""
    model: Any = object.__new__(model_class)
    GeneralRecommender.__init__(model, config, dataset)
    for name, value in state["built"].items():
        setattr(model, name, value)
    for name, value in state["weights"].items():
        model.register_parameter(name, torch.nn.Parameter(torch.empty_like(value)))
    return model


def load_learned(model: Any, state: dict[str, Any], device: Any, changed: Collection[str] = ()) -> None:
    """Give a model of the same class and data what `learned_state` kept of another.

    Args:
        model: a model as its constructor leaves it.
        state: from `learned_state`.
        device: where the model is.
        changed: parameters that have other values than the other model's, and keep them.
    """
    model.load_state_dict(state["weights"])
    for name, value in state["single"].items():
        if name not in changed:
            setattr(model, name, value)
    model.load_other_parameter(on_device(device, state["other"]))


def on_device(device: Any, value: Any) -> Any:
    """A value with the tensors in dictionaries, lists and tuples on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(device, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_device(device, part) for part in value)
    return value
