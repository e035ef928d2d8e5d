"""Whole windows cover every row once, sequence batches carry what the models read, nothing later is ever shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ModelError
from movierec_bench.models.parts.window_model import next_movies
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.recbole_backend.knowledge_vectors import KnowledgeVectors
from movierec_bench.recbole_backend.prefixes import Prefixes, latest_windows
from movierec_bench.recbole_backend.scorer import Ranker
from movierec_bench.recbole_backend.sequence_datasets import negative_history, ranking_columns
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.batches import NegativeSampler
from movierec_bench.training.building import build_batches, build_dataset
from movierec_bench.training.window_batches import WindowBatches, cut_windows

CATALOG = load_catalog()
VOCABULARY = Vocabulary(users=np.array([1, 2, 3]), items=np.arange(1, 31))


class FixedDraws:
    """In the place of a generator: the lengths of the first windows."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = np.array(lengths)

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        assert len(self.lengths) == size
        assert ((low <= self.lengths) & (self.lengths < high)).all()
        return self.lengths


def log(lengths: list[int]) -> Interactions:
    """User u + 1 watched movies 1, 2, ... in this order, ``lengths[u]`` of them."""
    triples = [(user + 1, movie, movie) for user, length in enumerate(lengths) for movie in range(1, length + 1)]
    return Interactions.from_rows(pd.DataFrame(triples, columns=["user", "item", "time"], dtype="int64"), VOCABULARY)


def test_windows_by_hand() -> None:
    indptr = np.array([0, 0, 3, 14, 24])  # no log; 3 rows; 11 rows; 10 rows
    start, end = cut_windows(indptr, 4, FixedDraws(1, 1, 2, 1))
    assert list(zip(start, end)) == [(0, 3), (3, 5), (5, 9), (9, 13), (14, 15), (15, 19), (19, 23)]
    # The lone last rows 13 and 23 teach nothing: each is the target of the window before it.


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_every_row_is_in_one_window_but_for_a_lone_last_one(lengths: list[int], longest: int, seed: int) -> None:
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    start, end = cut_windows(indptr, longest, np.random.default_rng(seed))
    covered = [row for first, last in zip(start, end) for row in range(first, last)]
    lone = set(range(indptr[-1])) - set(covered)
    assert len(covered) == len(set(covered))
    assert lone <= set(indptr[1:] - 1)
    assert (end - start <= longest).all()
    log_of = np.searchsorted(indptr, start, side="right") - 1
    assert (end <= indptr[log_of + 1]).all(), "a window reaches into the next user's log"


def test_the_cuts_move_from_epoch_to_epoch() -> None:
    first_lengths = {int(cut_windows(np.array([0, 20]), 5, np.random.default_rng(seed))[1][0]) for seed in range(60)}
    assert first_lengths == {1, 2, 3, 4, 5}


def test_each_next_movie_is_a_target_exactly_once_an_epoch() -> None:
    lengths = [17, 1, 30]
    seen = []
    for batch in WindowBatches(log(lengths), max_length=4, batch_size=3).epoch(np.random.default_rng(5)):
        items, length = batch["item_id_list"], batch["item_length"]
        assert items.shape[1] == int(length.max())
        targets = next_movies(items, length - 1, batch["item_id"])
        for user, row, wanted in zip(batch["user_id"].tolist(), items, targets):
            pairs = [(int(i), int(t)) for i, t in zip(row, wanted) if t > 0]
            assert all(target == item + 1 for item, target in pairs), "the target is not the movie that follows"
            seen += [(user, target) for _, target in pairs]
    assert sorted(seen) == [(user + 1, t) for user, length in enumerate(lengths) for t in range(2, length + 1)]


def test_next_movies_by_hand() -> None:
    items = torch.tensor([[4, 7, 9], [5, 0, 0], [2, 3, 0]])
    targets = next_movies(items, torch.tensor([2, 0, 1]), torch.tensor([8, 6, 0]))
    assert targets.tolist() == [[7, 9, 8], [6, 0, 0], [3, 0, 0]]


def test_two_epochs_of_windows_with_one_seed_are_equal() -> None:
    batches = WindowBatches(log([30, 20, 9]), 6, 2)
    first, second = ([b["item_id_list"].tolist() for b in batches.epoch(np.random.default_rng(3))] for _ in range(2))
    assert first == second


