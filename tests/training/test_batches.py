"""Negatives come from unseen movies only, batches have RecBole's form, prefixes never reach their target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.data.interaction import Interaction
from scipy.stats import chisquare

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.recbole_backend.prefixes import Prefixes, latest_windows
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.batches import NegativeSampler
from movierec_bench.training.building import build_batches, build_dataset

VOCABULARY = Vocabulary(users=np.array([1, 2, 3]), items=np.arange(1, 7))


def log(*triples: tuple[int, int, int]) -> Interactions:
    return Interactions.from_rows(pd.DataFrame(triples, columns=["user", "item", "time"]).astype("int64"), VOCABULARY)


def batches_of(data: AtomicData, model: str, tmp_path: Path, **changes: object):  # noqa: ANN201
    entry = load_catalog()[model].with_parameters(changes)
    config = build_config(entry, seed=1, scratch=tmp_path)
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    return build_batches(entry, config, build_dataset(config, data, rows)), rows


def test_negatives_are_unseen_and_uniform() -> None:
    rows = log((1, 1, 0), (1, 3, 1), (2, 5, 0))
    users = np.repeat([1, 2], 20_000)
    drawn = NegativeSampler(rows, sample_num=1).draw(users, np.random.default_rng(0))
    assert set(drawn[users == 1]) == {2, 4, 5, 6}
    assert set(drawn[users == 2]) == {1, 2, 3, 4, 6}
    assert chisquare(np.bincount(drawn[users == 1], minlength=7)[[2, 4, 5, 6]]).pvalue > 1e-4


def test_popular_negatives_follow_training_counts() -> None:
    rows = log((1, 1, 0), (2, 1, 1), (2, 2, 2), (3, 1, 3), (3, 2, 0))
    drawn = NegativeSampler(rows, 1, popularity_power=1.0).draw(np.full(10_000, 1), np.random.default_rng(0))
    assert set(drawn) == {2}  # movie 1 is seen by user 1, and no other movie has a count


def test_a_user_who_saw_everything_does_not_hang() -> None:
    rows = log(*((1, item, item) for item in range(1, 7)))
    assert len(NegativeSampler(rows, 1).draw(np.full(5, 1), np.random.default_rng(0))) == 5


def test_pairwise_batches_cover_every_row_once(planted: AtomicData, tmp_path: Path) -> None:
    batches, rows = batches_of(planted, "BPR", tmp_path, train_batch_size=100)
    seen = list(batches.epoch(np.random.default_rng(0)))
    pairs = {(u, i) for b in seen for u, i in zip(b["user_id"].tolist(), b["item_id"].tolist())}
    assert pairs == set(zip(rows.user_ix.tolist(), rows.item_ix.tolist()))
    assert sum(map(len, seen)) == len(rows)
    for batch in seen:
        assert len(batch) <= 100
        assert not rows.csr[batch["user_id"].tolist(), batch["neg_item_id"].tolist()].any()


def test_users_are_batched_once_each(planted: AtomicData, tmp_path: Path) -> None:
    batches, rows = batches_of(planted, "MultiVAE", tmp_path, train_batch_size=7)
    users = np.concatenate([b["user_id"].numpy() for b in batches.epoch(np.random.default_rng(0))])
    assert sorted(users) == sorted(set(rows.user_ix))


@pytest.mark.parametrize(("least_steps", "longest"), [(1, 1000), (4, None), (10_000, 1)])
def test_few_users_are_shared_among_the_least_steps(
    least_steps: int, longest: int | None, planted: AtomicData, tmp_path: Path
) -> None:
    batches, rows = batches_of(planted, "MultiVAE", tmp_path, train_batch_size=1000, least_steps=least_steps)
    sizes = [len(b["user_id"]) for b in batches.epoch(np.random.default_rng(0))]
    users = len(set(rows.user_ix))
    assert sum(sizes) == users
    assert max(sizes) == min(longest or users // least_steps, users)
    assert len(sizes) >= min(least_steps, users)


def test_a_pairwise_model_without_negatives_is_refused(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train_neg_sample_args: null"):
        batches_of(planted, "BPR", tmp_path, train_neg_sample_args=None)


def test_two_epochs_with_one_seed_are_equal(planted: AtomicData, tmp_path: Path) -> None:
    batches, _ = batches_of(planted, "BPR", tmp_path)
    first, second = ([b["neg_item_id"].tolist() for b in batches.epoch(np.random.default_rng(3))] for _ in range(2))
    assert first == second


def test_prefixes_by_hand() -> None:
    prefixes = Prefixes(log((1, 2, 0), (1, 5, 1), (1, 3, 2), (1, 6, 3), (2, 4, 0)), max_length=2)
    targets = np.sort(prefixes.draw_targets(0, np.random.default_rng(0)))
    columns = prefixes.columns(targets)
    assert columns["item_id"].tolist() == [5, 3, 6]  # the first row of a user has no prefix
    assert columns["item_id_list"].tolist() == [[2, 0], [2, 5], [5, 3]]
    assert columns["item_length"].tolist() == [1, 2, 2]
    assert columns["user_id"].tolist() == [1, 1, 1]


def test_so_many_targets_a_user() -> None:
    rows = log(*((1, item, item) for item in range(1, 7)), (2, 1, 0), (2, 2, 1))
    targets = Prefixes(rows, 3).draw_targets(2, np.random.default_rng(0))
    assert len(set(targets)) == len(targets)
    assert np.bincount(rows.user_ix[targets]).tolist() == [0, 2, 1]


def test_latest_windows_by_hand() -> None:
    columns = latest_windows(log((1, 2, 0), (1, 5, 1), (1, 3, 2), (2, 4, 0)), np.array([1, 2, 3]), max_length=2)
    assert columns["item_id_list"].tolist() == [[5, 3], [4, 0], [0, 0]]
    assert columns["item_length"].tolist() == [2, 1, 1]


def test_only_a_scheme_of_its_own_does_without_batches(planted: AtomicData, tmp_path: Path) -> None:
    batches, _ = batches_of(planted, "BPRSGD", tmp_path)
    assert list(batches.epoch(np.random.default_rng(0))) == []
    entry = replace(load_catalog()["BPR"], batches="none")
    config = build_config(entry, seed=1, scratch=tmp_path)
    dataset = build_dataset(config, planted, Interactions.from_rows(planted.interactions, planted.vocabulary))
    with pytest.raises(ConfigError, match="'batches: none' does not go with 'trainer: epochs'"):
        build_batches(entry, config, dataset)


def test_an_epoch_may_be_a_sample_drawn_anew(planted: AtomicData, tmp_path: Path) -> None:
    batches, rows = batches_of(planted, "FM", tmp_path, rows_per_epoch=100, train_batch_size=64)
    every_pair = set(zip(rows.user_ix.tolist(), rows.item_ix.tolist()))
    drawn = []
    for seed in (0, 1):
        made = list(batches.epoch(np.random.default_rng(seed)))
        watched = [batch[batch["label"].bool()] for batch in made]
        pairs = [(u, i) for b in watched for u, i in zip(b["user_id"].tolist(), b["item_id"].tolist())]
        assert len(pairs) == len(set(pairs)) == 100
        assert set(pairs) <= every_pair
        drawn.append(set(pairs))
    assert drawn[0] != drawn[1]


def test_context_models_get_the_movies_columns_as_recbole_joins_them(planted: AtomicData, tmp_path: Path) -> None:
    entry = load_catalog()["FM"]
    config = build_config(entry, seed=1, scratch=tmp_path)
    dataset = build_dataset(config, planted, Interactions.from_rows(planted.interactions, planted.vocabulary))
    for batch in build_batches(entry, config, dataset).epoch(np.random.default_rng(0)):
        ids = {field: batch[field].clone() for field in ("user_id", "item_id", "label")}
        expected = dataset.join(Interaction(ids))
        assert set(expected.columns) == set(batch.columns) == {*ids, "genre", "director", "writer"}
        for field in expected.columns:
            assert torch.equal(batch[field], expected[field])
