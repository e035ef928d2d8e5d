"""Triples are drawn with false tails only, and interactions bring triples along for as long as they last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_batches, build_dataset
from movierec_bench.training.triple_batches import KnowledgeBatches, TailSampler


def test_tails_are_false_uniform_and_never_padding() -> None:
    sampler = TailSampler(np.array([1, 1, 2]), np.array([3, 5, 1]), n_entities=7)
    heads = np.repeat([1, 2, 6], 20_000)
    drawn = sampler.draw(heads, np.random.default_rng(0))
    assert set(drawn[heads == 1]) == {1, 2, 4, 6}
    assert set(drawn[heads == 2]) == {2, 3, 4, 5, 6}
    assert set(drawn[heads == 6]) == {1, 2, 3, 4, 5, 6}  # no head of any triple
    assert chisquare(np.bincount(drawn[heads == 1], minlength=7)[[1, 2, 4, 6]]).pvalue > 1e-4


def test_a_head_linked_to_everything_does_not_hang() -> None:
    sampler = TailSampler(np.array([1, 1]), np.array([1, 2]), n_entities=3)
    assert len(sampler.draw(np.full(4, 1), np.random.default_rng(0))) == 4


@pytest.fixture
def dataset(planted: AtomicData, tmp_path: Path) -> Any:
    config = build_config(load_catalog()["CKE"], seed=1, scratch=tmp_path)
    rows = Interactions.from_rows(planted.interactions, planted.vocabulary)
    return build_dataset(config, planted, rows)


def batches_of(dataset: Any, batch_size: int, tmp_path: Path) -> KnowledgeBatches:
    entry = load_catalog()["CKE"].with_parameters({"train_batch_size": batch_size})
    made = build_batches(entry, build_config(entry, seed=1, scratch=tmp_path), dataset)
    assert isinstance(made, KnowledgeBatches)
    return made


def triples_in(batches: list[Any]) -> list[tuple[int, int, int]]:
    columns = ("head_id", "relation_id", "tail_id")
    return [row for batch in batches for row in zip(*(batch[column].tolist() for column in columns))]


def test_a_pass_over_triples_is_every_triple_once(dataset: Any, tmp_path: Path) -> None:
    batches = list(batches_of(dataset, 50, tmp_path).triples(np.random.default_rng(0)))
    expected = list(zip(dataset.head_entities, dataset.relations, dataset.tail_entities))
    assert sorted(triples_in(batches)) == sorted(expected)
    assert max(map(len, batches)) == 50
    true = {(head, tail) for head, _, tail in expected}
    for batch in batches:
        assert not true & set(zip(batch["head_id"].tolist(), batch["neg_tail_id"].tolist()))


def test_interactions_and_triples_side_by_side(dataset: Any, tmp_path: Path) -> None:
    """As many steps as the interactions take; the triples start over where there are fewer of them."""
    batches = batches_of(dataset, 50, tmp_path)
    both = list(batches.epoch(np.random.default_rng(0)))
    alone = list(batches.interactions(np.random.default_rng(0)))
    assert len(both) == len(alone) > len(list(batches.triples(np.random.default_rng(0))))
    pairs = [(u, i) for batch in both for u, i in zip(batch["user_id"].tolist(), batch["item_id"].tolist())]
    assert len(pairs) == len(set(pairs)) == len(dataset.interactions)
    seen = triples_in(both)
    assert set(seen) == set(zip(dataset.head_entities, dataset.relations, dataset.tail_entities))
    assert len(seen) > len(set(seen))


def test_the_order_is_the_generators(dataset: Any, tmp_path: Path) -> None:
    batches = batches_of(dataset, 50, tmp_path)
    first, second, other = (triples_in(list(batches.triples(np.random.default_rng(seed)))) for seed in (4, 4, 5))
    assert first == second != other
