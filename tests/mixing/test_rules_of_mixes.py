"""Mixing rules: cases worked out by hand, exact fractions, and others' implementations of the same formulas."""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import zscore
from sklearn.preprocessing import minmax_scale

from movierec_bench.errors import ConfigError, DataError
from movierec_bench.mixing import rules as mixing
from movierec_bench.mixing.rules import RULES, SCORE_RULES, Rule, concatenate, hits_with, mix, points

RANK_RULES = tuple(name for name in RULES if name not in SCORE_RULES)


def rankings(*members: list[list[int]], k: int = 0) -> np.ndarray:
    """int32 [M, U, K] from a list of lists for each member, padded with 0."""
    k = k or max(len(listed) for member in members for listed in member)
    padded = [[listed + [0] * (k - len(listed)) for listed in member] for member in members]
    return np.array(padded, dtype=np.int32)


def top(rule: Rule, items: np.ndarray, weights: list[float], scores: np.ndarray | None = None, k: int = 5) -> list[int]:
    """The mix of the only user, without padding."""
    best, _ = mix(rule, items, np.array(weights), scores, k)
    return [item for item in best[0].tolist() if item]


# -- by hand ------------------------------------------------------------------------------------


def test_vote_counts_and_breaks_ties_by_the_best_rank_and_then_the_movie() -> None:
    items = rankings([[7, 3, 5]], [[3, 9, 5]], [[5, 8, 2]])
    # votes: 5 three, 3 two; with one vote each: 7 (rank 1), 8 and 9 (rank 2), 2 (rank 3)
    best, totals = mix(Rule.of("vote"), items, np.ones(3), k=6)
    assert best.tolist() == [[5, 3, 7, 8, 9, 2]]
    assert totals.tolist() == [[3, 2, 1, 1, 1, 1]]


def test_vote_counts_only_the_first_ranks() -> None:
    items = rankings([[1, 2, 3]], [[4, 5, 3]])
    assert top(Rule.of("vote", 2), items, [1, 1]) == [1, 4, 2, 5]
    assert top(Rule.of("vote", 3), items, [1, 1]) == [3, 1, 4, 2, 5]


def test_weighted_vote() -> None:
    # t3-07's 5:3:3:4: two of three small members outvote the large one, one does not
    items = rankings([[1]], [[2]], [[2]], [[3]])
    assert mix(Rule.of("vote"), items, np.array([5, 3, 3, 4]), k=3)[1].tolist() == [[6, 5, 4]]
    assert top(Rule.of("vote"), items, [5, 3, 3, 4]) == [2, 1, 3]


def test_linear() -> None:
    items = rankings([[1, 2, 3, 4]], [[4, 3, 2, 1]])
    best, totals = mix(Rule.of("linear", 4), items, np.array([1, 2]), k=4)
    # member 1: 3/4 2/4 1/4 0; member 2, twice: 6/4 4/4 2/4 0
    assert best.tolist() == [[4, 3, 2, 1]]
    assert totals.tolist() == [[6 / 4, 5 / 4, 4 / 4, 3 / 4]]


def test_linear_ties_that_floats_would_break() -> None:
    # over the top 20 (ranks 1 and 3 against 2 and 2): 0.95 + 0.85 is not 0.9 + 0.9 in floats
    items = rankings([[8, 2, 5]], [[5, 2, 8]])
    assert top(Rule.of("linear", 20), items, [1, 1]) == [2, 5, 8]


def test_tail_weighs_ranks_behind_ten_with_three_tenths() -> None:
    first, second = list(range(1, 16)), [*range(101, 111), 1]
    best, totals = mix(Rule.of("tail"), rankings([first], [second]), np.ones(2), k=30)
    by_movie = dict(zip(best[0].tolist(), totals[0].tolist()))
    assert by_movie[1] == pytest.approx(1.3)
    assert by_movie[2] == by_movie[10] == by_movie[101] == 1
    assert by_movie[11] == by_movie[15] == pytest.approx(0.3)
    assert best[0, 0] == 1


