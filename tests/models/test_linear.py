"""EASE, UserEASE, PureSVD and FISMProfile: worked values, textbook formulas, RecBole's own EASE."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from support.closed_form_cases import (
    BLOCKS,
    WATCHED,
    check_inputs_stay,
    data_of,
    fitted_model,
    padded_csr,
    random_watched,
    ranked_unseen,
    recbole_scores,
    rows_of,
    scores_of,
)

from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.models.parts.gram_matrix import GramRows, item_gram, ridge_inverse
from movierec_bench.models.parts.linear_model import TiledWeights, sparse_scores
from movierec_bench.models.parts.truncated_svd import item_factors

LINEAR = ("EASE", "UserEASE", "PureSVD", "FISMProfile")


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_the_gram_matrix_counts_users_in_common(seed: int, n_users: int, n_items: int) -> None:
    history = padded_csr(random_watched(n_users, n_items, seed))
    gram = item_gram(history)
    assert gram.dtype == np.float32
    np.testing.assert_array_equal(gram, (history.T @ history).toarray())


def test_the_inverse_is_one_and_its_input_stays() -> None:
    gram = item_gram(padded_csr(random_watched(80, 20)))
    before = gram.copy()
    inverse = ridge_inverse(gram, 2.0)
    np.testing.assert_array_equal(gram, before)
    np.testing.assert_allclose(inverse @ (gram + 2 * np.eye(21)), np.eye(21), atol=1e-5)


def test_the_inverse_in_its_inputs_memory_is_the_same() -> None:
    gram = item_gram(padded_csr(random_watched(300, 150)))
    expected = ridge_inverse(gram, 2.0)
    inverse = ridge_inverse(gram, 2.0, overwrite=True)
    assert inverse is gram
    np.testing.assert_array_equal(inverse, expected)


def test_rows_of_the_gram_matrix_are_its_rows() -> None:
    history = padded_csr(random_watched(80, 20))
    rows, gram = GramRows(history), item_gram(history)
    np.testing.assert_array_equal(rows(np.array([3, 0, 20])), gram[[3, 0, 20]])
    np.testing.assert_array_equal(rows.diagonal, np.diag(gram))


def test_a_matrix_that_has_no_inverse_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="not positive definite.*raise reg_weight"):
        ridge_inverse(np.full((50, 50), 1e6, dtype=np.float32), 1e-4)


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([1, 3, 511, 512, 513, 1030]))
@settings(max_examples=20, deadline=None)
def test_sums_of_weights_are_the_matrix_product(seed: int, n_users: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    history = padded_csr(random_watched(n_users, 25, seed))
    weights = rng.standard_normal((26, width)).astype(np.float32)
    users = rng.integers(0, n_users + 1, 7)
    scores = TiledWeights.of(weights).sums(history, users)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, history[users].toarray() @ weights, rtol=1e-5, atol=1e-5)


def test_sums_of_weights_add_up_in_the_order_of_the_history() -> None:
    """Ties and block sizes cannot change a ranking when the order of the sum is fixed."""
    history = padded_csr(random_watched(6, 40))
    weights = np.random.default_rng(1).standard_normal((41, 700)).astype(np.float32)
    for user in range(1, 7):
        expected = np.zeros(700, dtype=np.float32)
        for item in history[user].indices:
            expected += weights[item]
        np.testing.assert_array_equal(TiledWeights.of(weights).sums(history, np.array([user]))[0], expected)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_sparse_scores_are_the_sum_or_the_largest_of_the_products(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = padded_csr(random_watched(9, 12, seed)), padded_csr(random_watched(12, 15, seed + 1))
    left.data[:] = rng.random(left.nnz)
    right.data[:] = rng.random(right.nnz)
    rows = rng.integers(0, 10, 5)
    products = left[rows].toarray()[:, :, None] * right.toarray()[None]
    np.testing.assert_allclose(sparse_scores(left, rows, right), products.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(sparse_scores(left, rows, right, largest=True), products.max(axis=1), rtol=1e-6)


def test_ease_on_two_by_two_blocks() -> None:
    """Of two movies with n_1 and n_2 users, c in common, the inverse is known: B[1, 2] = c / (n_1 + reg)."""
    scores = scores_of("EASE", data_of(rows_of(BLOCKS), 6), reg_weight=1.0)
    # n = 3, 2, 2, 1; in common 2 and 1.
    one_to_two, two_to_one, three_to_four, four_to_three = 2 / 4, 2 / 3, 1 / 3, 1 / 2
    expected = [
        [two_to_one, one_to_two, 0, 0, 0, 0],
        [two_to_one, one_to_two, 0, 0, 0, 0],
        [0, one_to_two, 0, 0, 0, 0],
        [0, 0, four_to_three, three_to_four, 0, 0],
        [0, 0, 0, three_to_four, 0, 0],
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_ease_equals_its_formula_in_float64() -> None:
    inverse = np.linalg.inv(WATCHED.T @ WATCHED + 0.5 * np.eye(6))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = scores_of("EASE", data_of(rows_of(WATCHED), 6), reg_weight=0.5)
    np.testing.assert_allclose(scores, WATCHED @ weights, atol=1e-6)


def test_ease_equals_recboles() -> None:
    data = data_of(rows_of(random_watched(200, 60)), 60)
    np.testing.assert_allclose(
        scores_of("EASE", data, reg_weight=20.0), recbole_scores("EASE", data, reg_weight=20.0), atol=1e-4
    )


def test_ease_is_fitted_on_training_rows_and_ranks_from_the_history() -> None:
    train, longer = BLOCKS.copy(), BLOCKS.copy()
    longer[4, 3] = 1
    scores = scores_of("EASE", data_of(rows_of(train), 6), rows_of(longer), reg_weight=1.0)
    np.testing.assert_allclose(scores[4], [0, 0, 1 / 2, 1 / 3, 0, 0], atol=1e-6)


def test_user_ease_equals_ease_of_the_transposed_matrix() -> None:
    for watched in (WATCHED, random_watched(30, 12)):
        inverse = np.linalg.inv(watched @ watched.T + 2.0 * np.eye(len(watched)))
        weights = -inverse / np.diag(inverse)[:, None]
        np.fill_diagonal(weights, 0)
        scores = scores_of("UserEASE", data_of(rows_of(watched), watched.shape[1]), reg_weight=2.0)
        np.testing.assert_allclose(scores, weights @ watched, atol=1e-5)


def test_pure_svd_of_rank_one() -> None:
    """The Gram matrix [[3, 2], [2, 2]] of movies 1 and 2 has the leading eigenvector (2, (sqrt(17) - 1) / 2)."""
    leading = np.array([2, (np.sqrt(17) - 1) / 2, 0, 0, 0, 0])
    projection = np.outer(leading, leading) / (leading @ leading)
    scores = scores_of("PureSVD", data_of(rows_of(BLOCKS), 6), n_factors=1)
    np.testing.assert_allclose(scores, BLOCKS @ projection, atol=1e-6)


@pytest.mark.parametrize("n_items", [30, 250])  # all eigenvectors at once, and Lanczos
def test_pure_svd_equals_the_truncated_decomposition(n_items: int) -> None:
    watched = random_watched(120, n_items)
    u, s, vt = np.linalg.svd(watched.astype(float), full_matrices=False)
    expected = u[:, :5] * s[:5] @ vt[:5]
    scores = scores_of("PureSVD", data_of(rows_of(watched), n_items), n_factors=5)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_pure_svd_never_has_so_many_factors_that_unseen_movies_are_equal(caplog: pytest.LogCaptureFixture) -> None:
    data = data_of(rows_of(random_watched(60, 20)), 20)
    np.testing.assert_array_equal(scores_of("PureSVD", data, n_factors=50), scores_of("PureSVD", data, n_factors=5))
    assert "n_factors 50 is too many for these data; 5 are used" in caplog.text


@pytest.mark.parametrize("n_items", [30, 250])
def test_factors_are_scikit_learns(n_items: int) -> None:
    history = padded_csr(random_watched(120, n_items))
    vectors, singular_values = item_factors(history, 4, seed=0)
    reference = TruncatedSVD(4, algorithm="arpack", random_state=0).fit(history)
    np.testing.assert_allclose(singular_values, reference.singular_values_, rtol=1e-4)
    cosines = np.abs((vectors * reference.components_.T).sum(axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    assert (vectors.max(axis=0) >= -vectors.min(axis=0)).all(), "the largest entry of a vector is positive"


def test_fism_profile_on_blocks() -> None:
    """With one factor a block, a movie points where its block does: cosine 1 inside it, 0 outside."""
    scores = scores_of("FISMProfile", data_of(rows_of(BLOCKS), 6), n_factors=2)
    first, second = [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]
    np.testing.assert_allclose(scores, [first, first, first, second, second], atol=1e-5)


def test_fism_profile_without_factors_is_the_origins_order() -> None:
    """``(x X.T X)_i / sqrt(n_i)`` by hand: users 1 and 2 have movies 1, 2; user 3 has 2, 3."""
    watched = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]])
    scores = scores_of("FISMProfile", data_of(rows_of(watched), 4), n_factors=0)
    gram = np.array([[2, 2, 0, 0], [2, 3, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    norms = np.sqrt([2, 3, 1, np.inf])
    np.testing.assert_allclose(scores, watched @ gram / norms, rtol=1e-6)
    assert ranked_unseen(scores, watched) == [[3, 4], [3, 4], [1, 4]]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_fism_profile_is_the_cosine_with_the_mean_vector(power: float) -> None:
    watched = random_watched(40, 15)
    _, s, vt = np.linalg.svd(watched.astype(float), full_matrices=False)
    vectors = vt[:4].T * s[:4] ** power
    profiles = np.array([vectors[row.astype(bool)].mean(axis=0) for row in watched])
    lengths = np.linalg.norm(profiles, axis=1)[:, None] * np.linalg.norm(vectors, axis=1)
    expected = np.divide(profiles @ vectors.T, lengths, out=np.zeros_like(lengths), where=lengths > 1e-9)
    scores = scores_of("FISMProfile", data_of(rows_of(watched), 15), n_factors=4, singular_power=power)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_history_and_movies_stay_as_they_were(name: str) -> None:
    check_inputs_stay(name)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("EASE", {"reg_weight": 0.0}, "reg_weight is 0.0; expected a number > 0"),
        ("UserEASE", {"reg_weight": "big"}, "reg_weight is 'big'; expected a number > 0"),
        ("PureSVD", {"n_factors": 0}, "n_factors is 0; expected an integer >= 1"),
        ("FISMProfile", {"singular_power": -1.0}, "singular_power is -1.0; expected a number >= 0"),
    ],
)
def test_a_meaningless_parameter_is_refused(name: str, parameters: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        fitted_model(name, data_of(rows_of(WATCHED), 6), **parameters)
