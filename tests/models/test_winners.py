"""What winners used and RecBole lacks: each against its paper's formula in float64, or another library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import ElasticNet
from support.closed_form_cases import (
    BLOCKS,
    WATCHED,
    check_inputs_stay,
    data_of,
    fitted_model,
    padded_csr,
    random_watched,
    rows_of,
    scores_of,
)

from movierec_bench.errors import ConfigError
from movierec_bench.models import slim
from movierec_bench.models.als import improve
from movierec_bench.models.easer import frequent_pairs, watched_pairs
from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.linear_model import TiledWeights, sparse_scores
from movierec_bench.models.sideease import FEATURES, feature_rows
from movierec_bench.models.slim import slim_weights

WINNERS = ("EASER", "SideEASE", "ItemUserEASE", "RP3beta", "ALS", "SLIM")
NO_FEATURES = {f"{feature}_weight": 0.0 for feature in FEATURES}


def ease_of(gram: np.ndarray, reg_weight: float) -> np.ndarray:
    """Steck 2019, equation 8, in float64."""
    inverse = np.linalg.inv(gram + reg_weight * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


# EASER


def products_of(watched: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Z: 1 where a user watched both movies (columns of ``watched``)."""
    return np.array([watched[:, one] * watched[:, other] for one, other in pairs]).T


