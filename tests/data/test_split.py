"""The protocol: partition, counts, last rows, uniform draw, settings and files."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from support.logs import DEFAULT, PARTS, PROTOCOL_FILE, logs_of, one_log

from movierec_bench.data.split import make_split
from movierec_bench.errors import ConfigError, DataError
from movierec_bench.settings.protocol import PROTOCOLS, load_protocol


def named(name, **changes):
    return dataclasses.replace(DEFAULT, name=name, **changes)


def expected_counts(length):
    """(test, validation) rows by the protocol's words, in exact arithmetic."""
    if length < 5:
        return 0, 0
    test = min(max(math.floor(Fraction(length, 10) + Fraction(1, 2)), 1), 10)
    valid = min(max(math.floor(Fraction(length - test, 10) + Fraction(1, 2)), 1), 10)
    return test, valid


def newest(rows, count):
    """Items of the ``count`` last rows by (time, then place in the file)."""
    return list(rows.sort_values(["time", "item"])["item"].tail(count)) if count else []


lengths_of_users = st.lists(st.integers(1, 130), min_size=1, max_size=6)


# -- properties of every protocol -------------------------------------------------------------


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(deadline=None, max_examples=40)
@given(lengths=lengths_of_users, seed=st.integers(0, 5))
def test_the_parts_hold_every_row_once_and_in_file_order(name, lengths, seed):
    interactions = logs_of(lengths, seed)
    split = make_split(interactions, named(name, seed=seed))
    together = pd.concat([split.train, split.valid, split.test]).sort_values("item").reset_index(drop=True)
    pd.testing.assert_frame_equal(together, interactions)
    for part in PARTS:
        frame = getattr(split, part)
        assert frame["item"].is_monotonic_increasing
        assert list(frame.index) == list(range(len(frame)))


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    name=st.sampled_from(PROTOCOLS),
    share=st.floats(0.01, 0.99),
    fewest=st.integers(1, 30),
    ratio=st.floats(0.01, 0.98),
)
def test_no_user_loses_all_training_rows_whatever_the_settings(lengths, name, share, fewest, ratio):
    protocol = named(
        name,
        min_rows=1,
        held_out_share=share,
        held_out_min=fewest,
        held_out_max=fewest + 5,
        ratio_test=ratio,
        ratio_valid=0.99 - ratio,
    )
    interactions = logs_of(lengths)
    split = make_split(interactions, protocol)
    assert set(split.train["user"]) == set(interactions["user"])
    assert sum(len(getattr(split, part)) for part in PARTS) == len(interactions)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_log_of_four_rows_holds_out_none_and_one_of_five_does(name):
    split = make_split(logs_of([4, 5]), named(name))
    assert set(split.valid["user"]) == set(split.test["user"]) == {5}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_same_seed_gives_the_same_split_and_nothing_else_matters(name):
    interactions = logs_of([5, 60, 17, 130])
    before = interactions.copy()
    split = make_split(interactions, named(name))
    pd.testing.assert_frame_equal(interactions, before)
    reindexed = interactions.set_index(np.arange(len(interactions))[::-1] * 7)
    wider = reindexed.assign(rating=1.0)[["rating", "time", "item", "user"]]
    again = make_split(wider, named(name))
    for part in PARTS:
        pd.testing.assert_frame_equal(getattr(split, part), getattr(again, part))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_file_order_matters_only_among_equal_times(name):
    interactions = logs_of([40, 70, 9])
    interactions["time"] = np.random.default_rng(1).permutation(len(interactions))
    split = make_split(interactions, named(name))
    shuffled = make_split(interactions.sample(frac=1, random_state=3), named(name))
    for part in PARTS:
        assert set(getattr(split, part)["item"]) == set(getattr(shuffled, part)["item"])


@pytest.mark.parametrize("name, draws", [("competition", True), ("random", True), ("last", False)])
def test_another_seed_moves_the_drawn_rows_only(name, draws):
    interactions = logs_of([60] * 30)
    splits = [make_split(interactions, named(name, seed=seed)) for seed in (1, 2)]
    assert (set(splits[0].test["item"]) != set(splits[1].test["item"])) == draws


def test_users_and_times_of_any_size_are_ordered_rightly():
    far_apart = pd.DataFrame(
        {"user": [9, 9, -(2**62), 9, 9, 9], "item": range(6), "time": [2**62, -(2**62), 0, 3, 2**62 - 1, 4]}
    ).astype("int64")
    split = make_split(far_apart, named("last"))
    assert list(split.test["item"]) == [0]
    assert list(split.valid["item"]) == [4]


