"""Top-K against a plain reference: masks, ties, what cannot rank, filters, blocks, refusals."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numba
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from support.reference_rankings import assert_equal_to_reference, seen_matrix

from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ModelError
from movierec_bench.ranking.factored_scores import Products
from movierec_bench.ranking.top_k import Candidates, TopK, _sorted_best, top_k, topk_frame

NAN, INF = float("nan"), float("inf")


def keys(at_least, dropped=None):
    """Candidates of 5 users and 39 movies, all but one that a filter may drop."""
    item_key = np.zeros(40, dtype=np.float32)
    if dropped is not None:
        item_key[dropped] = INF
    return Candidates(item_key, np.zeros(6, dtype=np.float32), at_least)


@pytest.fixture(autouse=True)
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def block_of(scores):
    """``score_block`` for scores [n_users, n_item_ix] whose first row is user_ix 1."""
    return lambda user_ix: scores[user_ix - 1]


@st.composite
def rankings(draw):
    """(scores, seen, k, allowed or None), full of ties, zeros of both signs, NaN and infinities."""
    n_users, n_item_ix = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    values = st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.5, -3.0, 1e-45, 3.4e38, NAN, -INF, INF])
    if draw(st.booleans()):
        values = st.floats(width=32)
    cells = st.lists(values, min_size=n_users * n_item_ix, max_size=n_users * n_item_ix)
    scores = np.array(draw(cells), dtype=np.float32).reshape(n_users, n_item_ix)
    every_pair = st.tuples(st.integers(1, n_users), st.integers(0, n_item_ix - 1))
    pairs = sorted(draw(st.sets(every_pair, max_size=2 * n_item_ix)))
    if draw(st.booleans()):
        pairs = sorted({*pairs, *((1, item) for item in range(n_item_ix))})  # user 1 has seen everything
    allowed = None
    if draw(st.booleans()):
        keys = st.sampled_from([-INF, 1990.0, 2000.0, 2010.0, INF])
        allowed = Candidates(
            item_key=np.array(draw(st.lists(keys, min_size=n_item_ix, max_size=n_item_ix)), dtype=np.float32),
            user_key=np.full(n_users + 1, draw(st.sampled_from([1980.0, 1995.0, 2020.0])), dtype=np.float32),
            at_least=draw(st.sampled_from([0, 3, 10])),
        )
    return scores, seen_matrix(n_users + 1, n_item_ix, pairs), draw(st.integers(1, 45)), allowed


@settings(deadline=None, max_examples=150)
@given(ranking=rankings(), block_rows=st.integers(1, 4))
def test_top_k_is_what_sorting_everything_gives(ranking, block_rows):
    scores, seen, k, allowed = ranking
    before = scores.copy()
    users = np.arange(1, len(scores) + 1)
    block_bytes = block_rows * scores.shape[1] * 4
    topk = top_k(block_of(scores), users, seen, k, block_bytes=block_bytes, allowed=allowed)
    assert_equal_to_reference(topk, scores, seen, k, allowed)
    np.testing.assert_array_equal(scores, before)
    assert (topk.item_ix.dtype, topk.scores.dtype, topk.user_ix.dtype) == (np.int32, np.float32, np.int64)


@settings(deadline=None, max_examples=150)
@given(ranking=rankings())
def test_the_path_for_other_devices_gives_the_same(ranking):
    scores, seen, k, allowed = ranking
    before = scores.copy()
    users = np.arange(1, len(scores) + 1)
    if allowed is None:
        allowed = Candidates(np.zeros(seen.shape[1], np.float32), np.zeros(seen.shape[0], np.float32))
    items, values = _sorted_best(torch.from_numpy(scores), users, seen, allowed, k)
    assert_equal_to_reference(TopK(users, items, values), scores, seen, k, allowed)
    np.testing.assert_array_equal(scores, before)
    assert (items.dtype, values.dtype) == (np.int32, np.float32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_device_gives_the_same():
    scores, seen = large_case("few values")
    on_device = torch.from_numpy(scores).cuda()
    users = np.arange(1, len(scores) + 1)
    topk = top_k(lambda user_ix: on_device[torch.from_numpy(user_ix - 1).cuda()], users, seen, 100)
    assert_equal_to_reference(topk, scores, seen, 100)


def large_case(kind, n_users=12, n_item_ix=3000):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n_users, n_item_ix)).astype(np.float32)
    if kind == "ascending":
        scores.sort(axis=1)
    elif kind == "descending":
        scores = -np.sort(-scores, axis=1)
    elif kind == "few values":
        scores = np.round(scores)
    elif kind == "mostly nothing":
        scores[:, rng.permutation(n_item_ix)[60:]] = -np.inf
    seen = csr_matrix(rng.random((n_users + 1, n_item_ix)) < 0.1)
    return scores, seen


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("kind", ["random", "ascending", "descending", "few values", "mostly nothing"])
def test_long_rows_in_every_order(kind, k):
    scores, seen = large_case(kind)
    topk = top_k(block_of(scores), np.arange(1, len(scores) + 1), seen, k)
    assert_equal_to_reference(topk, scores, seen, k)


# -- worked out by hand -----------------------------------------------------------------------


def test_ties_go_to_the_smaller_item_and_what_cannot_rank_does_not():
    scores = np.array([[9, 1, 2, NAN, 2, -INF, 3, 2]], dtype=np.float32)
    topk = top_k(block_of(scores), np.array([1]), seen_matrix(2, 8, [(1, 4)]), 6)
    assert topk.item_ix.tolist() == [[6, 2, 7, 1, 0, 0]]
    np.testing.assert_array_equal(topk.scores, np.array([[3, 2, 2, 1, NAN, NAN]], dtype=np.float32))


def test_a_filter_drops_movies_and_fills_up_below_the_allowed_ones():
    scores = np.array([[0, 1, 5, 2, 4, 3]], dtype=np.float32)
    years = np.array([0, 1990, 2010, -INF, 2009, INF], dtype=np.float32)
    allowed = Candidates(years, np.array([0, 2000], dtype=np.float32), at_least=3)
    topk = top_k(block_of(scores), np.array([1]), seen_matrix(2, 6, []), 5, allowed=allowed)
    assert topk.item_ix.tolist() == [[3, 1, 2, 0, 0]]
    np.testing.assert_array_equal(topk.scores, np.array([[2, 1, 5, NAN, NAN]], dtype=np.float32))


def test_a_filter_that_leaves_enough_lets_nothing_else_in():
    scores = np.arange(31, dtype=np.float32)[None]
    keys = np.where(np.arange(31) <= 12, 0, INF).astype(np.float32)
    allowed = Candidates(keys, np.zeros(2, dtype=np.float32))
    topk = top_k(block_of(scores), np.array([1]), seen_matrix(2, 31, []), 15, allowed=allowed)
    assert topk.item_ix.tolist() == [[*range(12, 0, -1), 0, 0, 0]]


@pytest.mark.parametrize("form", [lambda scores: scores, torch.from_numpy])
def test_of_listed_candidates_nothing_else_ranks_not_even_to_fill_up(form):
    rng = np.random.default_rng(0)
    scores = rng.choice([0.0, 1.0, 2.0, NAN], size=(5, 40)).astype(np.float32)  # full of ties
    listed = seen_matrix(6, 40, [(user, item) for user in range(1, 5) for item in rng.choice(40, 6, replace=False)])
    seen = seen_matrix(6, 40, [(1, listed[1].indices[0]), (2, 3)])
    found = top_k(block_of(form(scores)), np.arange(1, 6), seen, 10, allowed=replace(keys(at_least=10), listed=listed))
    for user, ranked in zip(range(1, 6), found.item_ix):
        may = {*listed[user].indices} - {*seen[user].indices} - {0}
        best = sorted(
            (i for i in may if scores[user - 1, i] == scores[user - 1, i]), key=lambda i: (-scores[user - 1, i], i)
        )
        assert ranked.tolist() == best + [0] * (10 - len(best))
    assert found.item_ix[4].tolist() == [0] * 10  # nobody listed anything for the fifth
    dropped = keys(at_least=3, dropped=int(found.item_ix[0, 0]))
    again = top_k(block_of(form(scores)), np.array([1]), seen, 10, allowed=replace(dropped, listed=listed))
    assert set(again.item_ix[0][again.item_ix[0] > 0]) < {*listed[1].indices}


def test_products_rank_listed_candidates_too():
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((4, 8)).astype(np.float32), rng.standard_normal((300, 8)).astype(np.float32)
    products = Products(lambda user_ix: torch.from_numpy(users[user_ix]), torch.from_numpy(items), torch.zeros(300))
    listed = seen_matrix(4, 300, [(user, item) for user in (1, 2, 3) for item in range(user, 300, 7)])
    allowed = replace(Candidates.every_movie(4, 300), listed=listed)
    found = top_k(products, np.arange(1, 4), seen_matrix(4, 300, []), 5, allowed=allowed)
    for user, ranked in zip((1, 2, 3), found.item_ix):
        may = listed[user].indices
        assert ranked.tolist() == may[np.argsort(-(items[may] @ users[user]), kind="stable")[:5]].tolist()


def test_a_list_of_another_shape_is_refused():
    with pytest.raises(ModelError, match=r"listed is \[3, 5\]; expected \[3, 4\]"):
        replace(Candidates.every_movie(3, 4), listed=seen_matrix(3, 5, []))


def test_a_user_who_has_seen_everything_gets_nothing_whatever_the_filter():
    scores = np.ones((1, 5), dtype=np.float32)
    seen = seen_matrix(2, 5, [(1, item) for item in range(1, 5)])
    allowed = Candidates(np.full(5, INF, np.float32), np.zeros(2, np.float32))
    for candidates in (None, allowed):
        topk = top_k(block_of(scores), np.array([1]), seen, 3, allowed=candidates)
        assert topk.item_ix.tolist() == [[0, 0, 0]] and np.isnan(topk.scores).all()


def test_users_keep_the_order_they_were_asked_for():
    scores = np.array([[0, 1, 2], [0, 2, 1]], dtype=np.float32)
    topk = top_k(block_of(scores), np.array([2, 1, 2], dtype=np.int32), seen_matrix(3, 3, []), 1)
    assert topk.user_ix.tolist() == [2, 1, 2]
    assert topk.item_ix.tolist() == [[1], [2], [1]]


def test_nobody_asked_for_is_an_empty_result():
    topk = top_k(block_of(np.zeros((1, 4), np.float32)), np.array([]), seen_matrix(2, 4, []), 3)
    assert topk.item_ix.shape == topk.scores.shape == (0, 3)


def test_seen_movies_may_come_in_any_order_and_are_left_as_they_were():
    seen = csr_matrix((np.ones(3), [3, 1, 2], [0, 0, 3]), shape=(2, 5))
    topk = top_k(block_of(np.ones((1, 5), dtype=np.float32)), np.array([1]), seen, 4)
    assert topk.item_ix.tolist() == [[4, 0, 0, 0]]
    assert seen.indices.tolist() == [3, 1, 2]


# -- blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda scores: scores,
        lambda scores: torch.from_numpy(scores),
        lambda scores: torch.from_numpy(scores).requires_grad_(),
        lambda scores: torch.from_numpy(np.ascontiguousarray(scores.T)).T,
        lambda scores: np.asfortranarray(scores),
    ],
)
def test_scores_come_as_tensors_or_arrays_in_any_layout(form):
    scores, seen = large_case("random", n_users=5, n_item_ix=50)
    topk = top_k(lambda user_ix: form(scores[user_ix - 1]), np.arange(1, 6), seen, 7)
    assert_equal_to_reference(topk, scores, seen, 7)


def test_one_row_of_scores_may_be_expanded_to_all_users():
    scores, seen = large_case("random", n_users=5, n_item_ix=50)
    popularity = torch.from_numpy(scores[0])
    topk = top_k(lambda user_ix: popularity.expand(len(user_ix), -1), np.arange(1, 6), seen, 7)
    assert_equal_to_reference(topk, np.tile(scores[0], (5, 1)), seen, 7)


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_seen_may_be_indexed_by_either_integer_type(index_type):
    scores, seen = large_case("random", n_users=5, n_item_ix=50)
    seen.indices, seen.indptr = seen.indices.astype(index_type), seen.indptr.astype(index_type)
    topk = top_k(block_of(scores), np.arange(1, 6), seen, 7)
    assert_equal_to_reference(topk, scores, seen, 7)


@pytest.mark.parametrize("block_bytes, sizes", [(4 * 50 * 3, [3, 3, 1]), (4 * 50 * 3 + 199, [3, 3, 1]), (1, [1] * 7)])
def test_blocks_keep_within_their_bytes_and_are_freed_before_the_next(block_bytes, sizes):
    scores, seen = large_case("random", n_users=7, n_item_ix=50)
    asked, blocks = [], []

    def score_block(user_ix):
        assert all(block() is None for block in blocks), "the block before is still in memory"
        asked.extend([user_ix])
        block = scores[user_ix - 1]
        blocks.append(weakref.ref(block))
        return block

    topk = top_k(score_block, np.arange(1, 8), seen, 7, block_bytes=block_bytes)
    assert [len(user_ix) for user_ix in asked] == sizes
    assert np.concatenate(asked).tolist() == list(range(1, 8))
    assert_equal_to_reference(topk, scores, seen, 7)


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scores, found",
    [
        (np.zeros((2, 5)), r"float64 \[2, 5\]"),
        (torch.zeros((2, 5), dtype=torch.float64), r"torch.float64 \[2, 5\]"),
        (torch.zeros((2, 5), dtype=torch.bfloat16), r"torch.bfloat16 \[2, 5\]"),
        (np.zeros((2, 4), np.float32), r"float32 \[2, 4\]"),
        (torch.zeros((1, 5)), r"torch.float32 \[1, 5\]"),
        (np.zeros(10, np.float32), r"float32 \[10\]"),
        ([[0.0] * 5] * 2, "list"),
    ],
)
def test_scores_of_another_form_are_refused(scores, found):
    with pytest.raises(ModelError, match=rf"{found}; expected float32 \[2, 5\].*full_sort_predict"):
        top_k(lambda user_ix: scores, np.array([1, 2]), seen_matrix(3, 5, []), 2)


@pytest.mark.parametrize(
    "user_ix, k, message",
    [
        ([0, 1], 2, "user_ix 0 is not a user; expected 1 to 2"),
        ([1, 3], 2, "user_ix 3 is not a user; expected 1 to 2"),
        ([1.0, 2.0], 2, r"user_ix is float64 \[2\]; expected integers"),
        ([[1, 2]], 2, r"user_ix is int64 \[1, 2\]; expected integers, 1-d"),
        ([1, 2], 0, "asked for 0 movies a user; expected at least 1"),
    ],
)
def test_users_and_k_out_of_range_are_refused(user_ix, k, message):
    with pytest.raises(ModelError, match=message):
        top_k(block_of(np.zeros((2, 5), np.float32)), np.array(user_ix), seen_matrix(3, 5, []), k)


ONES = np.ones(3, dtype=np.float32)


@pytest.mark.parametrize(
    "item_key, user_key, at_least, message",
    [
        (ONES.astype(np.float64), ONES, 10, r"item_key is float64 \[3\]; expected a float32 array"),
        (ONES, [1.0, 2.0], 10, "user_key is list; expected a float32 array"),
        (np.array([0, NAN], np.float32), ONES, 10, "item_key holds NaN; give a movie of unknown year the key -inf"),
        (ONES, np.array([0, INF], np.float32), 10, "user_key holds NaN or infinity"),
        (ONES, ONES, -1, "at_least is -1; expected 0 or more"),
    ],
)
def test_filters_of_another_form_are_refused(item_key, user_key, at_least, message):
    with pytest.raises(ModelError, match=message):
        Candidates(item_key, user_key, at_least)


def test_a_filter_for_another_data_set_is_refused():
    with pytest.raises(ModelError, match="keys of 3 users and 3 movies; expected 3 and 5, padding included"):
        top_k(
            block_of(np.zeros((2, 5), np.float32)),
            np.array([1]),
            seen_matrix(3, 5, []),
            2,
            allowed=Candidates(ONES, ONES),
        )


# -- the long table ---------------------------------------------------------------------------


def test_topk_frame_is_the_table_in_competition_ids():
    vocabulary = Vocabulary(users=np.array([7, 30]), items=np.array([100, 250, 999]))
    topk = TopK(
        user_ix=np.array([2, 1]),
        item_ix=np.array([[3, 1], [2, 0]], dtype=np.int32),
        scores=np.array([[0.5, 0.25], [2.0, NAN]], dtype=np.float32),
    )
    expected = pd.DataFrame(
        {
            "user": [30, 30, 7],
            "item": [999, 100, 250],
            "rank": np.array([1, 2, 1], dtype=np.int32),
            "score": np.array([0.5, 0.25, 2.0], dtype=np.float32),
        }
    )
    pd.testing.assert_frame_equal(topk_frame(topk, vocabulary), expected)
