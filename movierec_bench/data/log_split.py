"""The split of a data set under any protocol: of each user's log, or of the whole one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.split import SHOWN, TEST, TRAIN, VALID, Split, drawn_once, make_split, parted
from movierec_bench.errors import ConfigError
from movierec_bench.schema import DATES, NO_TIMES, TIME, USER
from movierec_bench.settings.protocol import Protocol

GIVEN, BY_TIME, BY_USER = "given", "time", "users"
_UNORDERED = ("random", BY_USER, GIVEN)  # protocols that need no order of a user's rows


def split_data(data: AtomicData, protocol: Protocol) -> Split:
    """The split of a data set: a function of the data and the protocol, of nothing else.

    Args:
        data: the data set.
        protocol: what to hold out.

    Raises:
        ConfigError: the data lack what the protocol needs, or nothing would be left to train on or to find.
    """
    check_protocol(data, protocol)
    rows = data.interactions
    if protocol.name == BY_TIME:
        return parted(rows, _by_time(data, protocol))
    if protocol.name == BY_USER:
        return parted(rows, _by_user(data, protocol))
    if protocol.name == GIVEN:
        return replace(parted(rows, _given(data, protocol)), candidates=data.candidates)
    return make_split(rows, protocol)


def check_protocol(data: AtomicData, protocol: Protocol) -> None:
    """Raise ConfigError unless the data hold what the protocol needs: times, or a split that came with them."""
    if data.times == NO_TIMES and protocol.name not in _UNORDERED and not _draws_all(protocol):
        raise ConfigError(
            f"{data.name} has no times, and the protocol {protocol.name!r} needs the order of a user's rows; expected "
            "a column of times, or a protocol that draws: --protocol random"
        )
    if protocol.name == BY_TIME and data.times != DATES:
        raise ConfigError(
            f"{data.name} counts places in each user's log, and the protocol 'time' cuts all logs at one date; "
            "expected dates or unix times, or another protocol, such as --protocol last"
        )
    if protocol.name == GIVEN and data.parts is None:
        raise ConfigError(
            f"{data.name} did not come split, and the protocol 'given' uses the split that came with the data; "
            "expected data made by `python -m movierec_bench convert --train FILE --test FILE`, or another --protocol"
        )


def _draws_all(protocol: Protocol) -> bool:
    return protocol.name == "competition" and protocol.last_share == 0


def _by_time(data: AtomicData, protocol: Protocol) -> np.ndarray:
    """Int8 [n]: the newest rows of all test, those before them validate. Rows of one second are never parted.

    The cut is the time of the row that the share points at, all rows being sorted by time; a row of that very time is
    on the later side.
    """
    time = data.interactions[TIME].to_numpy()
    ascending = np.sort(time)
    n = len(time)
    first_test = ascending[min(n - 1, int(np.floor((1 - protocol.ratio_test) * n + 0.5)))]
    first_valid = ascending[int(np.floor((1 - protocol.ratio_test - protocol.ratio_valid) * n + 0.5))]
    part = np.where(time >= first_test, TEST, np.where(time >= first_valid, VALID, TRAIN)).astype(np.int8)
    _check_filled(data, protocol, part)
    return part


def _by_user(data: AtomicData, protocol: Protocol) -> np.ndarray:
    """Int8 [n]: whole users are held out, and of each of them some drawn rows are to be found and the others shown.

    Source:
        Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018: strong generalisation.
    """
    owner, _ = pd.factorize(data.interactions[USER].to_numpy(), sort=True)
    lengths = np.bincount(owner)
    rng = np.random.default_rng(protocol.seed)
    order = rng.permutation(np.flatnonzero(lengths >= max(protocol.min_rows, 2)))
    shares = (protocol.ratio_test, protocol.ratio_valid)
    n_test, n_valid = (int(np.floor(share * len(order) + 0.5)) for share in shares)
    part_of_user = np.full(len(lengths), TRAIN, dtype=np.int8)
    part_of_user[order[:n_test]] = TEST
    part_of_user[order[n_test : n_test + n_valid]] = VALID
    hidden = np.clip(
        np.floor((1 - protocol.shown_share) * lengths + 0.5).astype(np.int64), 1, np.maximum(lengths - 1, 1)
    )
    lots = rng.permutation(len(owner))
    by_user = np.lexsort((lots, owner))
    place = np.arange(len(owner)) - np.repeat(np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    in_file = np.empty_like(place)
    in_file[by_user] = place
    part = np.where(in_file < hidden[owner], part_of_user[owner], SHOWN).astype(np.int8)
    part[part_of_user[owner] == TRAIN] = TRAIN
    _check_filled(data, protocol, part)
    return part


def _given(data: AtomicData, protocol: Protocol) -> np.ndarray:
    """Int8 [n]: the split that came with the data. Validation rows it lacks are drawn from the training rows.

    They are as many of a user's training rows as `competition` would hold out for the test, and of the same kind;
    where no times are known, all of them are drawn.
    """
    assert data.parts is not None  # checked
    part = data.parts.copy()
    if not (part == VALID).any():
        trains = np.flatnonzero(part == TRAIN)
        rule = replace(protocol, name="random" if data.times == NO_TIMES else "competition")
        part[trains[drawn_once(data.interactions.iloc[trains], rule)]] = VALID
    _check_filled(data, protocol, part)
    return part


def _check_filled(data: AtomicData, protocol: Protocol, part: np.ndarray) -> None:
    for number, name in ((TRAIN, "to train on"), (VALID, "to validate with"), (TEST, "to test with")):
        if not (part == number).any():
            raise ConfigError(
                f"the protocol {protocol.name!r} leaves no row of {data.name} {name}; expected more rows, users or "
                "times; choose another --protocol, or other shares in protocol.yaml"
            )