def test_log2_and_reciprocal_rank_fusion() -> None:
    items = rankings([[1, 2]], [[2, 3]])
    _, totals = mix(Rule.of("log2"), items, np.ones(2), k=3)
    assert totals[0] == pytest.approx([1 / math.log2(3) + 1, 1, 1 / math.log2(3)])
    _, totals = mix(Rule.of("rrf", rrf_k=10), items, np.ones(2), k=3)
    assert totals[0] == pytest.approx([1 / 12 + 1 / 11, 1 / 11, 1 / 12])


def test_minmax_lets_a_sure_model_speak_louder() -> None:
    items = rankings([[1, 2, 3]], [[2, 3, 1]])
    scores = np.array([[[10, 1, 0]], [[3, 2, 1]]], dtype=np.float32)
    # member 1: 1, 0.1, 0; member 2: 2 gets 1, 3 gets 0.5, 1 gets 0
    best, totals = mix(Rule.of("minmax"), items, np.ones(2), scores, k=3)
    assert best.tolist() == [[2, 1, 3]]
    assert totals[0] == pytest.approx([1.1, 1.0, 0.5])


def test_a_movie_that_is_not_listed_counts_like_the_last_one_listed() -> None:
    items = rankings([[1, 2, 3]], [[2, 3, 4]])
    scores = np.array([[[3, 2, 1]], [[3, 2, 1]]], dtype=np.float32)
    for rule in SCORE_RULES:
        _, totals = mix(Rule.of(rule), items, np.array([1, 0]), scores, k=3)
        assert totals[0, 2] == 0


def test_equal_scores_say_nothing() -> None:
    items, scores = rankings([[4, 2, 9]]), np.full((1, 1, 3), 7, dtype=np.float32)
    for rule in SCORE_RULES:
        best, totals = mix(Rule.of(rule), items, np.ones(1), scores, k=3)
        assert best.tolist() == [[2, 4, 9]]
        assert totals.tolist() == [[0, 0, 0]]


def test_movies_that_a_filter_let_in_to_fill_up_do_not_overtake() -> None:
    items = rankings([[1, 2, 3, 4]])
    scores = np.array([[[5, 4, 9, 8]]], dtype=np.float32)  # 3 and 4 stand below all allowed movies
    for rule in SCORE_RULES:
        assert top(Rule.of(rule), items, [1], scores) == [1, 2, 3, 4]


def test_members_of_weight_zero_offer_no_candidates() -> None:
    items = rankings([[1, 2]], [[3, 4]])
    assert top(Rule.of("rrf"), items, [1, 0]) == [1, 2]


def test_a_weight_for_each_user() -> None:
    items = rankings([[1], [1]], [[2], [2]])
    best, _ = mix(Rule.of("rrf"), items, np.array([[1, 0], [0, 1]]), k=1)
    assert best.tolist() == [[1], [2]]


def test_users_without_rankings_stay_empty() -> None:
    best, totals = mix(Rule.of("rrf"), rankings([[1, 2], []], [[2, 1], []]), np.ones(2), k=3)
    assert best.tolist() == [[1, 2, 0], [0, 0, 0]]
    assert np.isnan(totals).tolist() == [[False, False, True], [True, True, True]]


def test_concatenate_five_and_five() -> None:
    items = rankings([list(range(1, 11))], [[3, 11, 4, 12, 13, 14, 15, 16, 17, 18]])
    best = concatenate(items, np.array([0, 1]), np.array([5, 100]), k=10)
    assert best.tolist() == [[1, 2, 3, 4, 5, 11, 12, 13, 14, 15]]


def test_concatenate_three_and_then_without_limit() -> None:
    items = rankings([[1, 2, 3, 9]], [[1, 4, 5]], [[6, 1]])
    best = concatenate(items, np.array([0, 1, 2]), np.array([2, 1, 1]), k=9)
    assert best.tolist() == [[1, 2, 4, 6, 3, 9, 5, 0, 0]]


