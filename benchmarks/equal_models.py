"""How often equally good models are told apart: ``python -m benchmarks.equal_models``.

The made-up models recommend equally well; that one of them comes first is luck. A test of which models may be the best
should call any of them worse in at most one case of twenty, however many there are.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from movierec_bench.evaluation.confidence_set import LEVEL, confidence_set

MODELS = (5, 17, 46, 90)
USERS = 300
_AGREEING = 0.6  # share of a user's held-out rows that all models find, or miss, together


def equal_models(rng: np.random.Generator, users: int, models: int) -> np.ndarray:
    """Recall@10 of equally good models: float64 [U, M].

    Users have 1 to 10 held-out rows and are hard to a different degree; the models agree on a part of the rows.
    """
    held_out = rng.integers(1, 11, users)
    chance = rng.beta(1, 4, users)
    together = rng.binomial(held_out, _AGREEING)
    shared = rng.binomial(together, chance)
    own = rng.binomial((held_out - together)[:, None], chance[:, None], (users, models))
    return (shared[:, None] + own) / held_out[:, None]


def told_apart(models: int, repeats: int, users: int = USERS, draws: int = 1000) -> float:
    """The share of ``repeats`` in which at least one of equally good models is not among the best."""
    found = 0
    for repeat in range(repeats):
        recall = equal_models(np.random.default_rng([models, repeat]), users, models)
        found += confidence_set(recall, repeat, draws).p_best.min() < LEVEL
    return found / repeats


def told_apart_by_holm(models: int, repeats: int, users: int = USERS) -> float:
    """The same for paired t tests against whichever came first, corrected by Holm's method."""
    found = 0
    for repeat in range(repeats):
        recall = equal_models(np.random.default_rng([models, repeat]), users, models)
        best = int(recall.mean(axis=0).argmax())
        others = np.delete(recall, best, axis=1)
        p_values = stats.ttest_rel(others, recall[:, [best]]).pvalue
        found += p_values.min() * (models - 1) < LEVEL  # Holm's first step, which decides whether there is any
    return found / repeats


def main() -> None:
    """Print a Markdown table of both rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print("| equal models | model confidence set | Holm against the first |\n|---:|---:|---:|")
    for models in MODELS:
        print(
            f"| {models} | {told_apart(models, repeats):.3f} | {told_apart_by_holm(models, repeats):.3f} |", flush=True
        )


if __name__ == "__main__":
    main()