def test_an_epoch_of_some_windows_draws_others_each_time() -> None:
    batches, rng = WindowBatches(log([30, 30, 20]), 5, batch_size=4, windows_per_epoch=6), np.random.default_rng(1)
    epochs = [[window for batch in batches.epoch(rng) for window in batch["item_id_list"].tolist()] for _ in range(2)]
    assert [len(windows) for windows in epochs] == [6, 6]
    assert epochs[0] != epochs[1]


# What a few of RecBole's models read besides the prefix.


def fresh(data: AtomicData, model: str, tmp_path: Path, **changes: object):  # noqa: ANN201
    """Entry, config, data set, rows and the untrained model."""
    entry = CATALOG[model].with_parameters(changes)
    config = build_config(entry, seed=1, scratch=tmp_path)
    rows = Interactions.from_rows(data.interactions, data.vocabulary)
    dataset = build_dataset(config, data, rows)
    torch.manual_seed(0)
    return entry, config, dataset, rows, load_model_class(entry)(config, dataset)


def test_negative_histories_are_unseen_and_padded_like_the_prefix() -> None:
    rows = log([6, 25, 3])
    columns = Prefixes(rows, 5).columns(np.array([1, 2, 5, 30]))
    drawn = negative_history(columns, NegativeSampler(rows, 1), np.random.default_rng(0))["neg_item_id_list"]
    np.testing.assert_array_equal(drawn > 0, columns["item_id_list"] > 0)
    for user, row in zip(columns["user_id"], drawn):
        assert not rows.csr[user, row[row > 0]].toarray().any()


def test_dien_trains_with_a_negative_history(planted: AtomicData, tmp_path: Path) -> None:
    entry, config, dataset, rows, model = fresh(planted, "DIEN", tmp_path)
    batch = next(iter(build_batches(entry, config, dataset).epoch(np.random.default_rng(0))))
    assert batch["neg_item_id_list"].shape == batch["item_id_list"].shape
    assert set(batch["label"].tolist()) == {0.0, 1.0}
    assert torch.isfinite(model.calculate_loss(batch))


def test_left_padding_by_hand() -> None:
    columns = latest_windows(log([2, 5, 0]), np.array([1, 2, 3]), max_length=4)
    turned = ranking_columns({"transform": "inverse_itemseq", "negative_history": None}, columns)
    assert turned["item_id_list"].tolist() == [[0, 0, 1, 2], [2, 3, 4, 5], [0, 0, 0, 0]]
    plain = ranking_columns({"transform": None, "negative_history": None}, columns)
    assert plain["item_id_list"].tolist() == [[1, 2, 0, 0], [2, 3, 4, 5], [0, 0, 0, 0]]


def test_shan_ranks_as_it_predicts(planted: AtomicData, tmp_path: Path) -> None:
    """RecBole's own ranking reads the list padded on the wrong side; its ``predict`` and its training do not."""
    entry, config, dataset, rows, model = fresh(planted, "SHAN", tmp_path)
    model.eval()
    users = np.array([3, 8])
    scores = Ranker(entry, model, config, dataset.item_feat, known=np.diff(rows.indptr) > 0).scores(rows, users)
    columns = {name: torch.from_numpy(values) for name, values in latest_windows(rows, users, 50).items()}
    columns["Inverse_item_id_list"] = torch.stack(
        [
            torch.cat([row[length:], row[:length]])
            for row, length in zip(columns["item_id_list"], columns["item_length"])
        ]
    )
    for movie in (1, 7, 40):
        columns["item_id"] = torch.full((2,), movie)
        torch.testing.assert_close(scores[:, movie], model.predict(columns))


def test_bert4rec_gets_its_hidden_rows(planted: AtomicData, tmp_path: Path) -> None:
    entry, config, dataset, rows, model = fresh(planted, "RecBoleBERT4Rec", tmp_path)
    batch = next(iter(build_batches(entry, config, dataset).epoch(np.random.default_rng(0))))
    hidden = batch["Mask_item_id_list"] == rows.n_items
    assert hidden.any()
    assert (batch["item_id_list"][hidden] > 0).all()
    assert torch.isfinite(model.calculate_loss(batch))


