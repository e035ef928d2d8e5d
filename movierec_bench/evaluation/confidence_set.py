"""Which models may be the best: a model confidence set over users.

The model in first place is the one whom luck helped most, so a test of each model against it, corrected for their
number and nothing else, calls too many of them worse: of 46 equal models somebody in a third of all cases. Here every
model is compared with every other one, and how large a difference must be is found for all these comparisons together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from movierec_bench.errors import DataError
from movierec_bench.schema import MAIN_METRIC, MODEL, USER

LEVEL = 0.05  # share of cases in which a model that is as good as any is called worse, over all models together
DRAWS = 10_000  # of all models' means; a p-value of .05 is then known to within .004
DIFFERENCE, LOW, HIGH, P_BEST = "difference", "difference_low", "difference_high", "p_best"
TESTS_COLUMNS = (MODEL, DIFFERENCE, LOW, HIGH, P_BEST)

_CELLS_A_BLOCK = 2**18  # numbers looked at together, so that they stay in the processor's cache


@dataclass(frozen=True)
class ConfidenceSet:
    """What the users' results say about which models may be the best.

    Args:
        best: the model with the highest mean, by number.
        p_best: float64 [M], from 0 to 1: below a level, the model is not among the best at that level.
        difference: float64 [M], each model's mean less that of ``best``.
        low, high: float64 [M], 95 % intervals of these differences that hold for all pairs of models together,
            whichever of them came first.
    """

    best: int
    p_best: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray


def confidence_set(values: np.ndarray, seed: int, draws: int = DRAWS) -> ConfidenceSet:
    """The models that may be the best, by stepwise elimination.

    The statistic is the largest |t| over all pairs of the models that are left. Where it is too large for equal models,
    the model that lies furthest behind another one goes, and the rest is tested again; a model's p-value is the largest
    one met until it goes. With models that are all equally good, any of them goes in at most ``LEVEL`` of all cases.

    What "too large" is comes from draws of all means with the covariance that the users' results have (a bootstrap with
    normal multipliers, which needs the models' covariance only and not the users), divided by the root of a chi-square
    over its degrees of freedom, so that with two models it is the paired t test.

    Args:
        values: float [U, M], each user's result of each of at least one model, columns in any order.
        seed: of the draws.
        draws: how many.

    Raises:
        DataError: there are no users or no models.

    Source:
        Hansen, Lunde and Nason, The Model Confidence Set (Econometrica 2011), T_R and its elimination rule; normal
        multipliers: Chernozhukov, Chetverikov and Kato (Annals of Statistics 2013).
    """
    users, models = values.shape
    if users == 0 or models == 0:
        raise DataError(f"there are {users} users and {models} models; expected at least one of both")
    means = values.mean(axis=0, dtype=np.float64)
    best = int(np.argmax(means.round(12)))
    if users == 1:
        nothing = np.full(models, np.inf)
        return ConfidenceSet(best, np.ones(models), means - means[best], -nothing, nothing)
    errors, drawn = _errors_and_draws(values, means, np.random.default_rng(seed), draws)
    statistic = _t(means[:, None] - means, errors)
    order = _elimination(statistic)
    observed = np.zeros(models)  # the largest |t| among a model and those that go after it
    for place in range(models - 2, -1, -1):
        observed[place] = max(observed[place + 1], np.abs(statistic[order[place], order[place + 1 :]]).max())
    as_large, largest = _compare(drawn[order], errors[np.ix_(order, order)], observed)
    p_values = as_large / draws
    p_best = np.empty(models)
    p_best[order] = np.maximum.accumulate(p_values)
    reach = float(np.quantile(largest, 1 - LEVEL)) if models > 1 else 0.0
    half_width = reach * errors[best]
    difference = means - means[best]
    return ConfidenceSet(best, p_best, difference, difference - half_width, difference + half_width)


def compare_with_best(per_user_by_model: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Each model beside the one with the highest mean recall@10, over the same users.

    Args:
        per_user_by_model: for each model what ``per_user`` returned, all for the same held-out rows.
        seed: of the draws.

    Returns:
        DataFrame [model, difference, difference_low, difference_high, p_best], a row a model in the given order, as in
        ``ConfidenceSet``. A model may be the best where p_best is at least ``LEVEL``.

    Raises:
        DataError: the models were scored on different users, or there is none.
    """
    if not per_user_by_model:
        return pd.DataFrame(columns=list(TESTS_COLUMNS))
    names = list(per_user_by_model)
    users = per_user_by_model[names[0]][USER].to_numpy()
    columns = [_values(name, per_user_by_model[name], names[0], users) for name in names]
    found = confidence_set(np.column_stack(columns), seed)
    return pd.DataFrame(
        {MODEL: names, DIFFERENCE: found.difference, LOW: found.low, HIGH: found.high, P_BEST: found.p_best}
    )


