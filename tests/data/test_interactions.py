"""Datasets from arrays answer RecBole's models as RecBole's own datasets do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.recbole_backend.config import build_config
from movierec_bench.recbole_backend.datasets import padded_history
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.training.building import build_dataset

VOCABULARY = Vocabulary(users=np.array([5, 7, 9]), items=np.array([10, 20, 30, 40]))


def rows(*triples: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(triples, columns=["user", "item", "time"])


def dataset_of(data: AtomicData, model: str, tmp_path: Path, **changes: object):  # noqa: ANN201
    config = build_config(load_catalog()[model].with_parameters(changes), seed=1, scratch=tmp_path)
    return build_dataset(config, data, Interactions.from_rows(data.interactions, data.vocabulary))


def test_interactions_are_sorted_by_user_time_and_file_order() -> None:
    made = Interactions.from_rows(rows((9, 10, 5), (5, 40, 7), (5, 20, 3), (5, 30, 7), (9, 20, 1)), VOCABULARY)
    assert made.user_ix.tolist() == [1, 1, 1, 3, 3]
    assert made.item_ix.tolist() == [2, 4, 3, 2, 1]
    assert made.indptr.tolist() == [0, 0, 3, 3, 5]
    assert made.csr.toarray()[1].tolist() == [0, 0, 1, 1, 1]


@given(
    st.lists(st.tuples(st.sampled_from([5, 7, 9]), st.sampled_from([10, 20, 30, 40]), st.integers(0, 3)), max_size=30)
)
def test_order_equals_a_stable_pandas_sort(triples: list[tuple[int, int, int]]) -> None:
    table = rows(*triples).astype("int64")
    expected = table.sort_values(["user", "time"], kind="stable")
    made = Interactions.from_rows(table, VOCABULARY)
    assert VOCABULARY.user_ids(made.user_ix).tolist() == expected["user"].tolist()
    assert VOCABULARY.item_ids(made.item_ix).tolist() == expected["item"].tolist()


def test_the_input_table_is_left_alone() -> None:
    table = rows((9, 10, 5), (5, 40, 7))
    before = table.copy()
    Interactions.from_rows(table, VOCABULARY)
    pd.testing.assert_frame_equal(table, before)


def test_padded_history_keeps_the_latest() -> None:
    indptr, indices = np.array([0, 3, 3, 4]), np.array([7, 8, 9, 5])
    items, ones, lengths = padded_history(indptr, indices, None)
    assert items.tolist() == [[7, 8, 9], [0, 0, 0], [5, 0, 0]]
    assert ones.tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert padded_history(indptr, indices, 2)[0].tolist() == [[8, 9], [0, 0], [5, 0]]


def test_it_equals_recboles_own_dataset_of_the_same_files(planted: AtomicData, tmp_path: Path, monkeypatch) -> None:
    """Same users, movies and matrix, matched by token, since RecBole numbers tokens as they come."""
    from recbole.config import Config
    from recbole.data import create_dataset

    monkeypatch.setattr("sys.argv", ["x"])
    ours = dataset_of(planted, "BPR", tmp_path)
    config = Config(
        model="BPR",
        dataset="planted",
        config_dict={"data_path": str(planted.folder.parent), "load_col": None, "state": "ERROR"},
    )
    theirs = create_dataset(config)
    theirs._change_feat_format()
    assert (ours.user_num, ours.item_num, ours.inter_num) == (theirs.user_num, theirs.item_num, theirs.inter_num)
    users, items = theirs.field2id_token["user_id"][1:], theirs.field2id_token["item_id"][1:]
    our_rows = ours.inter_matrix("csr")[ours.token2id("user_id", users)][:, ours.token2id("item_id", items)]
    assert (our_rows != theirs.inter_matrix("csr")[1:, 1:]).nnz == 0


def test_histories_hold_what_recboles_hold(planted: AtomicData, tmp_path: Path) -> None:
    """RecBole fills its padded matrices row by row in Python; ours must hold the same sets."""
    from recbole.data.dataset import Dataset

    ours = dataset_of(planted, "BPR", tmp_path)
    for method in ("history_item_matrix", "history_user_matrix"):
        mine, _, my_lengths = getattr(ours, method)()
        theirs, _, their_lengths = getattr(Dataset, method)(ours)
        assert my_lengths.tolist() == their_lengths.tolist()
        assert np.sort(mine.numpy(), axis=1).tolist() == np.sort(theirs.numpy(), axis=1).tolist()


def test_item_features_are_padded_token_lists(planted: AtomicData, tmp_path: Path) -> None:
    dataset = dataset_of(planted, "BPR", tmp_path, load_col={"item": ["item_id", "year", "decade", "genre"]})
    genre = dataset.item_feat["genre"]
    assert genre.shape == (dataset.item_num, 2)
    tokens = dataset.field2id_token["genre"]
    assert [{tokens[i] for i in row if i} for row in genre.tolist()[1:]] == [set(g) for g in planted.movies["genre"]]
    assert dataset.item_feat["year"].isfinite().all()
    decades = dataset.field2id_token["decade"][dataset.item_feat["decade"][1:].numpy()]
    assert [d if d != "[PAD]" else "" for d in decades] == planted.movies["decade"].tolist()


def test_an_unknown_item_field_is_refused(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'genres'"):
        dataset_of(planted, "BPR", tmp_path, load_col={"item": ["genres"]})


def test_movies_nobody_watched_are_items_too(planted: AtomicData, tmp_path: Path) -> None:
    assert dataset_of(planted, "BPR", tmp_path).item_num == len(planted.movies) + 1


def without_people(data: AtomicData) -> AtomicData:
    """The same data of a source that knows genres only, as RecBole's ml-100k does."""
    nobody = [() for _ in range(len(data.movies))]
    return replace(data, movies=data.movies.assign(director=nobody, writer=nobody))


def test_a_field_without_any_value_is_left_out_with_a_note(
    planted: AtomicData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="movierec_bench"):
        dataset = dataset_of(without_people(planted), "BPR", tmp_path)
    assert dataset.item_feat.columns == ["item_id", "genre"]
    assert [record.getMessage() for record in caplog.records] == [
        "planted has no director of any movie; the models do without that field",
        "planted has no writer of any movie; the models do without that field",
    ]


def test_knowledge_models_refuse_data_without_triples(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="planted has no knowledge triples"):
        dataset_of(replace(planted, triples=planted.triples.iloc[:0]), "CKE", tmp_path)
