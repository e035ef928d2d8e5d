"""The device that PyTorch trains on, checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Optional

from movierec_bench.environment import restored_environment
from movierec_bench.errors import ConfigError

_KNOWN = re.compile(r"cpu|cuda(:\d+)?|mps")


def check_device(device: Optional[str], workers: Optional[int], on_cluster: bool) -> None:
    """Refuse a device that is not there, and GPUs that processes would share though nobody said so.

    PyTorch, which takes seconds to import, is asked only where the answer depends on it.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; None: the first GPU that PyTorch sees, or the processor.
        workers: processes at once on this machine; None: one.
        on_cluster: whether models train on a cluster, where each gets the GPUs that its YAML asks for.

    Raises:
        ConfigError: no such device here, or workers that would meet on one GPU.
    """
    if device is not None and not _KNOWN.fullmatch(device):
        raise ConfigError(f"--device is {device!r}; expected cpu, cuda, cuda:N such as cuda:1, or mps")
    if on_cluster:
        if device not in (None, "cpu", "cuda"):
            raise ConfigError(
                f"--device is {device!r} with --ray; expected cpu or cuda: the cluster gives each model GPUs of its "
                "own, as `resources` in its YAML asks"
            )
        return
    if device == "cpu" or (device is None and (workers or 1) == 1):
        return
    refuse(device, workers or 1, devices_here())


def devices_here() -> dict[str, str]:
    """The devices that PyTorch sees on this machine, such as ``cuda:0``, and what each is."""
    import torch

    found = {"cpu": "the processor"}
    if torch.cuda.is_available():
        found.update({f"cuda:{n}": torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())})
    if torch.backends.mps.is_available():
        found["mps"] = "Apple's GPU"
    return found


@contextmanager
def every_gpu_visible() -> Iterator[None]:
    """Let the processes of a Ray that is started in this block see every GPU, not only those Ray would assign them."""
    switch = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
    with restored_environment(switch):
        os.environ[switch] = "1"
        yield


def refuse(device: Optional[str], workers: int, here: Mapping[str, str]) -> None:
    """Raise ConfigError where ``device`` is not ``here``, or where several workers would take one GPU unasked."""
    gpus = [name for name in here if name != "cpu"]
    if device is None:
        if gpus and workers > 1:
            raise ConfigError(
                f"--workers {workers} would put {workers} models on one GPU ({gpus[0]}, {here[gpus[0]]}), which "
                f"needs memory for all of them; expected --workers 1, or --device {gpus[0]} to have them share it, or "
                "--device cpu"
            )
        return
    if ("cuda:0" if device == "cuda" else device) in here:
        return
    there = ", ".join(f"{name} ({what})" for name, what in here.items())
    raise ConfigError(
        f"--device {device} is not there; expected one that PyTorch sees: {there}; choose one of these, or install a "
        "PyTorch for your GPU (docs/how-to/gpu.md)"
    )
