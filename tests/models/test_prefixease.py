"""PrefixEASE: its sums against every prefix written out, and the closed form against the problem it solves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.closed_form_cases import data_of, fitted_model, random_watched, rows_of, scores_of

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.prefixease import prefix_products
from movierec_bench.recbole_backend.recency import OFF, Recency

N_MOVIES = 9


def mixed_log() -> pd.DataFrame:
    """Logs of 25 users in an order that has nothing to do with the movies' numbers."""
    return rows_of(random_watched(25, N_MOVIES)).sample(frac=1, random_state=2).assign(time=7).reset_index(drop=True)


def prefixes(log: Interactions, recency: Recency) -> tuple[np.ndarray, ...]:
    """(share of the user, weighted prefix, prefix, movie that follows), a row a prefix, written out."""
    share, weighted, plain, following = [], [], [], []
    for user in range(1, log.n_users):
        items = log.item_ix[log.indptr[user] : log.indptr[user + 1]] - 1
        for length in range(1, len(items) + 1):
            s, p, e = np.zeros((3, N_MOVIES))
            for age, item in enumerate(items[:length][::-1]):
                s[item], p[item] = recency.floor + (1 - recency.floor) * np.exp(-age / recency.rows), 1
            if length < len(items):
                e[items[length]] = 1
            for column, value in zip((share, weighted, plain, following), (1 / len(items), s, p, e)):
                column.append(value)
    return tuple(np.array(column) for column in (share, weighted, plain, following))


def test_the_sums_by_hand() -> None:
    """One user watched 3, then 1: the prefixes (3) and (3, 1), each at a half; in the second 3 weighs 0.5 + 0.5 / e."""
    rows = pd.DataFrame({"user": 1, "item": [3, 1], "time": [5, 5]})
    log = Interactions.from_rows(rows, data_of(rows, 3).vocabulary)
    inputs, targets = prefix_products(log, Recency(0.5, 1.0), next_weight=4.0)
    w = 0.5 + 0.5 * np.exp(-1)
    np.testing.assert_allclose(inputs[1:, 1:], [[0.5, 0, w / 2], [0, 0, 0], [w / 2, 0, (1 + w * w) / 2]], rtol=1e-6)
    np.testing.assert_allclose(
        targets[1:, 1:], [[0.5, 0, 0.5], [0, 0, 0], [(w + 4) / 2, 0, (1 + w) / 2]], rtol=1e-6
    )  # 3 foretells 1 in the second prefix at w, and as what follows the first at 4


@pytest.mark.parametrize("recency", [Recency(0.4, 2.0), Recency(0.0, 3.0), OFF])
def test_the_sums_are_those_of_all_prefixes(recency: Recency) -> None:
    rows = mixed_log()
    log = Interactions.from_rows(rows, data_of(rows, N_MOVIES).vocabulary)
    share, s, p, e = prefixes(log, recency)
    inputs, targets = prefix_products(log, recency, next_weight=5.0)
    np.testing.assert_allclose(inputs[1:, 1:], s.T @ (share[:, None] * s), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(targets[1:, 1:], s.T @ (share[:, None] * (p + 5 * e)), rtol=1e-5, atol=1e-6)


def test_the_weights_solve_the_problem() -> None:
    """Of the loss as it is written, no allowed step away from the weights is downhill: its gradient is diagonal."""
    rows = mixed_log()
    data = data_of(rows, N_MOVIES)
    changes = {"prefix_floor": 0.4, "prefix_rows": 2.0, "next_weight": 5.0, "reg_weight": 0.5}
    made = fitted_model("PrefixEASE", data, **changes)
    tiles = made.model.weights
    b = np.concatenate(list(tiles.tiles), axis=1)[1:, 1 : tiles.n].astype(np.float64)
    share, s, p, e = prefixes(Interactions.from_rows(rows, data.vocabulary), Recency(0.4, 2.0))
    gradient = s.T @ (share[:, None] * (s @ b - p - 5 * e)) + 0.5 * b
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    assert (np.diag(b) == 0).all() and np.abs(b).max() > 0.05


def test_order_is_all_that_tells_what_follows() -> None:
    """After every movie of a circle comes the next; without the weight of what follows nothing says so."""
    circle = [(start + np.arange(4)) % 12 + 1 for start in range(12) for _ in range(3)]
    rows = pd.DataFrame({"user": np.repeat(np.arange(1, 37), 4), "item": np.concatenate(circle), "time": 0})
    data = data_of(rows, 12)
    last = rows.groupby("user")["item"].last().to_numpy()
    scores = scores_of("PrefixEASE", data, reg_weight=1.0, next_weight=16.0)
    seen = Interactions.from_rows(rows, data.vocabulary).csr.toarray()[1:, 1:] > 0
    best = np.where(seen, -np.inf, scores).argmax(axis=1) + 1
    np.testing.assert_array_equal(best, last % 12 + 1)
