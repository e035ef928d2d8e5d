"""What ranking all users takes at the least on this machine: operations over its speed, bytes over its bandwidth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from benchmarks.compare import record
from benchmarks.plan import AUTOENCODERS, FULL
from benchmarks.workloads import prepare
from movierec_bench.catalog import load_catalog
from movierec_bench.ranking import BLOCK_BYTES


@dataclass(frozen=True)
class Work:
    """What scoring every movie for every user needs, whoever does it.

    Attributes:
        operations: float32 additions and multiplications.
        bytes: read from memory at the least, each block of scores written and read within the cache.
    """

    operations: float
    bytes: float


def measure_floors() -> None:
    """Measure the machine, and write ``results/floors.json`` with the least seconds of each ranking."""
    import torch

    size = 4096
    left, right = torch.rand(size, size), torch.rand(size, size)
    source = np.ones(2**27, dtype=np.float32)
    target = np.empty_like(source)
    float32_per_s = 2 * size**3 / _quickest(lambda: torch.mm(left, right))
    bytes_per_s = 2 * source.nbytes / _quickest(lambda: np.copyto(target, source))
    least = {
        name: {"operations": work.operations / float32_per_s, "bytes": work.bytes / bytes_per_s}
        for name, work in _rankings().items()
    }
    record("floors", float32_per_s=float32_per_s, bytes_per_s=bytes_per_s, least=least)


def _rankings() -> dict[str, Work]:
    """By comparison and side of the plan."""
    _, _, train, _ = prepare(FULL).read()
    users, movies, rows = train.n_users - 1, train.n_items, len(train)
    blocks = -(-4 * users * movies // BLOCK_BYTES)
    of = {name: entry.parameters for name, entry in load_catalog().items()}
    dense = Work(rows * movies, blocks * 4 * movies**2)  # a row of weights for each watched movie
    by_movies = rows * of["ItemKNN"]["k"]  # each watched movie's neighbours
    by_users = of["UserKNN"]["k"] * rows  # each neighbour's movies, of as many on average as a user's
    hidden = {
        name: changes.get("mlp_hidden_size", [changes["latent_dimension"]])[-1]
        for name, changes in AUTOENCODERS.items()
    }

    def factors(width: int, other_operations: float = 0) -> Work:
        return Work(2 * users * movies * width + other_operations, blocks * 4 * movies * width)

    return {
        "EASE, ours": dense,
        "neighbours, ours": Work(2 * by_movies, 8 * by_movies),
        "neighbours, ours, UserKNN": Work(by_users, 4 * by_users),
        "BPR, ours": factors(64),
        "ALS, ours": factors(of["ALS"]["n_factors"]),
        **{f"{name}, ours": factors(width, rows * width) for name, width in hidden.items()},
    }


def _quickest(work: Callable[[], Any], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
