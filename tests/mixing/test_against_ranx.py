"""Rules of mixes against those of ranx, a library nobody here wrote."""

from __future__ import annotations

import numpy as np
import pytest

from movierec_bench.mixing.rules import RRF, Rule, mix

ranx = pytest.importorskip("ranx", reason="ranx is of the development dependencies: pip install -e .[dev]")

USERS, DEPTH, MOVIES = 40, 30, 80


@pytest.fixture(scope="module")
def rankings() -> tuple[np.ndarray, np.ndarray]:
    """Three models' rankings: int32 [3, U, DEPTH] and float32 scores, falling."""
    rng = np.random.default_rng(0)
    items = np.array([[rng.permutation(MOVIES)[:DEPTH] + 1 for _ in range(USERS)] for _ in range(3)], dtype=np.int32)
    scores = -np.sort(-rng.normal(size=items.shape) * [[[1]], [[5]], [[0.1]]]).astype(np.float32)
    return items, scores


def runs_of(items: np.ndarray, scores: np.ndarray) -> list[ranx.Run]:
    return [
        ranx.Run(
            {
                str(user): {str(item): float(score) for item, score in zip(items[member, user], scores[member, user])}
                for user in range(USERS)
            }
        )
        for member in range(len(items))
    ]


def assert_equal(fused: ranx.Run, mixed: tuple[np.ndarray, np.ndarray]) -> None:
    items, totals = mixed
    for user in range(USERS):
        expected = fused.run[str(user)]
        found = {str(item): float(total) for item, total in zip(items[user], totals[user]) if item}
        assert set(found) == set(expected)
        for item, total in found.items():
            assert total == pytest.approx(expected[item], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("k", [10, 60])
def test_reciprocal_rank_fusion(rankings: tuple[np.ndarray, np.ndarray], k: int) -> None:
    items, scores = rankings
    fused = ranx.fuse(runs=runs_of(items, scores), method="rrf", params={"k": k})
    assert_equal(fused, mix(Rule.of(RRF, rrf_k=k), items, np.ones(3), k=MOVIES))


def test_min_max_is_combsum_of_normalised_scores(rankings: tuple[np.ndarray, np.ndarray]) -> None:
    items, scores = rankings
    fused = ranx.fuse(runs=runs_of(items, scores), norm="min-max", method="sum")
    assert_equal(fused, mix(Rule.of("minmax"), items, np.ones(3), scores, k=MOVIES))


def test_weights_are_those_of_a_weighted_sum(rankings: tuple[np.ndarray, np.ndarray]) -> None:
    items, scores = rankings
    weights = (0.5, 0.3, 0.2)
    fused = ranx.fuse(runs=runs_of(items, scores), norm="min-max", method="wsum", params={"weights": weights})
    assert_equal(fused, mix(Rule.of("minmax"), items, np.array(weights), scores, k=MOVIES))


def test_a_vote_counts_the_lists_as_combmnz_does(rankings: tuple[np.ndarray, np.ndarray]) -> None:
    """CombMNZ multiplies the sum of scores by the number of lists: with scores of 1, that is the square of a vote."""
    items = rankings[0][:, :, :10]
    fused = ranx.fuse(runs=runs_of(items, np.ones(items.shape)), norm=None, method="mnz")
    best, votes = mix(Rule.of("vote"), items, np.ones(3), k=MOVIES)
    assert_equal(fused, (best, votes**2))