def test_features_the_data_lack_are_left_out(planted: AtomicData, tmp_path: Path) -> None:
    movies = planted.movies.assign(director=[()] * len(planted.movies))
    poorer = AtomicData(**{**vars(planted), "movies": movies})
    _, config, _, _, model = fresh(poorer, "SASRecF", tmp_path)
    assert config["selected_features"] == ["genre", "writer"]
    assert model.num_feature_field == 2


def test_no_feature_at_all_is_an_error(planted: AtomicData, tmp_path: Path) -> None:
    nothing = {name: [()] * len(planted.movies) for name in ("genre", "director", "writer")}
    poorest = AtomicData(**{**vars(planted), "movies": planted.movies.assign(**nothing)})
    with pytest.raises(ModelError, match="reads the movies' genre, director, writer, and planted has none"):
        fresh(poorest, "SASRecF", tmp_path)


def test_a_users_scores_do_not_depend_on_the_steps(planted: AtomicData, tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    entry, config, dataset, rows, model = fresh(planted, "RecBoleGRU4Rec", tmp_path)
    users = np.arange(1, rows.n_users)
    at_once = Ranker(entry, model, config, dataset.item_feat, known=np.diff(rows.indptr) > 0).scores(rows, users)
    monkeypatch.setattr("movierec_bench.recbole_backend.scorer._SEQUENCES_A_STEP", 7)
    torch.testing.assert_close(
        Ranker(entry, model, config, dataset.item_feat, known=np.diff(rows.indptr) > 0).scores(rows, users), at_once
    )


def test_fearec_draws_prefixes_as_recbole_does(planted: AtomicData, tmp_path: Path) -> None:
    _, config, dataset, rows, model = fresh(planted, "FEARec", tmp_path)
    prefixes = Prefixes(rows, config["MAX_ITEM_LIST_LENGTH"])
    targets = np.sort(prefixes.draw_targets(0, np.random.default_rng(0)))
    columns = prefixes.columns(targets)
    for movie in range(1, rows.n_items):
        expected = targets[columns["item_id"] == movie]
        np.testing.assert_array_equal(model.same_item_index.get(movie, []), expected)
    table = model.dataset.inter_feat
    assert table["item_id_list"][targets[5]].tolist() == columns["item_id_list"][5].tolist()
    assert int(table["item_length"][targets[5]]) == columns["item_length"][5]


def test_loading_a_sequence_model_leaves_anomaly_detection_off() -> None:
    """RecBole's SINE turns it on for the whole process as it is imported."""
    torch.autograd.set_detect_anomaly(True)
    load_model_class(CATALOG["SINE"])
    assert not torch.is_anomaly_enabled()


# Vectors of the knowledge graph.


def test_knowledge_vectors_by_hand() -> None:
    made = KnowledgeVectors.from_triples(
        head=np.array(["a", "b", "c", "c"]),
        relation=np.array(["genre", "genre", "genre", "by"]),
        tail=np.array(["war", "war", "love", "ann"]),
        movies=["a", "b", "c", "d"],
        size=3,
        seed=0,
    )
    assert made.entities == ["a", "b", "c", "d", "ann", "love", "war"]
    assert made.relations == ["by", "genre"]
    assert made.of_entities.shape == (8, 3)
    assert made.of_relations.shape == (3, 3)
    a, b, c, d, ann, love, war = made.of_entities[1:]
    np.testing.assert_allclose(a, b, atol=1e-6)  # alike in everything
    np.testing.assert_allclose(a @ c, 0, atol=1e-6)  # nothing in common
    np.testing.assert_allclose([np.linalg.norm(v) for v in (a, b, c, war)], 1, atol=1e-6)
    assert not d.any()
    np.testing.assert_allclose(war, a, atol=1e-6)  # the mean of its movies
    np.testing.assert_allclose(made.of_relations[1], ann - c, atol=1e-6)
    assert not made.of_entities[0].any()
    assert not made.of_relations[0].any()


def test_knowledge_models_start_from_the_vectors(planted: AtomicData, tmp_path: Path) -> None:
    _, config, dataset, rows, model = fresh(planted, "KSR", tmp_path)
    vectors = dataset.get_preload_weight("ent_id")
    assert vectors[1:].any()
    np.testing.assert_array_equal(model.entity_embedding.weight.detach().numpy(), vectors[: rows.n_items])
    assert model.n_entities == len(vectors)
    assert len(model.relation_Matrix) == model.n_relations == len(dataset.get_preload_weight("rel_id"))
