"""Settling on a mix: in folds, and no further than its gain is sure."""

from __future__ import annotations

from typing import Optional

import numpy as np
import pytest

from movierec_bench.mixing.search import folds_of, shrunk
from movierec_bench.mixing.settling import Candidate, left_out_best, left_out_single, settle


def gains(mean: float, users: int = 400, spread: float = 0.2, seed: int = 0) -> np.ndarray:
    """Gains with exactly this mean and a standard error of spread / sqrt(users)."""
    noise = np.random.default_rng(seed).normal(size=users)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return mean + spread * noise


def mix(gain: float, half: Optional[float] = None) -> Candidate:
    """A mix with a standard error of .01 over a single model's .2, half of which gains ``half`` with one of .005."""
    single = np.full(400, 0.2)
    by_share = np.stack([single + gains(gain / 2 if half is None else half, spread=0.1), single + gains(gain)])
    return Candidate("mix", by_share[-1], by_share=by_share)


@pytest.mark.parametrize(
    ("gain", "half", "share"),
    [
        (0.0234, 0.0, 1.0),  # above .02326, which luck exceeds in one of a hundred cases
        (0.0231, 0.01, 0.5),
        (0.0, 0.0, 0.5),
        (-0.01, -0.0049, 0.5),  # half is within its error of .005
        (-0.01, -0.0051, 0.0),
    ],
)
def test_the_share_by_hand(gain: float, half: float, share: float) -> None:
    found = settle([mix(gain, half)], np.full(400, 0.2), folds_of(400, 5, seed=0))
    assert found.standard_error == pytest.approx(0.01)
    assert found.gain == pytest.approx(gain)
    assert found.share == share


def test_what_cannot_be_shared_is_judged_whole() -> None:
    single, fold = np.full(400, 0.2), folds_of(400, 5, seed=0)
    assert settle([Candidate("mix", single + gains(0.03))], single, fold).share == 1
    assert settle([Candidate("mix", single + gains(-0.03))], single, fold).share == 0


def test_the_choice_is_judged_by_users_that_had_no_say() -> None:
    """Of fifty candidates that gain nothing, the best one always looks good; chosen in folds, it does not."""
    single, best, found = np.full(300, 0.2), [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        candidates = [Candidate(str(number), single + rng.normal(0, 0.2, 300)) for number in range(50)]
        best.append(max(candidate.recall.mean() for candidate in candidates) - 0.2)
        found.append(settle(candidates, single, folds_of(300, 5, seed)).gain)
    assert np.mean(best) > 0.02
    assert abs(np.mean(found)) < 0.01


def test_a_preferred_candidate_stays_unless_another_one_is_better_by_a_standard_error() -> None:
    single, fold = np.full(400, 0.2), folds_of(400, 5, seed=0)
    preferred = Candidate("stack", single + gains(0.02), preferred=True)
    close = Candidate("rule", preferred.recall + gains(0.004, seed=2))
    better = Candidate("rule", preferred.recall + gains(0.03, seed=2))
    assert settle([close, preferred], single, fold).chosen == 1
    assert settle([better, preferred], single, fold).chosen == 0


def test_weights_shrink_towards_the_best_single_model() -> None:
    assert shrunk((2.0, 1.0, 1.0), best=1, share=1.0) == (50.0, 25.0, 25.0)
    assert shrunk((2.0, 1.0, 1.0), best=1, share=0.6) == (30.0, 55.0, 15.0)
    assert shrunk((2.0, 0.0, 2.0), best=1, share=0.0) == (0.0, 100.0, 0.0)


def test_the_best_single_model_is_chosen_on_the_other_folds() -> None:
    recall = np.array([[1.0, 1.0, 0.0, 0.0], [0.4, 0.4, 0.6, 0.6]])
    assert left_out_best(recall, np.array([0, 0, 1, 1])).tolist() == [1, 1, 0, 0]
    assert left_out_single(recall, np.array([0, 0, 1, 1])).tolist() == [0.4, 0.4, 0.0, 0.0]
