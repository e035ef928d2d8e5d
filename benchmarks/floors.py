"""What ranking all users takes at the least on this machine: operations over its speed, bytes over its bandwidth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from benchmarks.compare import record
from benchmarks.plan import AUTOENCODERS, FULL
from benchmarks.workloads import prepare
from movierec_bench.ranking.top_k import BYTES_A_BLOCK
from movierec_bench.settings.catalog import load_catalog


@dataclass(frozen=True)
class Work:
    """What scoring every movie for every user needs, whoever does it.

    Attributes:
        operations: float32 additions and multiplications.
        products: additions and multiplications of embeddings, which integers of 8 bits can do before float32 decides.
        bytes: read from memory at the least, each block of scores written and read within the cache.
    """

    operations: float
    bytes: float
    products: float = 0.0


def measure_floors() -> None:
    """Measure the machine, and write ``results/floors.json`` with the least seconds of each ranking."""
    import torch

    size = 4096
    left, right = torch.rand(size, size), torch.rand(size, size)
    source = np.ones(2**27, dtype=np.float32)
    target = np.empty_like(source)
    float32_per_s = 2 * size**3 / _quickest(lambda: torch.mm(left, right))
    products_per_s = max(float32_per_s, _integer_products_per_s(size))
    bytes_per_s = 2 * source.nbytes / _quickest(lambda: np.copyto(target, source))
    least = {
        name: {
            "operations": work.operations / float32_per_s + work.products / products_per_s,
            "bytes": work.bytes / bytes_per_s,
        }
        for name, work in _rankings().items()
    }
    speeds = {"float32_per_s": float32_per_s, "products_per_s": products_per_s, "bytes_per_s": bytes_per_s}
    record("floors", **speeds, least=least)


def _rankings() -> dict[str, Work]:
    """By comparison and side of the plan."""
    _, _, train, _ = prepare(FULL).read()
    users, movies, rows = train.n_users - 1, train.n_items, len(train)
    blocks = -(-4 * users * movies // BYTES_A_BLOCK)
    of = {name: entry.parameters for name, entry in load_catalog().items()}
    dense = Work(rows * movies, blocks * 4 * movies**2)  # a row of weights for each watched movie
    by_movies = rows * of["ItemKNN"]["k"]  # each watched movie's neighbours
    by_users = of["UserKNN"]["k"] * rows  # each neighbour's movies, of as many on average as a user's

    def factors(width: int, before: float = 0.0) -> Work:
        """Products of ``width`` numbers, after ``before`` operations for the users' side."""
        return Work(before, blocks * movies * width, products=2 * users * movies * width)

    def autoencoder(changes: dict[str, Any]) -> Work:
        latent = changes["latent_dimension"]
        if "hidden_dimension" in changes:  # RecVAE: lists to the first of five layers, then the mean
            hidden = changes["hidden_dimension"]
            return factors(latent, rows * hidden + 2 * users * (4 * hidden**2 + hidden * latent))
        (hidden,) = changes["mlp_hidden_size"]
        return factors(hidden, rows * hidden + 2 * users * hidden * latent)

    return {
        "EASE, ours": dense,
        "neighbours, ours": Work(2 * by_movies, 8 * by_movies),
        "neighbours, ours, UserKNN": Work(by_users, 4 * by_users),
        "BPR, ours": Work(2 * users * movies * 64, blocks * 4 * movies * 64),
        "ALS, ours": factors(of["ALS"]["n_factors"]),
        **{f"{name}, ours": autoencoder(changes) for name, changes in AUTOENCODERS.items()},
    }


def _integer_products_per_s(size: int) -> float:
    import torch

    left, right = (torch.randint(-127, 128, (size, size), dtype=torch.int8) for _ in range(2))
    out = torch.empty(size, size, dtype=torch.int32)
    return 2 * size**3 / _quickest(lambda: torch._int_mm(left, right, out=out))


def _quickest(work: Callable[[], Any], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
