"""How one epoch trains a model: plainly, or in the particular way a few of RecBole's models need.

RecBole picks a trainer by the model's class name; here the YAML's ``catalog.scheme`` says it.
"""

from __future__ import annotations

import importlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Callable, Optional

import numpy as np
import torch
from recbole.data.interaction import Interaction

from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.recbole_backend.model_contract import ModelConfig
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.training.batches import Batches


class Scheme(ABC):
    """Trains a model epoch by epoch, in one stage or in several.

    Args:
        config: the model's RecBole Config.
        model: the model to train.
        budget: seconds of training that stages share out; None: no limit.
    """

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        self._config = config
        self._model = model
        self._budget = budget

    def _end_of_share(self, share: float) -> float:
        """When so much of the budget will be spent from now on, by ``time.perf_counter``; infinity without a budget."""
        return time.perf_counter() + share * (self._budget or math.inf)

    @abstractmethod
    def epoch(self, batches: Any, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""

    @property
    def is_pretraining(self) -> bool:
        """Whether a stage is still to come; early stopping waits for the last."""
        return False

    @property
    def can_rank(self) -> bool:
        """Whether a stage that teaches ranking has begun; validation and the budget's end wait for it."""
        return True

    def epoch_end(self, training_end: float) -> float:
        """When the coming epoch breaks off, by ``time.perf_counter``; ``training_end`` unless a stage ends before."""
        return training_end

    @property
    def stage_epochs(self) -> dict[str, int]:
        """Epochs of each stage that time may cut short, by the parameter with which a refit repeats them."""
        return {}

    def state(self) -> Optional[dict[str, Any]]:
        """What the scheme has besides the model between two epochs; None: its training cannot be taken up again."""
        return None

    def load_state(self, state: dict[str, Any]) -> None:
        """Take what `state` gave; a scheme without a state of its own is given an empty one."""
        assert not state


def build_scheme(entry: ModelEntry, config: ModelConfig, model: Any, budget: Optional[float]) -> Scheme:
    """The scheme the catalogue names, with ``budget`` seconds to share out. Raises ConfigError for an unknown one."""
    if entry.scheme not in SCHEMES:
        raise ConfigError(f"{entry.path}: 'catalog.scheme' is {entry.scheme!r}; expected one of {', '.join(SCHEMES)}")
    module, name = SCHEMES[entry.scheme].split(":")
    scheme: Scheme = getattr(importlib.import_module(f"{__package__}.{module}"), name)(config, model, budget)
    return scheme


class PlainScheme(Scheme):
    """One optimiser, one pass over the batches, ``calculate_loss`` at each."""

    def __init__(self, config: ModelConfig, model: Any, budget: Optional[float] = None) -> None:
        super().__init__(config, model, budget)
        self._optimizer = build_optimizer(config, model.parameters())

    def epoch(self, batches: Batches, rng: np.random.Generator) -> float:
        """Train one epoch; the mean loss a step."""
        self._model.train()
        return train_pass(self._config, self._model, self._model.calculate_loss, self._optimizer, batches.epoch(rng))

    def state(self) -> Optional[dict[str, Any]]:
        """The optimiser's."""
        return {"optimizer": self._optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the optimiser's."""
        self._optimizer.load_state_dict(state["optimizer"])


# ``catalog.scheme`` to module of this package and class, built as Class(config, model, budget).
SCHEMES: Mapping[str, str] = {
    "plain": "base:PlainScheme",
    "recvae": "alternating:RecVAEScheme",
    "ncl": "alternating:NCLScheme",
    "boosting": "whole_epoch:BoostingScheme",
    "descent": "whole_epoch:DescentScheme",
    "kd_dagfm": "stages:DistillationScheme",
    "kgat": "alternating:KGATScheme",
    "mkr": "alternating:MKRScheme",
    "alternating": "alternating:AlternatingScheme",
    "ract": "stages:RaCTScheme",
    "nais": "stages:NAISScheme",
    "s3rec": "stages:S3RecScheme",
}


def train_pass(
    config: ModelConfig,
    model: Any,
    loss_of: Callable[[Interaction], Any],
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Interaction],
) -> float:
    """One pass over batches: loss, gradient, step.

    Args:
        config: the model's RecBole Config; gives the device and ``clip_grad_norm``.
        model: the model whose gradients are clipped.
        loss_of: a batch's loss, a scalar tensor or a tuple of them to be summed.
        optimizer: steps after every batch.
        batches: RecBole Interactions.

    Returns:
        The mean loss a step; 0.0 without batches.

    Raises:
        ModelError: a loss is not finite.
    """
    total, steps = 0.0, 0
    for batch in batches:
        optimizer.zero_grad()
        losses = loss_of(batch.to(config["device"]))
        loss = torch.cat([part.view(-1) for part in losses]).sum() if isinstance(losses, tuple) else losses
        value = float(loss.item())
        check_loss(config, value, f"at step {steps + 1} of an epoch")
        loss.backward()
        if config["clip_grad_norm"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), **config["clip_grad_norm"])
        optimizer.step()
        total, steps = total + value, steps + 1
    return total / max(steps, 1)


def check_loss(config: ModelConfig, loss: float, where: str) -> None:
    """Raise ModelError, saying where, for a loss that is not finite."""
    if not math.isfinite(loss):
        raise ModelError(
            f"the training loss of {config['model']} is {loss} {where}; "
            f"expected a finite number; lower learning_rate in its YAML"
        )


def build_optimizer(
    config: ModelConfig, parameters: Iterable[torch.nn.Parameter], rate_key: str = "learning_rate"
) -> torch.optim.Optimizer:
    """The optimiser ``learner`` names, at the rate ``rate_key`` names.

    Those that torch offers fused take one pass over the parameters a step where the plain ones take a dozen: a
    sixth of the time for the weights of an autoencoder.

    Raises:
        ConfigError: an unknown optimiser (RecBole takes Adam silently).
    """
    learner, rate = config["learner"], config[rate_key]
    if learner == "sparse_adam":
        return torch.optim.SparseAdam(list(parameters), lr=rate)
    known: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": partial(torch.optim.Adam, fused=True),
        "adamw": partial(torch.optim.AdamW, fused=True),
        "sgd": partial(torch.optim.SGD, fused=True),
        "adagrad": partial(torch.optim.Adagrad, fused=True),
        "rmsprop": torch.optim.RMSprop,
    }
    if learner not in known:
        raise ConfigError(f"learner is {learner!r}; expected one of {', '.join([*known, 'sparse_adam'])}")
    return known[learner](parameters, lr=rate, weight_decay=config["weight_decay"])