def test_nothing_in_nothing_out():
    split = make_split(one_log(5).iloc[:0], DEFAULT)
    assert [len(getattr(split, part)) for part in PARTS] == [0, 0, 0]


# -- competition, random, last ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["competition", "random", "last"])
def test_the_counts_of_every_length_up_to_the_longest_log(name):
    lengths = np.concatenate([np.arange(1, 151), [164, 999, 2912]])
    split = make_split(logs_of(lengths), named(name))
    users = np.arange(len(lengths)) * 3 + 2
    found = [getattr(split, part)["user"].value_counts().reindex(users, fill_value=0) for part in ("test", "valid")]
    assert list(zip(*found)) == [expected_counts(length) for length in lengths.tolist()]


@pytest.mark.parametrize(
    "length, test, valid", [(5, 1, 1), (14, 1, 1), (15, 2, 1), (16, 2, 1), (95, 10, 9), (105, 10, 10)]
)
def test_the_counts_worked_out_by_hand(length, test, valid):
    split = make_split(one_log(length), DEFAULT)
    assert (len(split.test), len(split.valid)) == (test, valid)


@settings(deadline=None, max_examples=60)
@given(lengths=lengths_of_users, seed=st.integers(0, 5))
def test_competition_takes_half_of_the_rows_rounded_up_from_the_end(lengths, seed):
    interactions = logs_of(lengths, seed)
    split = make_split(interactions, named("competition", seed=seed))
    for user, log in interactions.groupby("user"):
        test = set(split.test.loc[split.test["user"] == user, "item"])
        valid = set(split.valid.loc[split.valid["user"] == user, "item"])
        assert test.issuperset(newest(log, math.ceil(len(test) / 2)))
        remaining = log[~log["item"].isin(test)]
        assert valid.issuperset(newest(remaining, math.ceil(len(valid) / 2)))


@settings(deadline=None, max_examples=40)
@given(lengths=lengths_of_users)
def test_last_takes_all_from_the_end(lengths):
    interactions = logs_of(lengths)
    split = make_split(interactions, named("last"))
    for user, log in interactions.groupby("user"):
        n_test, n_valid = expected_counts(len(log))
        held_out = newest(log, n_test + n_valid)
        assert sorted(split.test.loc[split.test["user"] == user, "item"]) == sorted(held_out[n_valid:])
        assert sorted(split.valid.loc[split.valid["user"] == user, "item"]) == sorted(held_out[:n_valid])


def test_equal_times_fall_back_on_the_place_in_the_file():
    bulk = one_log(30).assign(time=7)
    assert list(make_split(bulk, named("last")).test["item"]) == [27, 28, 29]


def test_every_way_to_draw_is_equally_likely():
    """Of 6 rows 2 test and then 1 of 4 validates: 60 ways, on 500 seeds with 40 users each."""
    protocol = named("random", held_out_share=0.3, min_rows=6)
    interactions = pd.concat([one_log(6).assign(user=user) for user in range(40)])
    ways = {
        (test, valid): 0 for test in itertools.combinations(range(6), 2) for valid in sorted(set(range(6)) - set(test))
    }
    for seed in range(500):
        split = make_split(interactions, dataclasses.replace(protocol, seed=seed))
        tests = split.test.sort_values(["user", "item"])["item"].to_numpy().reshape(40, 2)
        valids = split.valid.sort_values("user")["item"].to_numpy()
        for test, valid in zip(tests.tolist(), valids.tolist()):
            ways[tuple(test), valid] += 1
    assert len(ways) == 60
    assert chisquare(list(ways.values())).pvalue > 1e-3


def test_competition_draws_evenly_from_the_rows_that_are_not_last():
    """Of 30 rows 2 are the last and 1 is drawn from 28; then 2 of 27 the last and 1 drawn from 25."""
    interactions = pd.concat([one_log(30).assign(user=user) for user in range(50)])
    drawn_test, drawn_valid = np.zeros(28), np.zeros(25)
    for seed in range(300):
        split = make_split(interactions, named("competition", seed=seed))
        test = split.test["item"].to_numpy().reshape(50, 3)
        valid = split.valid["item"].to_numpy().reshape(50, 3)
        assert (test[:, 1:] == [28, 29]).all()
        np.add.at(drawn_test, test[:, 0], 1)
        np.add.at(drawn_valid, valid[:, 0] - (valid[:, 0] > test[:, 0]), 1)
    assert chisquare(drawn_test).pvalue > 1e-3
    assert chisquare(drawn_valid).pvalue > 1e-3