def pairs_above(watched: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    gram = watched.T @ watched
    n = len(gram)
    return [(i, j) for i in range(n) for j in range(i + 1, n) if gram[i, j] > threshold]


def easer_by_the_paper(
    x: np.ndarray, z: np.ndarray, allowed: np.ndarray, reg: float, pair_reg: float, rho: float, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steck and Liang's ADMM as they published it, in float64, and the best B for the D that it ends with."""
    gram, cross = x.T @ x, z.T @ x
    inverse = np.linalg.inv(gram + reg * np.eye(len(gram)))
    pair_inverse = np.linalg.inv(z.T @ z + (pair_reg + rho) * np.eye(z.shape[1]))
    c, d, u = np.zeros(cross.shape), np.zeros(cross.shape), np.zeros(cross.shape)

    def best_b(given_c: np.ndarray) -> np.ndarray:
        b = inverse @ (gram - cross.T @ given_c)
        return b - inverse * (np.diag(b) / np.diag(inverse))

    for _ in range(iterations):
        c = pair_inverse @ (cross - cross @ best_b(c) + rho * (d - u))
        d = c * allowed
        u = u + c - d
    return best_b(d), d


@pytest.mark.parametrize("iterations", [1, 2, 7, 40])
def test_easer_equals_the_papers_iteration(iterations: int) -> None:
    watched = random_watched(150, 14)
    pairs = pairs_above(watched, 30)
    assert len(pairs) > 10
    z = products_of(watched, pairs)
    allowed = np.array([[item not in pair for item in range(14)] for pair in pairs])
    b, d = easer_by_the_paper(watched, z, allowed, 5.0, 8.0, 50.0, iterations)
    parameters = {"reg_weight": 5.0, "pair_reg_weight": 8.0, "rho": 50.0, "iterations": iterations}
    scores = scores_of("EASER", data_of(rows_of(watched), 14), pair_share=30 / 150, **parameters)
    np.testing.assert_allclose(scores, watched @ b + z @ d, atol=1e-4)


def test_easer_ends_at_the_constrained_least_squares_solution() -> None:
    """Movie by movie, ridge regression on the inputs that may be used, solved at once."""
    watched = random_watched(150, 10)
    pairs = pairs_above(watched, 30)
    inputs = np.hstack([watched, products_of(watched, pairs)]).astype(float)
    penalties = np.diag(np.r_[np.full(10, 5.0), np.full(len(pairs), 8.0)])
    expected = np.zeros((150, 10))
    for item in range(10):
        usable = np.array([j != item for j in range(10)] + [item not in pair for pair in pairs])
        x, penalty = inputs[:, usable], penalties[np.ix_(usable, usable)]
        expected[:, item] = x @ np.linalg.solve(x.T @ x + penalty, x.T @ watched[:, item])
    parameters = {"reg_weight": 5.0, "pair_reg_weight": 8.0, "rho": 20.0, "iterations": 2000}
    scores = scores_of("EASER", data_of(rows_of(watched), 10), pair_share=30 / 150, **parameters)
    np.testing.assert_allclose(scores, expected, atol=2e-3)


def test_easer_without_pairs_is_ease() -> None:
    data = data_of(rows_of(WATCHED), 6)
    np.testing.assert_allclose(
        scores_of("EASER", data, pair_share=1.0, reg_weight=0.5), scores_of("EASE", data, reg_weight=0.5), atol=1e-6
    )


def test_frequent_pairs_are_the_most_watched_ones(caplog: pytest.LogCaptureFixture) -> None:
    gram = item_gram(padded_csr(WATCHED))
    assert frequent_pairs(gram, 1, 9).tolist() == [[1, 2], [2, 3]]  # two users each; one is not more than one
    assert frequent_pairs(gram, 2, 9).shape == (0, 2)
    assert not caplog.records
    assert frequent_pairs(gram, 0, 3).tolist() == [[1, 2], [2, 3], [1, 3]]
    assert "EASER: 6 pairs have more than 0 users, the first 3 are used" in caplog.text


def test_pairs_are_read_from_the_history_in_force() -> None:
    history = padded_csr(WATCHED)
    # Movies 1 and 2: users 1 and 2. Movies 2 and 4: user 2 alone.
    expected = [[0, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(watched_pairs(history, np.array([[1, 2], [2, 4]])).toarray(), expected)


# SideEASE

GENRES = [("Drama",), ("Drama", "War"), ("Comedy",), (), ("War",), ("Comedy",)]
DIRECTORS = [("Lee",), (), ("Lee",), ("Kim",), (), ("Lee",)]


def test_side_ease_without_features_is_ease() -> None:
    data = data_of(rows_of(WATCHED), 6, genre=GENRES, director=DIRECTORS)
    scores = scores_of("SideEASE", data, reg_weight=0.5, **NO_FEATURES)
    np.testing.assert_allclose(scores, scores_of("EASE", data, reg_weight=0.5), atol=1e-6)


def test_side_ease_is_ease_with_weighted_rows_of_features() -> None:
    data = data_of(rows_of(WATCHED), 6, genre=GENRES, director=DIRECTORS)
    drama, war, comedy = [1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]
    lee, kim = [1, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0]
    rows = np.array([drama, war, comedy, lee, kim]) * np.sqrt([2, 2, 2, 3, 3])[:, None]
    joined = np.vstack([WATCHED, rows])
    parameters = {**NO_FEATURES, "genre_weight": 2.0, "director_weight": 3.0}
    scores = scores_of("SideEASE", data, reg_weight=0.5, **parameters)
    np.testing.assert_allclose(scores, WATCHED @ ease_of(joined.T @ joined, 0.5), atol=1e-5)


def test_side_ease_reaches_a_movie_that_nobody_watched() -> None:
    """Movie 6 is Lee's, like movie 1, all that user 5 watched; user 4 has nothing of his."""
    data = data_of(rows_of(WATCHED), 6, director=DIRECTORS)
    scores = scores_of("SideEASE", data, reg_weight=0.5, **{**NO_FEATURES, "director_weight": 3.0})
    assert scores[4, 5] > 0.1 and scores[4, 5] > 2 * abs(scores[3, 5])
    assert (scores_of("EASE", data, reg_weight=0.5)[:, 5] == 0).all()


def test_feature_rows_of_years_and_titles() -> None:
    movies = pd.DataFrame(
        {"title": ["War and War", "The war", "Été"], "year": [1990.0, np.nan, 1990.0]}, index=[1, 2, 3]
    )
    np.testing.assert_array_equal(feature_rows(movies, "year").toarray(), [[0, 1, 0, 1]])
    words = feature_rows(movies, "title").toarray()
    assert sorted(words.tolist()) == sorted([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


# ItemUserEASE


def test_item_user_ease_is_the_sum_of_both_sides() -> None:
    for watched in (WATCHED, random_watched(30, 12)):
        by_items = watched @ ease_of(watched.T @ watched, 0.7)
        by_users = ease_of(watched @ watched.T, 2.0).T @ watched
        data = data_of(rows_of(watched), watched.shape[1])
        scores = scores_of("ItemUserEASE", data, item_reg_weight=0.7, reg_weight=2.0)
        np.testing.assert_allclose(scores, by_items + by_users, atol=1e-5)


# RP3beta


def test_rp3beta_by_hand() -> None:
    """BLOCKS: movies with 3, 2, 2 and 1 users; users with 2, 2, 1, 2 and 1 movies.

    From movie 1 to 2: users 1 and 2, each 1/3 * 1/2, so 1/3; from 2 to 1: 2 * 1/2 * 1/2 = 1/2; from 3 to 4:
    1/2 * 1/2; from 4 to 3: 1/2.
    """
    scores = scores_of("RP3beta", data_of(rows_of(BLOCKS), 6), alpha=1.0, beta=1.0, k=5)
    one_to_two, two_to_one, three_to_four, four_to_three = 1 / 3 / 2, 1 / 2 / 3, 1 / 4 / 1, 1 / 2 / 2
    expected = [
        [two_to_one, one_to_two, 0, 0, 0, 0],
        [two_to_one, one_to_two, 0, 0, 0, 0],
        [0, one_to_two, 0, 0, 0, 0],
        [0, 0, four_to_three, three_to_four, 0, 0],
        [0, 0, 0, three_to_four, 0, 0],
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.6), (0.5, 0.0), (1.7, 1.0)])
def test_rp3beta_is_a_product_of_transition_matrices(alpha: float, beta: float) -> None:
    watched = random_watched(40, 15).astype(float)
    popularity = np.maximum(watched.sum(axis=0), 1)
    to_users = (watched / popularity).T ** alpha
    to_items = (watched / watched.sum(axis=1, keepdims=True)) ** alpha
    walks = to_users @ to_items / popularity**beta
    np.fill_diagonal(walks, 0)
    for row in walks:
        row[np.argsort(-row, kind="stable")[6:]] = 0
    scores = scores_of("RP3beta", data_of(rows_of(watched), 15), alpha=alpha, beta=beta, k=6)
    np.testing.assert_allclose(scores, watched @ walks, rtol=1e-4, atol=1e-7)
    scores = scores_of("RP3beta", data_of(rows_of(watched), 15), alpha=alpha, beta=beta, k=6, normalize=True)
    sums = walks.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, watched @ (walks / np.where(sums > 0, sums, 1)), rtol=1e-4, atol=1e-7)


# ALS


def solved(seen: np.ndarray, fixed: np.ndarray, alpha: float, reg_weight: float) -> np.ndarray:
    """Hu et al., equation 4, with its confidence matrix written out, in float64."""
    vectors = []
    for row in seen:
        confidence = np.diag(1 + alpha * row)
        normal = fixed.T @ confidence @ fixed + reg_weight * np.eye(fixed.shape[1])
        vectors.append(np.linalg.solve(normal, fixed.T @ confidence @ row))
    return np.array(vectors)


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 16]), st.sampled_from([0.5, 40.0]))
@settings(max_examples=20, deadline=None)
def test_enough_steps_solve_the_normal_equations(seed: int, n_factors: int, alpha: float) -> None:
    watched = random_watched(9, 20, seed)
    fixed = np.random.default_rng(seed).standard_normal((21, n_factors)).astype(np.float32)
    vectors = np.zeros((10, n_factors), dtype=np.float32)
    improve(vectors, padded_csr(watched), fixed, alpha, 1.0, 2 * n_factors)
    expected = solved(np.pad(watched, ((1, 0), (1, 0))), fixed.astype(float), alpha, 1.0)
    np.testing.assert_allclose(vectors, expected, atol=1e-3)


