"""UserKNN, ItemKNN and SVD: worked values, brute force, RecBole's own ItemKNN."""

from __future__ import annotations

import tracemalloc
from typing import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from support.closed_form_cases import (
    BLOCKS,
    WATCHED,
    data_of,
    fitted_model,
    padded_csr,
    random_watched,
    recbole_scores,
    rows_of,
    scores_of,
)

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.models.parts import nearest
from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.nearest import (
    as_csr,
    largest_of_rows,
    nearest_by_correlation,
    nearest_items,
    nearest_users,
)

NEIGHBOURS = ("UserKNN", "ItemKNN", "SVD")

ROOT6, ROOT3, ROOT2 = np.sqrt(6), np.sqrt(3), np.sqrt(2)


def brute_force(similarity: np.ndarray, k: int) -> np.ndarray:
    """Dense [n, n]: of each row the ``k`` largest positive entries off the diagonal, ties to the smaller column."""
    kept = np.zeros_like(similarity)
    for row, values in enumerate(similarity):
        order = [column for column in np.argsort(-values, kind="stable") if column != row and values[column] > 0]
        kept[row, order[:k]] = values[order[:k]]
    return kept


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosines between rows, in float64; 0 where a row is empty."""
    lengths = np.linalg.norm(vectors, axis=1)
    products = (vectors @ vectors.T).astype(float)
    lengths = np.outer(lengths, lengths)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def test_the_largest_of_a_row_in_order_ties_to_the_smaller_column() -> None:
    matrix = np.array([[0.5, 0.9, 0.5, 0.9, 0.1], [0.0, -1.0, np.nan, 0.2, 0.0]], dtype=np.float32)
    columns, values = largest_of_rows(matrix, 3, np.array([3, -1]))
    np.testing.assert_array_equal(columns, [[1, 0, 2], [3, 0, 0]])
    np.testing.assert_array_equal(values, np.array([[0.9, 0.5, 0.5], [0.2, 0, 0]], dtype=np.float32))
    np.testing.assert_array_equal(
        as_csr(columns, values, 5).toarray()[1], np.array([0, 0, 0, 0.2, 0], dtype=np.float32)
    )


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_the_largest_of_rows_are_those_of_a_full_sort(seed: int, width: int, k: int) -> None:
    matrix = np.random.default_rng(seed).integers(-2, 6, (8, width)).astype(np.float32)  # many ties
    columns, values = largest_of_rows(matrix, k, np.full(8, -1))
    for row, (found, found_values) in enumerate(zip(columns, values)):
        expected = [column for column in np.argsort(-matrix[row], kind="stable") if matrix[row, column] > 0][:k]
        assert found[: len(expected)].tolist() == expected
        assert (found_values[len(expected) :] == 0).all()


@pytest.mark.parametrize(
    ("n_users", "n_items"), [(40, 25), (1500, 30), (60, 700)]
)  # 1500: two tiles; 700: long histories
def test_nearest_users_are_those_of_brute_force(n_users: int, n_items: int) -> None:
    watched = random_watched(n_users, n_items)
    found = nearest_users(padded_csr(watched), 5).toarray()[1:, 1:]
    similarity = cosines(watched)
    # Equal cosines may round apart, so the values are compared, and that each is that user's.
    np.testing.assert_allclose(np.sort(found), np.sort(brute_force(similarity, 5)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[found > 0], similarity[found > 0], rtol=1e-5)
    assert (np.diag(found) == 0).all()


def test_movies_in_common_are_counted_past_what_a_byte_holds() -> None:
    watched = np.zeros((3, 900), dtype=int)
    watched[0, :900], watched[1, 100:900], watched[2, 899] = 1, 1, 1
    found = nearest_users(padded_csr(watched), 2).toarray()[1:, 1:]
    np.testing.assert_allclose(found[0, 1], 800 / np.sqrt(900 * 800), rtol=1e-6)
    np.testing.assert_allclose(found[0, 2], 1 / np.sqrt(900), rtol=1e-6)


def test_a_user_without_a_history_has_no_neighbours_and_is_nobodys() -> None:
    watched = random_watched(10, 8)
    watched[3] = 0
    found = nearest_users(padded_csr(watched), 9).toarray()
    assert not found[4].any() and not found[:, 4].any() and not found[0].any()


def test_nearest_items_of_a_worked_matrix() -> None:
    found = nearest_items(padded_csr(WATCHED), 2, 0.0).toarray()[1:, 1:]
    expected = [
        [0, 2 / 3, 1 / ROOT6, 0, 0, 0],  # movie 4 is as similar as movie 3; the smaller number wins
        [2 / 3, 0, 2 / ROOT6, 0, 0, 0],
        [1 / ROOT6, 2 / ROOT6, 0, 0, 0, 0],
        [1 / ROOT6, 0, 0, 0, 1 / ROOT2, 0],
        [0, 0, 0, 1 / ROOT2, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_shrinking_lowers_similarities_that_rest_on_few_users() -> None:
    found = nearest_items(padded_csr(WATCHED), 2, 3.0).toarray()[1:, 1:]
    np.testing.assert_allclose(found[0, :3], [0, 2 / (3 + 3), 1 / (ROOT6 + 3)], rtol=1e-5)


@pytest.mark.parametrize("shrink", [0.0, 7.0])
def test_nearest_items_are_exactly_those_of_the_dense_formula_whatever_the_block(
    shrink: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = padded_csr(random_watched(90, 70))
    gram = item_gram(history)
    norms = np.sqrt(np.diag(gram))
    dense = gram / (norms[:, None] * norms + np.float32(shrink + 1e-6))
    columns, values = largest_of_rows(dense, 6, np.arange(len(dense)))
    monkeypatch.setattr(nearest, "_FLOATS_A_BLOCK", 71 * 8)  # 8 rows a block, and a last one of 7
    found = nearest_items(history, 6, shrink)
    np.testing.assert_array_equal(found.toarray(), as_csr(columns, values, 71).toarray())


def test_nearest_items_hold_no_matrix_of_movies_by_movies(monkeypatch: pytest.MonkeyPatch) -> None:
    history = padded_csr(random_watched(40, 3000))
    monkeypatch.setattr(nearest, "_FLOATS_A_BLOCK", 3001 * 10)
    assert peak_bytes(lambda: nearest_items(history, 3, 0.0)) < 3001 * 3001  # a quarter of a float32 matrix


def test_nearest_users_spread_one_tile_out_at_a_time() -> None:
    history = padded_csr((np.random.default_rng(0).random((3000, 2000)) < 0.005).astype(int))
    assert peak_bytes(lambda: nearest_users(history, 3)) < 2 * 2001 * 1024  # two of three tiles


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes that Python and NumPy held at once while ``work`` ran, after a run that compiles its kernels."""
    work()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_correlations_are_numpys_and_constant_rows_have_none() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    vectors[7] = 3.3
    with np.errstate(invalid="ignore"):
        reference = np.nan_to_num(np.corrcoef(vectors))
    reference[7] = reference[:, 7] = 0
    found = nearest_by_correlation(vectors, 4).toarray()
    np.testing.assert_allclose(found, brute_force(reference, 4), atol=1e-5)