def test_each_user_has_an_order_of_its_own() -> None:
    items = rankings([[1, 2], [1, 2], []], [[3], [3], [4]])
    order = np.array([[0, 1, 0], [1, 0, 1]])
    assert concatenate(items, order, np.array([9, 9]), k=3).tolist() == [[1, 2, 3], [3, 1, 2], [4, 0, 0]]


# -- against exact fractions and others' formulas -------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """(items [M, U, K] of 12 movies, whole weights [M], one above 0)."""
    n_members, n_users, k = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    listed = st.lists(st.integers(1, 12), max_size=k, unique=True)
    members = draw(
        st.lists(st.lists(listed, min_size=n_users, max_size=n_users), min_size=n_members, max_size=n_members)
    )
    weights = draw(st.lists(st.integers(0, 5), min_size=n_members, max_size=n_members).filter(any))
    return rankings(*members, k=k), np.array(weights)


def exact_points(rule: Rule, rank: int) -> Fraction:
    return {
        "vote": Fraction(1),
        "linear": Fraction(rule.depth - rank, rule.depth),
        "tail": Fraction(1) if rank <= 10 else Fraction(3, 10),
        "rrf": 1 / (Fraction(rule.rrf_k) + rank),
    }[rule.name]


def exact_totals(rule: Rule, items: np.ndarray, weights: np.ndarray, user: int) -> dict[int, tuple[Fraction, int]]:
    """For each movie listed by a member with weight its (total, best rank)."""
    found: dict[int, tuple[Fraction, int]] = {}
    for listed, weight in zip(items[:, user], weights.tolist()):
        for rank, item in enumerate(listed[: rule.depth].tolist(), start=1):
            if item and weight:
                total, best = found.get(item, (Fraction(0), rank))
                found[item] = (total + weight * exact_points(rule, rank), min(best, rank))
    return found


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([Rule("vote", 3), Rule("linear", 5), Rule("linear", 20), Rule("tail", 15)]))
def test_order_and_totals_are_those_of_exact_fractions(case: tuple[np.ndarray, np.ndarray], rule: Rule) -> None:
    items, weights = case
    best, totals = mix(rule, items, weights, k=12)
    for user in range(items.shape[1]):
        exact = exact_totals(rule, items, weights, user)
        keys = [(-total, rank if rule.name == "vote" else 0, item) for item, (total, rank) in exact.items()]
        expected = [item for _, _, item in sorted(keys)]
        assert [item for item in best[user].tolist() if item] == expected
        assert totals[user, : len(expected)] == pytest.approx([float(exact[item][0]) for item in expected])


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([10.0, 60.0]))
def test_reciprocal_rank_fusion_agrees_with_exact_fractions(case: tuple[np.ndarray, np.ndarray], rrf_k: float) -> None:
    items, weights = case
    rule = Rule.of("rrf", rrf_k=rrf_k)
    best, totals = mix(rule, items, weights, k=12)
    for user in range(items.shape[1]):
        exact = exact_totals(rule, items, weights, user)
        listed = [item for item in best[user].tolist() if item]
        assert sorted(listed) == sorted(exact)
        values = [float(exact[item][0]) for item in listed]
        assert totals[user, : len(listed)] == pytest.approx(values, abs=1e-7)
        assert all(before >= after - 1e-8 for before, after in zip(values, values[1:]))


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(RANK_RULES), st.randoms(use_true_random=False))
def test_the_order_of_the_members_changes_nothing(case, name, random) -> None:  # type: ignore[no-untyped-def]
    items, weights = case
    order = list(range(len(weights)))
    random.shuffle(order)
    for found, expected in zip(mix(Rule.of(name), items[order], weights[order]), mix(Rule.of(name), items, weights)):
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-10_000, 10_000).map(lambda n: n / 8), min_size=2, max_size=8, unique=True))
def test_score_rules_are_scipy_s_and_scikit_learn_s_formulas_less_the_lowest(values: list[float]) -> None:
    scores = np.sort(np.array(values, dtype=np.float32))[::-1]
    items = np.arange(1, len(scores) + 1, dtype=np.int32)[None, None]
    standard = zscore(scores.astype(np.float64))
    given = scores[None, None]
    np.testing.assert_allclose(points(Rule.of("zscore"), items, given)[0, 0], standard - standard.min(), atol=1e-3)
    scaled = minmax_scale(scores.astype(np.float64))
    np.testing.assert_allclose(points(Rule.of("minmax"), items, given)[0, 0], scaled, atol=1e-3)