def _values(name: str, scored: pd.DataFrame, first: str, users: np.ndarray) -> np.ndarray:
    """float64 [U]: a model's recall@10, in the order of ``users``."""
    own = scored[USER].to_numpy()
    recall = scored[MAIN_METRIC].to_numpy()
    if len(own) == len(users) and (own == users).all():
        return recall
    by_user = pd.Series(recall, index=own).reindex(users)
    if len(own) != len(users) or by_user.isna().any():
        raise DataError(
            f"{name} was scored on {len(own)} users and {first} on {len(users)}, not all the same; "
            "expected the same held-out rows; run both under one protocol"
        )
    return by_user.to_numpy()


def _errors_and_draws(
    values: np.ndarray, means: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """(float64 [M, M], the standard error of each pair's difference; float32 [M, draws], means of equal models)."""
    users = len(values)
    covariance = np.zeros((len(means), len(means)))
    step = max(1, 16 * _CELLS_A_BLOCK // len(means))
    for start in range(0, users, step):
        centred = values[start : start + step] - means
        covariance += centred.T @ centred
    covariance /= (users - 1) * users
    variance = np.diag(covariance)
    squared = np.maximum(variance[:, None] + variance - 2 * covariance, 0.0)
    squared[squared < 1e-12 * (variance[:, None] + variance)] = 0.0  # rounding: the two differ by a constant
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    spread = np.sqrt(rng.chisquare(users - 1, draws) / (users - 1))
    drawn = root.astype(np.float32) @ rng.standard_normal((len(means), draws), dtype=np.float32)
    return np.sqrt(squared), drawn / spread.astype(np.float32)


def _t(difference: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Differences over their standard errors; where all users differ by the same, 0 or infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / errors
    return np.where(np.abs(difference) < 1e-12, 0.0, t)


def _elimination(statistic: np.ndarray) -> np.ndarray:
    """The models in the order in which they go, the last one never: always who is furthest behind another."""
    left = list(range(len(statistic)))
    order = []
    while len(left) > 1:
        behind = (-statistic[np.ix_(left, left)]).max(axis=1)
        order.append(left.pop(int(np.argmax(behind))))
    return np.array([*order, *left])


def _compare(drawn: np.ndarray, errors: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the drawn |t| compare with those observed, models in the order in which they go.

    Args:
        drawn: float32 [M, draws].
        errors: float64 [M, M].
        observed: float64 [M], the largest |t| among a model and those behind it.

    Returns:
        (int64 [M], in how many draws the same is at least as large; float32 [draws], the largest of all models).
    """
    models, draws = drawn.shape
    with np.errstate(divide="ignore"):
        scale = np.where(errors > 0, 1 / errors, 0.0).astype(np.float32)
    as_large = np.zeros(models, dtype=np.int64)
    largest = np.zeros(draws, dtype=np.float32)
    step = max(1, _CELLS_A_BLOCK // models)
    for start in range(0, draws, step):
        block, most = drawn[:, start : start + step], largest[start : start + step]
        as_large[-1] += len(most)
        for place in range(models - 2, -1, -1):
            t = np.abs(block[place + 1 :] - block[place])
            t *= scale[place + 1 :, place, None]
            np.maximum(most, t.max(axis=0), out=most)
            as_large[place] += int((most >= np.float32(observed[place])).sum())
    return as_large, largest
