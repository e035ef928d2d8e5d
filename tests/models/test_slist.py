"""SLIST: its counts by hand, EASE as its limit, the closed form against the least-squares problem it solves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.closed_form_cases import data_of, fitted_model, random_watched, rows_of, scores_of

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.slist import transition_counts


def dense(weights: object) -> np.ndarray:
    tiles = np.concatenate(list(weights.tiles), axis=1)  # type: ignore[attr-defined]
    return tiles[1:, 1 : weights.n]  # type: ignore[attr-defined]


def test_transitions_by_hand() -> None:
    """One user watched 3, 1, 2 at one second each: 3 before 1 at weight 1; 1 and 3 before 2 at 1 and exp(-1 / 2)."""
    rows = pd.DataFrame({"user": 1, "item": [3, 1, 2], "time": [5, 6, 6]})
    data = data_of(rows, 3)
    sources, follows = transition_counts(Interactions.from_rows(rows, data.vocabulary), window=5, decay=2.0)
    w = np.exp(-0.5)
    np.testing.assert_allclose(follows[1:, 1:], [[0, 1, 0], [0, 0, 0], [1, w, 0]], rtol=1e-6)
    np.testing.assert_allclose(sources[1:, 1:], [[1, 0, w], [0, 0, 0], [w, 0, 1 + w * w]], rtol=1e-6)
    _, nearest = transition_counts(Interactions.from_rows(rows, data.vocabulary), window=1, decay=2.0)
    np.testing.assert_allclose(nearest[1:, 1:], [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_without_transitions_it_is_ease() -> None:
    data = data_of(rows_of(random_watched(30, 12)), 12)
    found = scores_of("SLIST", data, transitions=0.0, reg_weight=20.0)
    np.testing.assert_allclose(found, scores_of("EASE", data, reg_weight=20.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transitions", [0.3, 1.0])
def test_the_weights_solve_the_least_squares_problem(transitions: float) -> None:
    """Of the loss as it is written, no allowed step away from the weights is downhill: its gradient is diagonal."""
    rows = rows_of(random_watched(25, 9)).sample(frac=1, random_state=2).assign(time=7).reset_index(drop=True)
    data = data_of(rows, 9)
    made = fitted_model("SLIST", data, transitions=transitions, window=3, decay=2.0, reg_weight=4.0)
    b = dense(made.model.weights).astype(np.float64)
    log = Interactions.from_rows(rows, data.vocabulary)
    x, s, t = log.csr.toarray()[1:, 1:], [], []
    for user in range(1, log.n_users):
        items = log.item_ix[log.indptr[user] : log.indptr[user + 1]] - 1
        for place in range(1, len(items)):
            source = np.zeros(9)
            for age, item in enumerate(items[max(0, place - 3) : place][::-1]):
                source[item] += np.exp(-age / 2)
            s.append(source)
            t.append(np.eye(9)[items[place]])
    s, t = np.array(s), np.array(t)
    gradient = (1 - transitions) * x.T @ (x @ b - x) + transitions * s.T @ (s @ b - t) + 4.0 * b
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=2e-4)
    assert (np.diag(b) == 0).all() and np.abs(b).max() > 0.05