def random_rankings(n_members: int, n_users: int, k: int, n_items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    order = rng.random((n_members, n_users, n_items)).argsort(axis=2)[:, :, :k] + 1
    scores = -np.sort(-rng.normal(size=order.shape), axis=2)
    return order.astype(np.int32), scores.astype(np.float32)


@pytest.mark.parametrize("name", RULES)
def test_neither_blocks_nor_threads_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items, scores = random_rankings(4, 50, 20, 60)
    rule, weights = Rule.of(name), np.array([3, 1, 2, 0.5])
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        expected = mix(rule, items, weights, scores)
        numba.set_num_threads(threads)
        monkeypatch.setattr(mixing, "_USERS_A_THREAD", 1)
        monkeypatch.setattr(mixing, "_BYTES_A_BLOCK", 4 * 4 * 20 * 7)  # seven users a block
        for found, value in zip(mix(rule, items, weights, scores), expected):
            np.testing.assert_array_equal(found, value)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("weights", [(2, 0, 1), (0, 0, 0)])
def test_hits_of_a_change_are_those_of_the_changed_mix(name: str, weights: tuple[int, ...]) -> None:
    items, scores = random_rankings(3, 40, 15, 30)
    rng = np.random.default_rng(1)
    held = [rng.choice(30, size=rng.integers(1, 8), replace=False) + 1 for _ in range(40)]
    held_start = np.concatenate([[0], np.cumsum([len(movies) for movies in held])])
    rule = Rule.of(name)
    changes = [(member, extra) for member in range(3) for extra in (1, 3, 0)]
    found = hits_with(
        rule,
        items,
        points(rule, items, scores),
        np.array(weights),
        np.array([member for member, _ in changes]),
        np.array([extra for _, extra in changes]),
        held_start,
        np.concatenate(held).astype(np.int32),
        k=5,
    )
    for (member, extra), hits in zip(changes, found):
        changed = np.array(weights)
        changed[member] += extra
        best = mix(rule, items, changed, scores, k=5)[0] if changed.any() else np.zeros((40, 5), dtype=np.int32)
        assert hits.tolist() == [len(set(best[user].tolist()) & set(held[user].tolist())) for user in range(40)]


def test_inputs_stay_as_they_were() -> None:
    items, scores = random_rankings(3, 10, 8, 20)
    before = items.copy(), scores.copy()
    for name in RULES:
        mix(Rule.of(name), items, np.ones(3), scores)
    concatenate(items, np.arange(3), np.array([2, 2, 2]))
    np.testing.assert_array_equal(items, before[0])
    np.testing.assert_array_equal(scores, before[1])


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (("borda", 10), "expected one of vote"),
        (("linear", 0), "expected 1 to 100"),
        (("linear", 101), "expected 1 to 100"),
        (("tail", 10), "more than 10 ranks"),
        (("rrf", 100, -1), "from 0"),
        (("rrf", 100, math.nan), "from 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings_: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=message):
        Rule(*settings_)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2, 3], "each of 2 models"),
        ([1, -1], "from 0 to 1000"),
        ([1, math.nan], "from 0 to 1000"),
        ([1, 1001], "from 0 to 1000"),
        ([0, 0], "every weight is 0"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix(Rule.of("rrf"), rankings([[1]], [[2]]), np.array(weights))


def test_score_rules_refuse_missing_and_infinite_scores() -> None:
    items = rankings([[1, 2]])
    with pytest.raises(ConfigError, match="reads the models' scores"):
        mix(Rule.of("zscore"), items, np.ones(1))
    with pytest.raises(DataError, match="not finite"):
        mix(Rule.of("zscore"), items, np.ones(1), np.array([[[np.inf, 1]]], dtype=np.float32))