def test_user_knn_counts_votes_and_lets_similarity_decide_between_equals() -> None:
    scores = scores_of("UserKNN", data_of(rows_of(WATCHED), 6), k=2, method="voting")
    # User 1's neighbours: user 3 (cosine 2 / sqrt 6), who watched 2 and 3; user 2 (2 / 3), who watched 1, 2 and 4.
    third, second = 1 + 2 / ROOT6 / 3, 1 + 2 / 3 / 3
    np.testing.assert_allclose(scores[0], [second, second + third, third, second, 0, 0], rtol=1e-5)
    # User 4 shares a movie with user 2 alone (1 / sqrt 6).
    only = 1 + 1 / ROOT6 / 3
    np.testing.assert_allclose(scores[3], [only, only, 0, only, 0, 0], rtol=1e-5)


def test_user_knn_weighted_adds_up_similarities() -> None:
    scores = scores_of("UserKNN", data_of(rows_of(WATCHED), 6), k=2, method="weighted")
    np.testing.assert_allclose(scores[0], [2 / 3, 2 / 3 + 2 / ROOT6, 2 / ROOT6, 2 / 3, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(scores[4], [2 / ROOT3, 2 / ROOT3, 1 / ROOT3, 1 / ROOT3, 0, 0], rtol=1e-5)


def test_one_vote_more_beats_any_similarity() -> None:
    """One neighbour who is nearly the user against two who share little."""
    watched = np.zeros((4, 30), dtype=int)
    watched[0, :20] = 1
    watched[1, :21] = 1  # cosine .98, watched movie 21
    watched[2, [0, 22]] = 1  # cosine .16, watched movie 23
    watched[3, [1, 22]] = 1
    data = data_of(rows_of(watched), 30)
    voting = scores_of("UserKNN", data, k=3, method="voting")[0]
    weighted = scores_of("UserKNN", data, k=3, method="weighted")[0]
    assert voting[22] > voting[20]
    assert weighted[22] < weighted[20]


def test_user_knn_looks_for_neighbours_in_the_history_in_force() -> None:
    train, longer = random_watched(30, 12), random_watched(30, 12, seed=9)
    expected = scores_of("UserKNN", data_of(rows_of(longer), 12), k=4)
    np.testing.assert_array_equal(scores_of("UserKNN", data_of(rows_of(train), 12), rows_of(longer), k=4), expected)
    assert not np.array_equal(scores_of("UserKNN", data_of(rows_of(train), 12), k=4), expected)


def test_svd_keeps_its_factors_and_looks_for_neighbours_in_the_history_in_force() -> None:
    train, longer = random_watched(30, 12), random_watched(30, 12, seed=9)
    data = data_of(rows_of(train), 12)
    model = fitted_model("SVD", data, n_factors=3, k=4, method="weighted")
    scores = model.scores(_rows(rows_of(longer), data), np.arange(1, 31))
    history = padded_csr(longer)
    expected = nearest_by_correlation(history @ model.model.vectors, 4) @ history
    np.testing.assert_allclose(scores, expected.toarray()[1:], rtol=1e-5, atol=1e-6)


def test_going_back_to_an_earlier_history_gives_its_scores_again() -> None:
    data = data_of(rows_of(random_watched(30, 12)), 12)
    model = fitted_model("UserKNN", data)
    histories = [data.interactions, rows_of(random_watched(30, 12, seed=9)), data.interactions]
    first, other, again = (model.scores(_rows(rows, data), np.arange(1, 31)).clone() for rows in histories)
    assert not torch.equal(first, other)
    assert torch.equal(first, again)


def test_item_knn_adds_up_similarities_to_what_was_watched() -> None:
    scores = scores_of("ItemKNN", data_of(rows_of(WATCHED), 6), k=2)
    np.testing.assert_allclose(
        scores[0], [2 / 3 + 1 / ROOT6, 2 / ROOT6 + 2 / 3, 1 / ROOT6 + 2 / ROOT6, 1 / ROOT6, 0, 0], rtol=1e-5
    )
    np.testing.assert_allclose(scores[3], [0, 0, 0, 1 / ROOT2, 1 / ROOT2, 0], rtol=1e-5)


def test_item_knn_takes_the_highest_single_similarity() -> None:
    scores = scores_of("ItemKNN", data_of(rows_of(WATCHED), 6), k=2, aggregate="max")
    np.testing.assert_allclose(scores[0], [2 / 3, 2 / ROOT6, 2 / ROOT6, 1 / ROOT6, 0, 0], rtol=1e-5)


def test_item_knn_by_the_mean_is_the_formula_of_explicit_ratings() -> None:
    watched = random_watched(90, 30).astype(float)
    history = padded_csr(watched.astype(int))
    neighbours = nearest_items(history, 7, 0.0).toarray()[1:, 1:].astype(float)
    share = watched.mean(axis=0)
    expected = (
        share + (watched - share) @ (neighbours / np.maximum(neighbours.sum(axis=1, keepdims=True), 1e-12)).T
    )  # nobody watched movie 1
    scores = scores_of("ItemKNN", data_of(rows_of(watched), 30), k=7, aggregate="mean")
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("k", "shrink"), [(8, 0.0), (8, 15.0), (58, 0.0)])
def test_item_knn_equals_recboles(k: int, shrink: float) -> None:
    watched = random_watched(400, 60)
    _require_clear_neighbours(item_gram(padded_csr(watched)), k, shrink)
    data = data_of(rows_of(watched), 60)
    theirs = recbole_scores("ItemKNN", data, k=k, shrink=shrink, knn_method="item")
    np.testing.assert_allclose(scores_of("ItemKNN", data, k=k, shrink=shrink), theirs, rtol=1e-5, atol=1e-6)


def test_item_knn_is_fitted_on_training_rows_and_ranks_from_the_history() -> None:
    longer = WATCHED.copy()
    longer[4, 4] = 1
    scores = scores_of("ItemKNN", data_of(rows_of(WATCHED), 6), rows_of(longer), k=2)
    np.testing.assert_allclose(scores[4], [0, 2 / 3, 1 / ROOT6, 1 / ROOT6 + 1 / ROOT2, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("method", ["voting", "weighted"])
def test_svd_equals_scikit_learns_factors_numpys_correlation_and_a_count(method: str) -> None:
    watched = random_watched(60, 25)
    reference = TruncatedSVD(4, algorithm="arpack", random_state=0).fit(csr_matrix(watched, dtype=float))
    largest = np.abs(reference.components_).argmax(axis=1)
    signs = np.sign(reference.components_[np.arange(4), largest])
    correlation = brute_force(np.corrcoef(watched @ (reference.components_ * signs[:, None]).T), 7)
    weights = correlation if method == "weighted" else np.where(correlation > 0, 1 + correlation / 8, 0)
    scores = scores_of("SVD", data_of(rows_of(watched), 25), n_factors=4, k=7, method=method)
    np.testing.assert_allclose(scores, weights @ watched, atol=1e-3)


def test_svd_finds_the_users_of_the_same_block() -> None:
    scores = scores_of("SVD", data_of(rows_of(BLOCKS), 6), n_factors=2, k=4, method="voting")
    assert (scores[:3, :2] > 0).all() and (scores[:3, 2:] == 0).all()
    assert (scores[3, [0, 1, 3, 4, 5]] == 0).all() and scores[3, 2] > 0, "user 4's one like-minded user watched movie 3"


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_history_stays_as_it_was(name: str) -> None:
    fitted = fitted_model(name, data_of(rows_of(random_watched(30, 12)), 12))
    before = fitted.model.history.copy()
    fitted.model.full_sort_predict({"user_id": torch.arange(1, 31)})
    assert (fitted.model.history != before).nnz == 0
    np.testing.assert_array_equal(fitted.model.history.indices, before.indices)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("UserKNN", {"k": 0}, "k is 0; expected an integer >= 1"),
        ("UserKNN", {"method": "vote"}, "method is 'vote'; expected one of voting, weighted"),
        ("ItemKNN", {"aggregate": "median"}, "aggregate is 'median'; expected one of sum, max, mean"),
        ("ItemKNN", {"shrink": -1}, "shrink is -1; expected a number >= 0"),
        ("SVD", {"n_factors": 1}, "n_factors is 1; expected an integer >= 2"),
    ],
)
def test_a_meaningless_parameter_is_refused(name: str, parameters: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        fitted_model(name, data_of(rows_of(WATCHED), 6), **parameters)


def _rows(rows: pd.DataFrame, data: AtomicData) -> Interactions:
    return Interactions.from_rows(rows, data.vocabulary)


def _require_clear_neighbours(gram: np.ndarray, k: int, shrink: float) -> None:
    """RecBole breaks ties at the k-th neighbour by chance, so these data must have none."""
    counts = gram[1:, 1:].astype(float)
    norms = np.sqrt(np.diag(counts))
    similarity = counts / (np.outer(norms, norms) + shrink + 1e-6)
    np.fill_diagonal(similarity, 0)
    ordered = -np.sort(-similarity, axis=1)
    last_kept, first_left = ordered[:, k - 1], ordered[:, k]
    assert ((last_kept > first_left + 1e-6) | (first_left == 0)).all()