# -- ratio, halves ----------------------------------------------------------------------------


def test_ratio_counts_what_recbole_counts():
    recbole = pytest.importorskip("recbole.data.dataset").Dataset
    lengths = np.concatenate([np.arange(5, 151), [999, 2912]])
    split = make_split(logs_of(lengths), named("ratio"))
    for user, length in zip((np.arange(len(lengths)) * 3 + 2).tolist(), lengths.tolist()):
        ends = recbole._calcu_split_ids(None, length, [0.8, 0.1, 0.1])
        expected = list(np.diff([0, *ends, length]))
        assert [int((getattr(split, part)["user"] == user).sum()) for part in PARTS] == expected


def test_ratio_goes_by_time():
    split = make_split(one_log(25), named("ratio"))
    assert list(split.valid["item"]) == [21, 22]
    assert list(split.test["item"]) == [23, 24]


def test_halves_train_on_the_first_half_and_test_on_the_last_quarter():
    split = make_split(one_log(11), named("halves"))
    assert list(split.train["item"]) == [0, 1, 2, 3, 4, 5]
    assert list(split.valid["item"]) == [6, 7]
    assert list(split.test["item"]) == [8, 9, 10]


# -- settings ---------------------------------------------------------------------------------


def test_the_shipped_protocol_is_the_one_results_were_reported_under():
    """A new hash means other held-out rows: mark the change [scores] in the CHANGELOG."""
    assert DEFAULT.name == "competition"
    assert DEFAULT.hash == "f7fa5aca528db698"


def test_a_whole_number_and_its_float_are_one_setting():
    assert named("random", last_share=1).hash == named("random", last_share=1.0).hash


def edited(tmp_path, old, new):
    text = PROTOCOL_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "protocol.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("min_rows:", "min_row:", "protocol.yaml line .*unknown key 'min_row'; did you mean min_rows"),
        ("min_rows: 5", "# 5", "missing min_rows"),
        ("name: competition ", "name: lats ", "name is 'lats'; expected one of competition, random"),
        ("seed: 42", "seed: -1", "seed is -1; expected an integer of at least 0"),
        ("seed: 42", "seed: true", "seed is True; expected an integer"),
        ("min_rows: 5", "min_rows: 0", "min_rows is 0; expected an integer of at least 1"),
        ("held_out_min: 1 ", "held_out_min: 1.5 ", "held_out_min is 1.5; expected an integer"),
        ("held_out_max: 10", "held_out_max: 0", "held_out_max is 0; expected"),
        ("held_out_min: 1 ", "held_out_min: 11 ", "held_out_max is 10; expected at least held_out_min, 11"),
        ("held_out_share: 0.1", "held_out_share: '0.1'", "held_out_share is '0.1'; expected a number between"),
        ("held_out_share: 0.1", "held_out_share: 1.0", "held_out_share is 1.0; expected a number between"),
        ("last_share: 0.5", "last_share: 1.5", "last_share is 1.5; expected a number from 0 to 1"),
        ("last_share: 0.5", "last_share: .nan", "last_share is nan; expected a number from 0 to 1"),
        ("ratio_test: 0.1", "ratio_test: 0.9", r"ratio_valid \+ ratio_test is 1.0; expected less than 1"),
        ("name: competition ", "name: [ ", "expected one 'key: value' a line"),
    ],
)
def test_a_bad_setting_is_refused_with_the_file_and_what_was_expected(tmp_path, old, new, message):
    path = edited(tmp_path, old, new)
    with pytest.raises(ConfigError, match=message) as refusal:
        load_protocol(path)
    assert str(path) in str(refusal.value)


def test_a_protocol_file_that_is_missing_or_no_mapping_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no file; expected a YAML file"):
        load_protocol(tmp_path / "protocol.yaml")
    (tmp_path / "list.yaml").write_text("- name\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="found a list"):
        load_protocol(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda frame: frame.drop(columns="time"), "columns user, item; expected user, item, time"),
        (lambda frame: frame.astype({"time": float}), "column time is float64; expected int64"),
    ],
)
def test_interactions_of_another_form_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        make_split(change(one_log(9)), DEFAULT)
