"""BPRSGD: one step by hand and by autograd, draws from the right pairs, and a fit that no number of threads changes."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.closed_form_cases import data_of, random_watched, rows_of

from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.models import bprsgd
from movierec_bench.models.bprsgd import BlockedRows
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.trainer import FitSettings, fit


def interactions(watched: np.ndarray) -> Interactions:
    data = data_of(rows_of(watched), watched.shape[1])
    return Interactions.from_rows(data.interactions, data.vocabulary)


def small_parameters(rows: Interactions, n_factors: int, seed: int = 0) -> list[np.ndarray]:
    """Users [n_users, f], items [n_items, f] and biases [n_items], float32."""
    rng = np.random.default_rng(seed)
    shapes = (rows.n_users, n_factors), (rows.n_items, n_factors), rows.n_items
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_an_epoch_of_one_row_is_the_papers_step_by_hand() -> None:
    """User 2 of three has watched movie 1 of three; the weights leave movie 3 to be drawn."""
    rows = Interactions(np.array([2]), np.array([1]), np.array([0]), n_users=4, n_items=4)
    users = np.array([[0, 0], [3, 3], [1, 2], [4, 4]], dtype=np.float32)
    items = np.array([[0, 0], [1, 0], [5, 5], [0, 1]], dtype=np.float32)
    biases = np.array([0, 0.5, 7, 0], dtype=np.float32)
    blocked = BlockedRows(rows, np.array([1, 1e-12, 1e-12, 1]))
    loss = blocked.descend(users, items, biases, 0.1, 0.5, np.random.default_rng(0))
    # Score of 1 less that of 3: 0.5 + (1, 2).(1, -1) = -0.5, so s = 1 / (1 + exp(-0.5)) = 0.622459.
    np.testing.assert_allclose(users, [[0, 0], [3, 3], [1.0122459, 1.8377541], [4, 4]], rtol=1e-6)
    np.testing.assert_allclose(items, [[0, 0], [1.0122459, 0.1244919], [5, 5], [-0.0622459, 0.8255081]], rtol=1e-5)
    np.testing.assert_allclose(biases, [0, 0.5372459, 7, -0.0622459], rtol=1e-5)
    assert loss == pytest.approx(0.974077, abs=1e-6)  # log(1 + exp(0.5))


@given(st.integers(0, 10_000), st.sampled_from([1, 5, 16, 67]))
@settings(max_examples=20, deadline=None)
def test_a_step_is_one_of_gradient_descent(seed: int, n_factors: int) -> None:
    rng = np.random.default_rng(seed)
    user, liked, other, biases = (rng.standard_normal(n).astype(np.float32) for n in (*[n_factors] * 3, 4))
    x, y, z, b = (torch.tensor(values, requires_grad=True) for values in (user, liked, other, biases))
    margin = b[1] - b[3] + (x * (y - z)).sum()
    penalty = sum((values**2).sum() for values in (x, y, z, b[[1, 3]]))
    (-torch.nn.functional.logsigmoid(margin) + 0.02 / 2 * penalty).backward()
    loss = bprsgd._step(user, liked, other, biases, 1, 3, np.float32(0.1), np.float32(0.02))
    assert loss == pytest.approx(-torch.nn.functional.logsigmoid(margin).item(), rel=1e-4, abs=1e-5)
    for after, before in ((user, x), (liked, y), (other, z), (biases, b)):
        np.testing.assert_allclose(after, (before - 0.1 * before.grad).detach(), rtol=1e-4, atol=1e-5)


def test_rows_are_drawn_alike_and_unseen_movies_by_weight() -> None:
    watched = random_watched(6, 8, seed=4)
    rows = interactions(watched)
    seen = BlockedRows(rows, np.ones(9))._seen
    negatives = np.repeat(np.arange(1, 9), np.arange(1, 9)).astype(np.int32)  # movie m in m slots
    triples = np.empty((60_000, 3), dtype=np.uint32)
    state = np.uint64(88_172_645_463_325_252)
    taken = bprsgd._draw(rows.user_ix.astype(np.int32), rows.item_ix.astype(np.int32), negatives, seen, state, triples)
    user, liked, other = triples[:taken].astype(int).T
    assert taken > 59_900
    assert watched[user - 1, liked - 1].all()
    assert not watched[user - 1, other - 1].any()
    drawn = np.zeros_like(watched)
    np.add.at(drawn, (user - 1, liked - 1), 1)
    np.testing.assert_allclose(drawn[watched > 0] / taken, 1 / len(rows), rtol=0.1)
    weights = np.arange(1, 9) * (1 - watched[0])
    shares = np.bincount(other[user == 1], minlength=9)[1:] / (user == 1).sum()
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.02)


def test_slots_follow_the_weights() -> None:
    rows = interactions(random_watched(6, 8))
    blocked = BlockedRows(rows, np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8]))
    slots = blocked._slots(np.array([8, 3, 5]), 3, np.random.default_rng(1))
    assert len(slots) == 48
    np.testing.assert_allclose(np.bincount(slots, minlength=9)[[8, 3, 5]], 48 * np.array([8, 3, 5]) / 16, atol=1)


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_grouping_keeps_every_row_and_sorts_it_into_its_block(seed: int, n_blocks: int) -> None:
    rng = np.random.default_rng(seed)
    rows = interactions(random_watched(12, 20, seed))
    block_of = rng.integers(0, n_blocks, rows.n_items).astype(np.int32)
    cuts = np.sort(np.concatenate([[0, len(rows)], rng.integers(0, len(rows) + 1, n_blocks - 1)]))
    user_ix, item_ix = rows.user_ix.astype(np.int32), rows.item_ix.astype(np.int32)
    users, items, start = bprsgd._group(user_ix, item_ix, cuts, block_of, n_blocks)
    assert sorted(zip(users, items)) == sorted(zip(user_ix, item_ix))
    for block in range(n_blocks):
        inside = slice(cuts[block], cuts[block + 1])
        assert sorted(zip(users[inside], items[inside])) == sorted(zip(user_ix[inside], item_ix[inside]))
        for movies in range(n_blocks):
            assert (block_of[items[start[block, movies] : start[block, movies + 1]]] == movies).all()


def test_the_number_of_threads_changes_nothing() -> None:
    rows = interactions(random_watched(80, 300))
    blocked = BlockedRows(rows, np.ones(rows.n_items))
    assert blocked._n_blocks > 1
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        parameters, rng = small_parameters(rows, 7), np.random.default_rng(5)
        losses = [blocked.descend(*parameters, 0.05, 0.01, rng) for _ in range(3)]
        assert losses == sorted(losses, reverse=True)
        results.append((losses, parameters))
    assert results[0][0] == results[1][0]
    for one, many in zip(results[0][1], results[1][1]):
        np.testing.assert_array_equal(one, many)


def test_who_has_watched_everything_takes_no_step() -> None:
    rows = interactions(np.ones((2, 3), dtype=int))
    parameters = small_parameters(rows, 2)
    before = [values.copy() for values in parameters]
    assert BlockedRows(rows, np.ones(4)).descend(*parameters, 0.1, 0.1, np.random.default_rng(0)) == 0
    for values, untouched in zip(parameters, before):
        np.testing.assert_array_equal(values, untouched)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"learning_rate": 1e30}, ModelError, "training loss of BPRSGD is nan in an epoch; .* lower learning_rate"),
        ({"n_factors": 0}, ConfigError, "n_factors is 0; expected an integer >= 1"),
        ({"reg_weight": -1.0}, ConfigError, "reg_weight is -1.0; expected a number >= 0"),
        ({"negative_power": -1.0}, ConfigError, "negative_power is -1.0; expected a number >= 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    changes: dict[str, float], error: type[Exception], message: str, tmp_path: Path
) -> None:
    watched = random_watched(30, 12)
    data = data_of(rows_of(watched), 12)
    with pytest.raises(error, match=message):
        entry = load_catalog()["BPRSGD"].with_parameters(changes)
        fit(entry, data, interactions(watched), FitSettings(1, tmp_path, epochs=3))
