"""Metrics worked out by hand and against RecBole and scikit-learn; intervals and tests against scipy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csr_matrix

from movierec_bench.errors import DataError
from movierec_bench.evaluation import metrics, statistics
from movierec_bench.schema import BOARD_COLUMNS, METRICS


def topk_of(recommended):
    """A long table from {user: [movies, best first]}."""
    rows = [(user, item, rank) for user, items in recommended.items() for rank, item in enumerate(items, start=1)]
    return pd.DataFrame(rows, columns=["user", "item", "rank"]).astype("int64")


def held_out_of(held_out):
    rows = [(user, item) for user, items in held_out.items() for item in items]
    return pd.DataFrame(rows, columns=["user", "item"]).astype("int64")


def one_user(recommended, held_out, k=10):
    """The metrics of a single user, as a dict."""
    frame = metrics.per_user(topk_of({1: recommended}), held_out_of({1: held_out}), k)
    assert len(frame) == 1
    return frame.drop(columns="user").iloc[0].to_dict()


def log2(place):
    return math.log2(place + 1)


# -- worked out by hand -----------------------------------------------------------------------


def test_three_held_out_and_two_found():
    found = one_user([50, 11, 51, 12, 52, 53, 54, 55, 56, 57], [11, 12, 13])
    assert found == pytest.approx(
        {
            "recall@10": 2 / 3,
            "recall_plain@10": 2 / 3,
            "ndcg@10": (1 / log2(2) + 1 / log2(4)) / (1 / log2(1) + 1 / log2(2) + 1 / log2(3)),
            "mrr@10": 1 / 2,
            "map@10": (1 / 2 + 2 / 4) / 3,
            "precision@10": 2 / 10,
            "hit@10": 1.0,
        }
    )


def test_more_held_out_than_places():
    """12 rows held out and 5 of 10 places right: recall divides by 10, recall_plain by 12."""
    found = one_user([1, 2, 3, 4, 5, 90, 91, 92, 93, 94], list(range(1, 13)))
    assert found["recall@10"] == pytest.approx(5 / 10)
    assert found["recall_plain@10"] == pytest.approx(5 / 12)
    assert found["map@10"] == pytest.approx(5 / 10)
    ideal = sum(1 / log2(place) for place in range(1, 11))
    assert found["ndcg@10"] == pytest.approx(sum(1 / log2(place) for place in range(1, 6)) / ideal)


def test_everything_found_scores_one():
    found = one_user(list(range(1, 11)), list(range(1, 15)))
    assert found.pop("recall_plain@10") == pytest.approx(10 / 14)
    assert list(found.values()) == pytest.approx([1.0] * 6)


def test_fewer_recommendations_than_places_are_divided_by_the_places():
    found = one_user([7], [7, 8])
    assert found["precision@10"] == pytest.approx(1 / 10)
    assert found["recall@10"] == pytest.approx(1 / 2)
    assert found["map@10"] == pytest.approx(1 / 2)
    assert found["mrr@10"] == 1.0


def test_a_movie_recommended_twice_counts_once_at_its_first_place():
    twice = one_user([50, 11, 11, 51, 11], [11, 12])
    once = one_user([50, 11, 52, 51, 53], [11, 12])
    assert twice == once
    assert twice["recall@10"] == pytest.approx(1 / 2)


def test_a_held_out_row_given_twice_counts_once():
    assert one_user([11, 50], [11, 11, 12]) == one_user([11, 50], [11, 12])


def test_a_hit_beyond_the_tenth_place_is_none():
    found = one_user([*range(50, 60), 11], [11])
    assert list(found.values()) == [0.0] * 7


def test_another_k_names_its_columns():
    found = one_user([50, 11, 12], [11, 12, 13], k=2)
    assert list(found) == [name.replace("@10", "@2") for name in METRICS]
    assert found["recall@2"] == pytest.approx(1 / 2)
    assert found["recall_plain@2"] == pytest.approx(1 / 3)
    assert found["precision@2"] == pytest.approx(1 / 2)
    assert found["ndcg@2"] == pytest.approx((1 / log2(2)) / (1 / log2(1) + 1 / log2(2)))


def test_missing_users_score_zero_and_users_without_held_out_rows_are_not_in_the_mean():
    topk = topk_of({1: [10, 11], 3: [10, 12]})  # 3 has nothing held out; 2 and 9 have no recommendation
    held_out = held_out_of({9: [10], 1: [10, 20], 2: [11]})
    frame = metrics.per_user(topk, held_out)
    assert frame.columns.tolist() == ["user", *METRICS]
    assert frame["user"].tolist() == [1, 2, 9]
    assert frame["recall@10"].tolist() == [0.5, 0.0, 0.0]
    assert (frame.dtypes[list(METRICS)] == np.float64).all()
    summary = metrics.summarize(frame, topk, n_items=6, seed=0)
    assert summary.metrics["recall@10"] == pytest.approx(0.5 / 3)
    assert (summary.users, summary.missing_users) == (3, 2)
    assert summary.metrics["coverage@10"] == pytest.approx(3 / 6)  # 10, 11 and, of user 3, 12


def test_the_order_of_rows_and_further_columns_do_not_matter():
    topk = topk_of({1: [10, 11, 12], 2: [13, 10]})
    held_out = held_out_of({1: [12, 30], 2: [13]})
    expected = metrics.per_user(topk, held_out)
    shuffled = topk.assign(score=0.5).iloc[[4, 1, 3, 0, 2]]
    pd.testing.assert_frame_equal(metrics.per_user(shuffled, held_out.iloc[::-1].assign(time=3)), expected)


def test_nothing_held_out_is_an_empty_table_and_no_mean():
    topk, nothing = topk_of({1: [10]}), held_out_of({})
    frame = metrics.per_user(topk, nothing)
    assert frame.empty and frame.columns.tolist() == ["user", *METRICS]
    with pytest.raises(DataError, match="no user has held-out rows.*min_rows"):
        metrics.summarize(frame, topk, n_items=5, seed=0)
    with pytest.raises(DataError, match="no user has held-out rows"):
        metrics.recall_at_k(np.array([[1]]), np.array([1]), csr_matrix((2, 3)))


def test_nothing_recommended_scores_zero():
    frame = metrics.per_user(topk_of({}), held_out_of({1: [10], 2: [11]}))
    assert (frame[list(METRICS)] == 0).all(axis=None)
    summary = metrics.summarize(frame, topk_of({}), n_items=5, seed=0)
    assert (summary.missing_users, summary.metrics["coverage@10"], summary.metrics["ci_high"]) == (2, 0.0, 0.0)


def test_ranks_that_are_no_ranks_are_refused():
    held_out = held_out_of({5: [10]})
    with pytest.raises(DataError, match="rank 0; expected ranks from 1"):
        metrics.per_user(topk_of({5: [10]}).assign(rank=0), held_out)
    with pytest.raises(DataError, match="user 5 has 2 movies at rank 3; expected one a rank"):
        metrics.per_user(topk_of({5: [10, 11]}).assign(rank=3), held_out)


def test_the_summary_has_the_columns_of_the_board():
    topk = topk_of({1: [10, 11]})
    summary = metrics.summarize(metrics.per_user(topk, held_out_of({1: [10]})), topk, n_items=5, seed=0)
    assert (summary.users, summary.missing_users) == (1, 0)
    expected = {*METRICS, "coverage@10", "ci_low", "ci_high"}
    assert set(summary.metrics) == expected <= set(BOARD_COLUMNS)


def test_coverage_reads_the_first_ten_ranks_only():
    topk = topk_of({1: list(range(100, 115)), 2: list(range(100, 103))})
    frame = metrics.per_user(topk, held_out_of({1: [100]}))
    assert metrics.summarize(frame, topk, n_items=20, seed=0).metrics["coverage@10"] == pytest.approx(10 / 20)


# -- the array path ---------------------------------------------------------------------------


def test_hits_marks_each_held_out_movie_once_and_never_the_padding():
    held_out = csr_matrix((np.ones(3), ([1, 1, 2], [4, 2, 3])), shape=(3, 6))
    found = metrics.hits(np.array([[3, 0, 0], [4, 4, 2]]), np.array([2, 1]), held_out)
    assert found.tolist() == [[True, False, False], [True, False, True]]


@st.composite
def rankings(draw):
    """(recommended int [U, 12] of distinct items or 0, held-out bool [U + 2, 26]) for items 1 to 25."""
    n_users = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    recommended = np.array([rng.permutation(25)[:12] + 1 for _ in range(n_users)])
    recommended[np.arange(12) >= rng.integers(0, 13, n_users)[:, None]] = 0
    held_out = rng.random((n_users + 2, 26)) < draw(st.sampled_from([0.05, 0.3, 0.9]))
    held_out[0] = held_out[:, 0] = False
    held_out[1, 5] = True
    return recommended, held_out


def tables(recommended, held_out):
    """The same as long tables; row r of ``recommended`` is user r + 1."""
    row, column = np.nonzero(recommended)
    topk = pd.DataFrame({"user": row + 1, "item": recommended[row, column], "rank": column + 1})
    users, items = np.nonzero(held_out)
    return topk, pd.DataFrame({"user": users, "item": items})


@settings(deadline=None, max_examples=150)
@given(ranking=rankings(), k=st.sampled_from([1, 5, 10, 12]))
def test_recall_at_k_is_the_mean_of_per_user(ranking, k):
    recommended, held_out = ranking
    frame = metrics.per_user(*tables(recommended, held_out), k)
    user_ix = np.arange(1, len(recommended) + 1)
    fast = metrics.recall_at_k(recommended, user_ix, csr_matrix(held_out), k)
    assert fast == pytest.approx(frame[f"recall@{k}"].mean(), abs=1e-12)


# -- against RecBole and scikit-learn ---------------------------------------------------------

RECBOLE = {
    "recall_plain@10": "Recall",
    "ndcg@10": "NDCG",
    "mrr@10": "MRR",
    "map@10": "MAP",
    "precision@10": "Precision",
    "hit@10": "Hit",
}


@settings(deadline=None, max_examples=60)
@given(ranking=rankings())
def test_every_metric_equals_recboles(ranking):
    recboles = pytest.importorskip("recbole.evaluator.metrics")
    recommended, held_out = ranking
    frame = metrics.per_user(*tables(recommended, held_out)).set_index("user")
    users = np.nonzero(held_out[1 : len(recommended) + 1].any(axis=1))[0] + 1
    pos_index = held_out[users[:, None], recommended[users - 1, :10]]
    pos_len = held_out[users].sum(axis=1)
    for name, recbole in RECBOLE.items():
        metric = getattr(recboles, recbole)({"topk": [10], "metric_decimal_place": 4})
        arguments = (pos_index,) if recbole in ("Hit", "MRR", "Precision") else (pos_index, pos_len)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np, "float", float, raising=False)  # RecBole's code predates NumPy 1.24
            expected = metric.metric_info(*arguments)[:, 9]
        np.testing.assert_allclose(frame.loc[users, name], expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(ranking=rankings())
def test_ndcg_precision_and_recall_equal_scikit_learns(ranking):
    sklearns = pytest.importorskip("sklearn.metrics")
    recommended, held_out = ranking
    frame = metrics.per_user(*tables(recommended, held_out)).set_index("user")
    for user, items in enumerate(recommended[:, :10], start=1):
        if not held_out[user].any() or not items.all():
            continue
        chosen = np.isin(np.arange(26), items)
        scores = np.zeros(26)
        scores[items] = np.arange(10, 0, -1)
        expected = (
            sklearns.ndcg_score([held_out[user]], [scores], k=10),
            sklearns.precision_score(held_out[user], chosen),
            sklearns.recall_score(held_out[user], chosen),
        )
        found = frame.loc[user, ["ndcg@10", "precision@10", "recall_plain@10"]]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_map_equals_scikit_learns_where_ten_places_hold_every_movie():
    sklearns = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    for _ in range(50):
        items, held_out = rng.permutation(10) + 1, rng.permutation(10)[: rng.integers(1, 11)] + 1
        wanted = np.isin(items, held_out)
        expected = sklearns.average_precision_score(wanted, np.arange(10, 0, -1))
        assert one_user(items.tolist(), held_out.tolist())["map@10"] == pytest.approx(expected)


# -- the interval -----------------------------------------------------------------------------


def test_the_interval_is_that_of_drawing_users():
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 0.1, 0.25, 1.0], p=[0.6, 0.2, 0.15, 0.05], size=400)
    low, high = statistics.bootstrap_interval(values, seed=1, samples=20_000)
    drawn = values[rng.integers(0, 400, size=(20_000, 400))].mean(axis=1)
    width = high - low
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.03 * width)
    assert width == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.03)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(400):
        low, high = statistics.bootstrap_interval(rng.binomial(5, 0.3, 200) / 5, seed, level=0.9, samples=500)
        covered += low <= 0.3 <= high
    assert stats.binomtest(covered, 400, 0.9).pvalue > 1e-3


def test_the_interval_is_the_same_twice_and_narrower_at_a_lower_level():
    values = np.random.default_rng(2).random(50)
    low, high = statistics.bootstrap_interval(values, seed=4)
    assert (low, high) == statistics.bootstrap_interval(values, seed=4)
    assert (low, high) != statistics.bootstrap_interval(values, seed=5)
    inner = statistics.bootstrap_interval(values, seed=4, level=0.5)
    assert low < inner[0] < values.mean() < inner[1] < high


def test_blocks_of_draws_leave_the_interval_as_it_is(monkeypatch):
    values = np.random.default_rng(2).random(50)
    whole = statistics.bootstrap_interval(values, seed=4, samples=333)
    monkeypatch.setattr(statistics, "_CELLS_A_BLOCK", 50 * 100)
    assert statistics.bootstrap_interval(values, seed=4, samples=333) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_users_who_all_score_the_same_give_a_point(value):
    assert statistics.bootstrap_interval(np.full(9, value), seed=0) == pytest.approx((value, value))


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(DataError, match="no user has held-out rows"):
        statistics.bootstrap_interval(np.zeros(0), seed=0)


# -- the tests between models -----------------------------------------------------------------


def scored(values, users=None):
    return pd.DataFrame({"user": np.arange(len(values)) if users is None else users, "recall@10": values})


def test_paired_tests_are_the_paired_t_test():
    rng = np.random.default_rng(0)
    best = rng.binomial(10, 0.4, 300) / 10
    near = np.clip(best + rng.choice([-0.1, 0, 0.1], 300), 0, 1)
    far = best * 0.5
    models = {"Near": scored(near), "Best": scored(best), "Far": scored(far)}
    tests = statistics.paired_tests(models, "Best")
    assert tests.columns.tolist() == ["model", "difference", "p_value"]
    assert tests["model"].tolist() == ["Near", "Far"]
    np.testing.assert_allclose(tests["difference"], [near.mean() - best.mean(), far.mean() - best.mean()])
    expected = [stats.ttest_rel(values, best).pvalue for values in (near, far)]
    np.testing.assert_allclose(tests["p_value"], expected)


def test_the_paired_t_test_agrees_with_flipping_signs():
    rng = np.random.default_rng(1)
    difference = rng.choice([-0.2, -0.1, 0, 0.1, 0.2], p=[0.1, 0.15, 0.45, 0.18, 0.12], size=500)
    tests = statistics.paired_tests({"A": scored(difference), "B": scored(np.zeros(500))}, "B")
    flips = rng.choice([-1, 1], size=(20_000, 500)) @ difference
    expected = (np.abs(flips) >= abs(difference.sum()) - 1e-9).mean()
    assert 0.02 < expected < 0.98
    assert tests["p_value"][0] == pytest.approx(expected, abs=0.02)


def test_users_are_paired_by_their_id_and_not_by_their_row():
    best, other = np.array([0.1, 0.5, 0.3, 0.9]), np.array([0.1, 0.4, 0.3, 0.7])
    shuffled = scored(other[[2, 0, 3, 1]], users=[2, 0, 3, 1])
    tests = statistics.paired_tests({"A": scored(best), "B": shuffled}, "A")
    assert tests["difference"][0] == pytest.approx(-0.075)
    assert tests["p_value"][0] == pytest.approx(stats.ttest_rel(other, best).pvalue)


@pytest.mark.parametrize("values, p_value", [([0.5, 0.25, 0.125], 1.0), ([0.75, 0.5, 0.375], 0.0), ([0.75], 1.0)])
def test_differences_without_spread(values, p_value):
    reference = np.array([0.5, 0.25, 0.125][: len(values)])
    tests = statistics.paired_tests({"A": scored(np.array(values)), "B": scored(reference)}, "B")
    assert tests["p_value"].tolist() == [p_value]


def test_models_scored_on_other_users_cannot_be_compared():
    best = scored(np.array([0.1, 0.2]))
    for users in ([0, 7], [0, 1, 2]):
        other = scored(np.zeros(len(users)), users=users)
        with pytest.raises(DataError, match="B was scored on .* users and A on 2, not all the same"):
            statistics.paired_tests({"A": best, "B": other}, "A")


def test_a_reference_without_scores_is_refused():
    with pytest.raises(DataError, match="no scores of 'C'; expected one of A"):
        statistics.paired_tests({"A": scored(np.array([0.1]))}, "C")


def test_a_reference_alone_is_an_empty_table():
    tests = statistics.paired_tests({"A": scored(np.array([0.1, 0.2]))}, "A")
    assert tests.empty and tests.columns.tolist() == ["model", "difference", "p_value"]