@given(st.integers(0, 10_000), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_a_movie_nobody_watched_goes_to_nought_and_stays_finite(seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    fixed = rng.standard_normal((5, 3)).astype(np.float32) * np.float32(10.0**-power)
    vectors = rng.standard_normal((2, 3)).astype(np.float32)
    for _ in range(100):
        improve(vectors, padded_csr(np.zeros((1, 4))), fixed, 2.0, 10.0**-power, 3)
    np.testing.assert_allclose(vectors, 0, atol=1e-6)


def test_als_equals_the_dense_alternation() -> None:
    """With three factors, three steps of conjugate gradients solve each problem of a sweep."""
    watched = random_watched(30, 12)
    padded = np.pad(watched, ((1, 0), (1, 0)))
    items = 0.1 * np.random.default_rng(3).standard_normal((13, 3))
    for _ in range(4):
        users = solved(padded, items, 2.0, 0.5)
        items = solved(padded.T, users, 2.0, 0.5)
    expected = (solved(padded, items, 2.0, 0.5) @ items.T)[1:, 1:]
    scores = scores_of("ALS", data_of(rows_of(watched), 12), n_factors=3, sweeps=4, alpha=2.0, reg_weight=0.5)
    np.testing.assert_allclose(scores, expected, atol=2e-3)


def test_als_sweeps_lower_the_objective() -> None:
    watched = random_watched(60, 25)
    padded = np.pad(watched, ((1, 0), (1, 0)))

    def objective(sweeps: int) -> float:
        model = fitted_model("ALS", data_of(rows_of(watched), 25), n_factors=8, sweeps=sweeps).model
        items = model.item_vectors.astype(float)
        users = solved(padded, items, model.alpha, model.reg_weight)
        error = (1 + model.alpha * padded) * (padded - users @ items.T) ** 2
        return error.sum() + model.reg_weight * ((users**2).sum() + (items**2).sum())

    losses = [objective(sweeps) for sweeps in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_als_folds_in_the_history_in_force() -> None:
    longer = WATCHED.copy()
    longer[4, 3] = 1
    data = data_of(rows_of(WATCHED), 6)
    parameters = {"n_factors": 3, "alpha": 2.0, "reg_weight": 0.5}
    items = fitted_model("ALS", data, **parameters).model.item_vectors.astype(float)
    expected = (solved(np.pad(longer, ((1, 0), (1, 0))), items, 2.0, 0.5) @ items.T)[1:, 1:]
    np.testing.assert_allclose(scores_of("ALS", data, rows_of(longer), **parameters), expected, atol=1e-4)


# SLIM


@pytest.mark.parametrize("positive_only", [True, False])
@pytest.mark.parametrize(("lambda1", "lambda2"), [(1.0, 5.0), (4.0, 0.5), (0.3, 0.5)])
def test_slim_equals_scikit_learns_elastic_net(lambda1: float, lambda2: float, positive_only: bool) -> None:
    watched = random_watched(120, 20).astype(float)
    expected = np.zeros((20, 20))
    alpha, l1_ratio = (lambda1 + lambda2) / 120, lambda1 / (lambda1 + lambda2)
    for item in range(20):
        others = np.arange(20) != item
        model = ElasticNet(
            alpha=alpha, l1_ratio=l1_ratio, positive=positive_only, fit_intercept=False, tol=1e-10, max_iter=100_000
        )
        expected[others, item] = model.fit(watched[:, others], watched[:, item]).coef_
    if not positive_only and lambda1 < 1:
        assert (expected < -0.01).any(), "the case has no negative weight"
    scores = scores_of(
        "SLIM", data_of(rows_of(watched), 20), lambda1=lambda1, lambda2=lambda2, positive_only=positive_only
    )
    np.testing.assert_allclose(scores, watched @ expected, atol=2e-3)


def test_slim_on_two_by_two_blocks() -> None:
    """Each movie has one neighbour: w = (c - lambda1) / (n + lambda2), with n = 3, 2, 2, 1 and c = 2, 1."""
    weights = slim_weights(item_gram(padded_csr(BLOCKS)), 0.5, 1.0, positive_only=True).toarray()[1:, 1:]
    expected = np.zeros((6, 6))
    expected[0, 1], expected[1, 0], expected[2, 3], expected[3, 2] = 1.5 / 4, 1.5 / 3, 0.5 / 3, 0.5 / 2
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_slim_without_an_l1_penalty_is_ridge_regression_on_the_other_movies() -> None:
    gram = WATCHED.T @ WATCHED
    expected = np.zeros((6, 6))
    for item in range(6):
        others = np.arange(6) != item
        normal = gram[np.ix_(others, others)] + 0.5 * np.eye(5)
        expected[others, item] = np.linalg.solve(normal, gram[others, item])
    np.testing.assert_allclose(expected, ease_of(gram, 0.5), atol=1e-9)  # and that is EASE
    weights = slim_weights(item_gram(padded_csr(WATCHED)), 0.0, 0.5, positive_only=False).toarray()[1:, 1:]
    np.testing.assert_allclose(weights, expected, atol=2e-3)


@pytest.mark.parametrize("positive_only", [True, False])
def test_slim_from_a_sparse_gram_matrix_is_slim_from_a_dense_one(
    positive_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = padded_csr((np.random.default_rng(3).random((200, 200)) < 0.02).astype(int))
    dense = slim_weights(item_gram(history), 0.3, 5.0, positive_only)
    monkeypatch.setattr(slim, "_FLOATS_A_BLOCK", 201 * 9)  # 9 movies a block
    sparse = slim_weights((history.T @ history).tocsr(), 0.3, 5.0, positive_only)
    np.testing.assert_array_equal(sparse.toarray(), dense.toarray())
    assert 0 < dense.nnz < 201 * 201 / 8


def test_slim_of_few_rows_keeps_its_weights_sparse_and_scores_as_if_they_were_dense() -> None:
    watched = (np.random.default_rng(3).random((200, 200)) < 0.02).astype(int)
    model = fitted_model("SLIM", data_of(rows_of(watched), 200), lambda1=0.3, lambda2=5.0).model
    assert isinstance(model.weights, csr_matrix)
    users = np.arange(1, model.history.shape[0])
    dense = TiledWeights.of(model.weights.toarray()).sums(model.history, users)
    np.testing.assert_array_equal(sparse_scores(model.history, users, model.weights), dense)


# ADMM-SLIM (RecBole's)


def test_admm_slim_meets_the_conditions_of_the_optimum() -> None:
    """Of ``|X - X B|^2 / 2 + lambda2 sum_j mean_j ** alpha |B_j|^2 / 2 + lambda1 sum B``, B >= 0, zero diagonal."""
    watched = random_watched(120, 15).astype(float)
    fitted = fitted_model(
        "ADMMSLIM", data_of(rows_of(watched), 15), lambda1=2.0, lambda2=30.0, alpha=0.5, rho=50.0, k=2000
    )
    weights = fitted.model.item_similarity[1:, 1:].astype(float)
    gram = watched.T @ watched
    penalty = 30.0 * np.sqrt(watched.sum(axis=0) / 121)[:, None]  # RecBole's means count the padding user
    pull = gram - gram @ weights - penalty * weights - 2.0
    off_diagonal = ~np.eye(15, dtype=bool)
    used = (weights > 0) & off_diagonal
    assert (weights >= 0).all() and used.sum() > 15
    np.testing.assert_allclose(weights.diagonal(), 0, atol=1e-4)
    np.testing.assert_allclose(pull[used], 0, atol=0.05)
    unused = off_diagonal & ~used
    assert unused.any() and (pull[unused] < 0.05).all()


# All of them


@pytest.mark.parametrize("name", WINNERS)
def test_history_and_movies_stay_as_they_were(name: str) -> None:
    check_inputs_stay(name)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("EASER", {"pair_share": -0.1}, "pair_share is -0.1; expected a number >= 0"),
        ("SideEASE", {"genre_weight": -1.0}, "genre_weight is -1.0; expected a number >= 0"),
        ("ItemUserEASE", {"item_reg_weight": 0.0}, "item_reg_weight is 0.0; expected a number > 0"),
        ("RP3beta", {"k": 0}, "k is 0; expected an integer >= 1"),
        ("ALS", {"alpha": 0.0}, "alpha is 0.0; expected a number > 0"),
        ("SLIM", {"positive_only": 1}, "positive_only is 1; expected true or false"),
    ],
)
def test_a_meaningless_parameter_is_refused(name: str, parameters: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        fitted_model(name, data_of(rows_of(WATCHED), 6), **parameters)
