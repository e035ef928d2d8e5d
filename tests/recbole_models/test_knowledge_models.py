"""Our mends of RecBole's knowledge models change how fast they are, not what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.knowledge_aware_recommender.cke import CKE
from recbole.model.knowledge_aware_recommender.kgat import KGAT
from recbole.model.knowledge_aware_recommender.kgnnls import KGNNLS
from recbole.model.knowledge_aware_recommender.mkr import CrossCompressUnit
from recbole.model.knowledge_aware_recommender.ripplenet import RippleNet

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.relation_matrices import times_matrix_of
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.recbole_backend.pairwise_scores import score_pairs_of_ids
from movierec_bench.recbole_models.mkr import VectorCrossCompressUnit
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset
from movierec_bench.training.trainer import FitSettings, Fitted, fit, seed_everything


@pytest.fixture(scope="module")
def train(planted: AtomicData) -> Interactions:
    return Interactions.from_rows(planted.interactions, planted.vocabulary)


def dataset_and_config(data: AtomicData, name: str, tmp_path: Path, **changes: Any) -> tuple[Any, Any]:
    config = build_config(load_catalog()[name].with_parameters(changes), seed=1, scratch=tmp_path)
    return build_dataset(config, data, Interactions.from_rows(data.interactions, data.vocabulary)), config


def build(data: AtomicData, name: str, tmp_path: Path, **changes: Any) -> Any:
    """Our model with random weights everywhere, biases included."""
    dataset, config = dataset_and_config(data, name, tmp_path, **changes)
    seed_everything(1)
    model = load_model_class(load_catalog()[name])(config, dataset)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(std=0.5)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("CFKG", {}),
        ("CFKG", {"loss_function": "transe"}),
        ("KTUP", {}),
        ("KTUP", {"L1_flag": True}),
        ("MKR", {}),
        ("MKR", {"low_layers_num": 2, "use_inner_product": False}),
        ("KGCN", {}),
        ("KGCN", {"aggregator": "neighbor"}),
        ("KGCN", {"aggregator": "concat"}),
        ("KGCN", {"n_iter": 2}),
        ("KGNNLS", {}),
        ("RippleNet", {}),
        ("RippleNet", {"n_hop": 3, "n_memory": 5}),
        ("CKE", {}),
    ],
    ids=lambda value: str(value),
)
def test_full_rankings_equal_predict(name: str, changes: dict[str, Any], planted: AtomicData, tmp_path: Path) -> None:
    model = build(planted, name, tmp_path, **changes)
    users = torch.arange(1, model.n_users)
    with torch.no_grad():
        found = model.full_sort_predict(Interaction({"user_id": users})).view(len(users), -1)
        expected = score_pairs_of_ids(model, users)
    assert expected.std() > 1e-2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_vectors_times_the_matrix_of_their_relation() -> None:
    generator = torch.Generator().manual_seed(0)
    relation = torch.tensor([2, 0, 2, 3, 0])  # 1 is never used
    vectors, matrices = torch.randn(5, 3, generator=generator), torch.randn(4, 3, 2, generator=generator)
    expected = torch.bmm(vectors.unsqueeze(1), matrices[relation]).squeeze(1)
    torch.testing.assert_close(times_matrix_of(relation, vectors, matrices), expected)


@pytest.mark.parametrize(("name", "theirs"), [("CKE", CKE), ("KGAT", KGAT)])
def test_translated_triples_equal_recboles(name: str, theirs: Any, planted: AtomicData, tmp_path: Path) -> None:
    model = build(planted, name, tmp_path)
    heads, tails, others = (torch.tensor(ids) for ids in ([1, 5, 3, 2], [45, 44, 43, 46], [2, 3, 4, 7]))
    relations = torch.tensor([1, 3, 1, 2])
    found = model._get_kg_embedding(heads, relations, tails, others)
    expected = theirs._get_kg_embedding(model, heads, relations, tails, others)
    for mine, their in zip(found[:4], expected[:4]):
        torch.testing.assert_close(mine, their)


def test_cross_and_compress_without_the_matrices_equals_recboles() -> None:
    seed_everything(0)
    theirs, mine = CrossCompressUnit(6), VectorCrossCompressUnit(6)
    mine.load_state_dict(theirs.state_dict())
    v, e = torch.randn(9, 6), torch.randn(9, 6)
    for found, expected in zip(mine([v, e]), theirs([v, e])):
        torch.testing.assert_close(found, expected)


def test_kgats_first_attention_by_hand(planted: AtomicData, tmp_path: Path) -> None:
    """Each relation's edges of a node share 1; two relations between the same nodes add up."""
    model = build(planted, "KGAT", tmp_path)
    attention = model.init_graph().to_dense()
    graph = model.ckg.toarray() * 0.0
    for relation in range(1, model.n_relations):
        edges = np.zeros_like(graph)
        of_it = model.ckg.data == relation
        np.add.at(edges, (model.ckg.row[of_it], model.ckg.col[of_it]), 1.0)
        graph += edges / np.maximum(edges.sum(axis=1, keepdims=True), 1.0)
    np.testing.assert_allclose(attention.numpy(), graph, rtol=1e-5)
    user = 7
    assert attention[user].sum() == pytest.approx(1.0)
    assert attention[user].count_nonzero() == (planted.interactions["user"] == 106).sum()


# -- RippleNet --------------------------------------------------------------------------------


