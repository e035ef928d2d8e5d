"""Intervals and tests over users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from movierec_bench.errors import DataError
from movierec_bench.schema import MAIN_METRIC, USER

SAMPLES = 2000  # bootstrap resamples; the draw then moves a 95 % interval's ends by some 1.5 % of its width
_CELLS_A_BLOCK = 2**22  # most numbers drawn at once


def bootstrap_interval(
    values: np.ndarray, seed: int, level: float = 0.95, samples: int = SAMPLES
) -> tuple[float, float]:
    """(low, high) of the percentile bootstrap interval of the mean over users.

    A resample of users is known by how often each distinct value occurs in it, which is multinomial. Drawing
    these counts is the same as drawing users and costs milliseconds, because a metric has few values.

    Args:
        values: float [users], one metric.
        seed: Of the draw.
        level: Share of the resampled means inside the interval.
        samples: Resamples.

    Raises:
        DataError: There are no values.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    _require_users(len(values))
    rng = np.random.default_rng(seed)
    distinct, counts = np.unique(values, return_counts=True)
    block = max(1, _CELLS_A_BLOCK // len(distinct))
    means = np.concatenate(
        [
            rng.multinomial(len(values), counts / len(values), size=min(block, samples - done)) @ distinct
            for done in range(0, samples, block)
        ]
    )
    low, high = np.quantile(means / len(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class MeanInterval:
    """The mean of a few repetitions.

    Args:
        count: repetitions.
        mean: their mean.
        deviation: their standard deviation, by ``count - 1``; NaN of one.
        low: lower end of the 95 % interval of the mean; NaN of one.
        high: its upper end.
    """

    count: int
    mean: float
    deviation: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> MeanInterval:
    """The mean of a few repetitions with its interval by Student's t, which takes them for normally distributed.

    Args:
        values: one result a repetition, such as a seed's Recall@10 or a difference of two.
        level: share of such intervals that hold the true mean.

    Raises:
        DataError: there are no values.
    """
    if not len(values):
        raise DataError("there is no result to take the mean of; expected at least one")
    mean = float(np.mean(values))
    if len(values) == 1:
        return MeanInterval(1, mean, math.nan, math.nan, math.nan)
    deviation = float(np.std(values, ddof=1))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return MeanInterval(len(values), mean, deviation, mean - reach, mean + reach)


def paired_tests(per_user_by_model: dict[str, pd.DataFrame], reference: str) -> pd.DataFrame:
    """Test whether each model's mean recall@10 differs from that of a reference chosen beforehand, over the same users.

    The paired t test: it tests the difference of means, which is what the board shows, and agrees with the
    sign-flip permutation test at hundreds of users without needing draws. Wilcoxon's test is about something
    else, and most differences here are 0, which it discards. Where the reference is the best of many, chosen by these
    very results, `confidence_set` is the test.

    Args:
        per_user_by_model: For each model what :func:`per_user` returned, all for the same held-out rows.
        reference: The model to compare with.

    Returns:
        DataFrame [model, difference, p_value], a row for each other model in the given order;
        difference is the model's mean minus the reference's. p_value is 1 where no user differs, and where
        there is only one user.

    Raises:
        DataError: The models were scored on different users, or ``reference`` is not among them.

    Source:
        Smucker, Allan, Carterette, A Comparison of Statistical Significance Tests for Information Retrieval
        Evaluation (CIKM 2007).
    """
    if reference not in per_user_by_model:
        raise DataError(f"no scores of {reference!r}; expected one of {', '.join(per_user_by_model)}")
    base = per_user_by_model[reference].set_index(USER)[MAIN_METRIC]
    models = [model for model in per_user_by_model if model != reference]
    differences = [_differences(model, per_user_by_model[model], reference, base) for model in models]
    p_values = np.array([_paired_t(difference) for difference in differences], dtype=np.float64)
    return pd.DataFrame(
        {
            "model": models,
            "difference": np.array([difference.mean() for difference in differences], dtype=np.float64),
            "p_value": p_values,
        }
    )


def _differences(model: str, scored: pd.DataFrame, reference: str, base: pd.Series) -> np.ndarray:
    """float64 [U]: the model's metric minus the reference's, in the order of the reference's users."""
    values = scored.set_index(USER)[MAIN_METRIC]
    if len(values) != len(base) or not values.index.isin(base.index).all():
        raise DataError(
            f"{model} was scored on {len(values)} users and {reference} on {len(base)}, not all the same; "
            "expected the same held-out rows; run both under one protocol"
        )
    return (values.reindex(base.index) - base).to_numpy()


def _paired_t(differences: np.ndarray) -> float:
    """The two-sided p-value of a mean difference of 0."""
    if len(differences) < 2 or not differences.any():
        return 1.0
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    with np.errstate(divide="ignore"):  # where everybody differs by the same amount, t is infinite and p is 0
        t = differences.mean() / error
    return float(2 * stats.t.sf(abs(t), df=len(differences) - 1))


def _require_users(users: int) -> None:
    if users == 0:
        raise DataError(
            "no user has held-out rows, so there is nothing to score; expected at least one; "
            "see min_rows in protocol.yaml"
        )
