"""Stored splits: read back as written, joined in the order of the log, refused where damaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.logs import DEFAULT, PARTS, logs_of, one_log

from movierec_bench.data.atomic import read_atomic
from movierec_bench.data.convert import convert
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.split import make_split, read_split, write_split
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import DataError


def test_joined_parts_come_in_the_order_of_the_log_within_one_second(tmp_path):
    """Bulk ratings: every row of a user at one second, so that the place in the file is all the order there is."""
    log = logs_of([40, 9, 25]).assign(time=1_200_000_000)
    log = log.sample(frac=1, random_state=1).reset_index(drop=True)
    vocabulary = Vocabulary(np.unique(log["user"]), np.unique(log["item"]))
    split = make_split(log, DEFAULT)
    write_split(split, tmp_path)
    for there in (split, read_split(tmp_path).in_order_of(log, vocabulary)):
        pd.testing.assert_frame_equal(there.seen("full"), log)
        held_out = log.merge(split.test, how="left", indicator=True)["_merge"] == "both"
        pd.testing.assert_frame_equal(there.seen("test"), log[~held_out].reset_index(drop=True))
        pd.testing.assert_frame_equal(there.fitted("test"), there.seen("test"))
        pd.testing.assert_frame_equal(there.seen("valid"), split.train)


def test_without_its_log_a_split_is_not_joined(tmp_path):
    log = logs_of([40, 9, 25])
    write_split(make_split(log, DEFAULT), tmp_path)
    with pytest.raises(DataError, match="train, valid of a split are joined in the order of the log"):
        read_split(tmp_path).seen("test")
    vocabulary = Vocabulary(np.unique(log["user"]), np.unique(log["item"]))
    with pytest.raises(DataError, match=r"\d+ rows of the split are not in the data set.*--fresh"):
        read_split(tmp_path).in_order_of(log.iloc[:30], vocabulary)


def test_histories_at_test_are_those_of_the_log_on_ml_100k(tmp_path):
    """Most of its users gave many of their ratings within one second."""
    folder = convert(out=tmp_path)
    data = read_atomic(folder)
    write_split(make_split(data.interactions, DEFAULT), tmp_path / "split")
    split = read_split(tmp_path / "split").in_order_of(data.interactions, data.vocabulary)
    log = Interactions.from_rows(data.interactions, data.vocabulary)
    test = Interactions.from_rows(split.test, data.vocabulary)
    held_out = np.isin(log.user_ix * log.n_items + log.item_ix, test.user_ix * log.n_items + test.item_ix)
    histories = Interactions.from_rows(split.seen("test"), data.vocabulary)
    np.testing.assert_array_equal(histories.item_ix, log.item_ix[~held_out])
    np.testing.assert_array_equal(Interactions.from_rows(split.seen("full"), data.vocabulary).item_ix, log.item_ix)
    one_after_the_other = pd.concat([split.train, split.valid])
    assert (Interactions.from_rows(one_after_the_other, data.vocabulary).item_ix != log.item_ix[~held_out]).any()


def test_a_split_is_read_back_as_it_was_written(tmp_path):
    split = make_split(logs_of([40, 9, 3]), DEFAULT)
    write_split(split, tmp_path / "split")
    again = read_split(tmp_path / "split")
    for part in PARTS:
        pd.testing.assert_frame_equal(getattr(split, part), getattr(again, part))
    assert sorted(path.name for path in (tmp_path / "split").iterdir()) == [
        "test.parquet",
        "train.parquet",
        "valid.parquet",
    ]


def test_a_damaged_split_is_refused(tmp_path):
    split = make_split(one_log(9), DEFAULT)
    write_split(split, tmp_path)
    split.test.drop(columns="time").to_parquet(tmp_path / "test.parquet", index=False)
    with pytest.raises(DataError, match=r"test\.parquet: found the columns user, item; expected .*--fresh"):
        read_split(tmp_path)
    (tmp_path / "valid.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(DataError, match=r"valid\.parquet: cannot be read"):
        read_split(tmp_path)
    (tmp_path / "train.parquet").unlink()
    with pytest.raises(DataError, match=r"train\.parquet: cannot be read"):
        read_split(tmp_path)