def recboles_ripples(model: Any) -> dict[int, list[tuple[torch.Tensor, ...]]]:
    """Our table in RecBole's form: for each user and hop, heads, relations and tails."""
    return {user: [tuple(hop) for hop in hops] for user, hops in enumerate(model.ripple_set)}


def test_ripplenets_scores_and_loss_equal_recboles(planted: AtomicData, tmp_path: Path) -> None:
    mine = build(planted, "RippleNet", tmp_path)
    dataset, config = dataset_and_config(planted, "RippleNet", tmp_path)
    theirs = RippleNet(config, dataset).eval()
    theirs.load_state_dict(mine.state_dict())
    theirs.ripple_set = recboles_ripples(mine)
    batch = Interaction(
        {
            "user_id": torch.tensor([3, 8, 3, 60]),
            "item_id": torch.tensor([5, 7, 9, 40]),
            "label": torch.tensor([1.0, 1, 0, 0]),
        }
    )
    torch.testing.assert_close(mine.predict(batch), theirs.predict(batch))
    torch.testing.assert_close(mine.calculate_loss(batch).squeeze(), theirs.calculate_loss(batch).squeeze())


def test_ripples_are_triples_that_start_where_the_last_ripple_ended(planted: AtomicData, tmp_path: Path) -> None:
    dataset, config = dataset_and_config(planted, "RippleNet", tmp_path, n_hop=2, n_memory=4)
    model = load_model_class(load_catalog()["RippleNet"])(config, dataset)
    triples = set(zip(dataset.head_entities, dataset.relations, dataset.tail_entities))
    for user in range(1, model.n_users):
        first, second = (list(zip(*hop.tolist())) for hop in model.ripple_set[user])
        assert set(first) <= triples and set(second) <= triples
        assert {head for head, _, _ in first} <= set(dataset.interactions.csr[user].indices)
        assert {head for head, _, _ in second} <= {tail for _, _, tail in first}
        assert len(set(first)) == 4, "a user with so many triples gets different ones"


def test_ripples_are_drawn_evenly(planted: AtomicData, tmp_path: Path) -> None:
    """Every triple of a user's movies is as likely: over many draws none stays away."""
    from movierec_bench.recbole_models.ripplenet import _draw

    starts, seeds = np.array([0, 0, 3]), np.array([1, 2, 4])
    triple_starts = np.array([0, 0, 2, 3, 6, 8])  # entity 1 has two triples, 2 one, 3 three, 4 two
    counts = np.zeros(8, dtype=int)
    for seed in range(2_000):
        chosen = _draw(starts, seeds, triple_starts, 3, seed)
        assert (chosen[0] == -1).all()
        assert len(set(chosen[1])) == 3
        counts[chosen[1]] += 1
    assert counts[[3, 4, 5]].sum() == 0  # triples of entity 3, which the user has not seen
    assert np.abs(counts[[0, 1, 2, 6, 7]] / 2_000 - 3 / 5).max() < 0.05


# -- KGNN-LS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_iter", [1, 2])
def test_kgnnls_spreads_labels_as_recbole_does(n_iter: int, planted: AtomicData, tmp_path: Path) -> None:
    mine = build(planted, "KGNNLS", tmp_path, n_iter=n_iter)
    keys, labels = mine.interaction_table
    assert labels.sum() == len(planted.interactions)
    assert 0.3 < labels.mean() < 0.8
    users, movies = torch.tensor([3, 8, 3, 60]), torch.tensor([5, 7, 9, 40])
    mine.batch_size = len(users)
    entities, relations = mine.get_neighbors(movies)
    vectors = mine.user_embedding(users)
    found = mine.label_smoothness_predict(vectors, users, entities, relations)
    mine.interaction_table = dict(zip(keys.tolist(), labels.tolist()))  # RecBole's form
    expected = KGNNLS.label_smoothness_predict(mine, vectors, users, entities, relations)
    torch.testing.assert_close(found, expected)
    if n_iter == 2:
        assert (found != 0.5 / mine.neighbor_sample_size**2).any(), "some label must have spread"


# -- KGIN and MCCLK ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["KGIN", "MCCLK"])
def test_ranking_takes_the_whole_graph(name: str, planted: AtomicData, tmp_path: Path) -> None:
    """RecBole drops edges here too, so that two rankings by one model differ."""
    model = build(planted, name, tmp_path)
    pair = Interaction({"user_id": torch.tensor([3]), "item_id": torch.tensor([5])})
    with torch.no_grad():
        assert model.predict(pair) == model.predict(pair)
        model.train()
        assert model.predict(pair) != model.predict(pair)
    assert model.gcn.node_dropout_rate == 0.5


@pytest.mark.parametrize("name", ["KGIN", "MCCLK", "KGAT"])
def test_the_best_epoch_is_what_ranks(name: str, planted: AtomicData, train: Interactions, tmp_path: Path) -> None:
    """They cache propagated vectors; after training these must be the best epoch's, not the last one's."""
    seen = []
    recalls = iter([0.1, 0.5, 0.2])

    def validate(fitted: Fitted) -> float:
        seen.append(fitted.scores(train, np.array([1, 2])).clone())
        return next(recalls)

    entry = load_catalog()[name].with_parameters({"epochs": 3, "train_batch_size": 256})
    made = fit(entry, planted, train, FitSettings(seed=1, scratch=tmp_path), validate)
    torch.testing.assert_close(made.scores(train, np.array([1, 2])), seen[1])
    assert not torch.equal(seen[1], seen[2])
