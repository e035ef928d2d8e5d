"""The state of a training on disk, so that a model whose process was killed goes on from there.

A state is bound to what is trained: that of another model, other parameters or other rows is left alone and written
over. It holds numbers and JSON, as `recbole_backend.stored_state` writes them; nothing of it is ever executed.
"""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from movierec_bench.errors import ConfigError, DataError, ModelError
from movierec_bench.recbole_backend.model_state import on_device, other_parameter
from movierec_bench.recbole_backend.stored_state import read_state, write_state
from movierec_bench.schema import EpochRecord
from movierec_bench.training.schemes.base import Scheme

logger = logging.getLogger(__name__)

SECONDS_VARIABLE = "MOVIEREC_BENCH_SAVE_SECONDS"
_SECONDS = 180.0  # from one saved state to the next, at least; a state is saved at the end of an epoch
_SMALL = 1 << 20  # bytes; a small array is stored whether it has changed or not

Snapshot = tuple[dict[str, torch.Tensor], dict[str, Any]]  # weights, and RecBole's ``other_parameter``


@dataclass(frozen=True)
class StateFile:
    """Where a training leaves its state.

    Attributes:
        path: the file; it is there while a model trains, and after its process was killed.
        identity: what is trained, in a text that differs where anything of it does.
        seconds: from one state to the next, at least.
    """

    path: Path
    identity: str
    seconds: float = _SECONDS


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epochs: the epochs that are done.
        best: the model at its best validation; None before the first.
        best_recall: Recall@10 there.
        best_epoch: its epoch, 0 before the first.
        since_best: validations since then that count for early stopping.
        seconds: of training in processes that were killed.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best: Optional[Snapshot] = None
    best_recall: float = -math.inf
    best_epoch: int = 0
    since_best: int = 0
    seconds: float = 0.0


def seconds_between_states() -> float:
    """What the environment says, or three minutes. Raises ConfigError where it says no number."""
    text = os.environ.get(SECONDS_VARIABLE, str(_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise ConfigError(f"{SECONDS_VARIABLE} is {text!r}; expected seconds, a number from 0")
    return seconds


class ResumableTraining:
    """Saves the state of a training now and then, and takes up one that was saved.

    Args:
        file: where; None: nothing is saved or taken up.
        model: the model as built, before its first epoch.
        scheme: how it is trained; one without a state of its own is not saved.
        rng: what draws the batches.
    """

    def __init__(self, file: Optional[StateFile], model: Any, scheme: Scheme, rng: np.random.Generator) -> None:
        self._file = file if file is not None and scheme.state() is not None else None
        self._model, self._scheme, self._rng = model, scheme, rng
        self._built = dict(_arrays(model))
        self._started = self._saved = time.perf_counter()
        self._earlier = 0.0

    def take_up(self) -> Progress:
        """The progress of a saved state, with the model, the scheme and all random numbers as they were; or none."""
        if self._file is None or not self._file.path.is_file():
            return Progress()
        try:
            state = read_state(self._file.path)
        except DataError as error:
            logger.warning("%s; the training starts anew", error)
            return Progress()
        if not isinstance(state, dict) or state.get("identity") != self._file.identity:
            return Progress()
        try:
            progress = self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ModelError(
                f"{self._file.path}: the saved state does not fit this training ({error!r}); expected what the same "
                "version of the library saved; it is removed, and the model starts anew when it is run again"
            ) from error
        logger.info("training goes on after epoch %d, from %s", len(progress.epochs), self._file.path)
        self._earlier = progress.seconds
        return progress

    def save_if_due(self, progress: Progress) -> None:
        """Save the state at the end of an epoch, unless the last one is too young."""
        now = time.perf_counter()
        if self._file is None or now - self._saved < self._file.seconds:
            return
        progress.seconds = self._earlier + now - self._started
        try:
            write_state(self._file.path, {"identity": self._file.identity, **self._state(progress)})
        except ModelError as error:  # a model of somebody's own may hold anything
            logger.warning("the state of this training is not saved: %s", error)
            self._file = None
        self._saved = time.perf_counter()

    def discard(self) -> None:
        """Remove the state: the training has ended."""
        if self._file is not None:
            self._file.path.unlink(missing_ok=True)

    def _state(self, progress: Progress) -> dict[str, Any]:
        model = self._model
        return {
            "weights": {name: value.detach() for name, value in model.state_dict().items()},
            "other": other_parameter(model),
            "single": dict(_singles(model)),
            "arrays": {
                name: value
                for name, value in _arrays(model)
                if value is not self._built.get(name) or _bytes(value) <= _SMALL
            },
            "scheme": self._scheme.state(),
            "random": _random_state(self._rng),
            "epochs": [astuple(record) for record in progress.epochs],
            "best": progress.best,
            "standing": (progress.best_recall, progress.best_epoch, progress.since_best, progress.seconds),
        }

    def _restore(self, state: dict[str, Any]) -> Progress:
        model, device = self._model, self._model.device
        model.load_state_dict(state["weights"])
        modules = dict(model.named_modules())
        for name, value in {**state["single"], **on_device(device, state["arrays"])}.items():
            module, _, attribute = name.rpartition(".")
            setattr(modules[module], attribute, value)
        model.load_other_parameter(on_device(device, state["other"]))
        self._scheme.load_state(on_device(device, state["scheme"]))
        _set_random_state(self._rng, state["random"])
        epochs = [EpochRecord(*record) for record in state["epochs"]]
        return Progress(epochs, on_device(device, state["best"]), *state["standing"])


def _arrays(model: Any) -> Iterator[tuple[str, Any]]:
    """Arrays and tensors that a model's modules keep besides weights and buffers: "module.attribute", value."""
    for module_name, module in model.named_modules():
        for name, value in vars(module).items():
            of_numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
            if of_numbers or (isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter)):
                yield f"{module_name}.{name}", value


def _singles(model: Any) -> Iterator[tuple[str, Any]]:
    """Numbers and texts of a model's modules, such as counters of steps: "module.attribute", value."""
    for module_name, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, (bool, int, float, str)) and name != "training":
                yield f"{module_name}.{name}", value


def _bytes(value: Any) -> int:
    return int(value.numel() * value.element_size() if isinstance(value, torch.Tensor) else value.nbytes)


def _random_state(rng: np.random.Generator) -> dict[str, Any]:
    state = {
        "rng": rng.bit_generator.state,
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }
    return {**state, "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def _set_random_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    rng.bit_generator.state = state["rng"]
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
