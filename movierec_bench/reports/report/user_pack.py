"""Users' histories, held-out movies and every model's ten, packed so that thousands fit into a page.

A block of users is a row of little-endian unsigned integers, of 16 bits or, where movies are more, of 32, compressed
by raw deflate, which every browser undoes, and written in base64. A user is: rows of the history in all, rows of it
that follow, held-out movies, candidates; then those movies by number, the newest of the history first; then, model by
model, ten places among the candidates counted from 1, 0 for none. Places are small numbers and the frequent ones are
the smallest, which halves what the numbers of the movies themselves would take.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from movierec_bench.errors import ConfigError
from movierec_bench.reports.report.material import Material
from movierec_bench.schema import ITEM, TIME, USER, K

MOST_BYTES = 9_000_000  # of the packed users; with charts, tables and titles a page then stays below 15 MB
_MOST_HISTORY = 200  # rows of a user's history that are packed
_USERS_A_BLOCK = 32  # users that one look unpacks
_PILOT = 256  # users that tell how many bytes one takes
_NARROW = 2**16  # numbers of movies, 0 among them, that 16 bits can write


@dataclass(frozen=True)
class UserPack:
    """The users that a page can show.

    Args:
        users: their ids as text.
        blocks: `_USERS_A_BLOCK` users each, in that order.
        wide: whether the integers have 32 bits.
        titles: what the movies are called, by number - 1.
        models: whose tens are packed, in order.
        scored: how many users of the run have test rows.
    """

    users: tuple[str, ...]
    blocks: tuple[str, ...]
    wide: bool
    titles: tuple[str, ...]
    models: tuple[str, ...]
    scored: int

    def for_page(self) -> dict[str, object]:
        """What the page's script reads."""
        return {
            "users": self.users,
            "blocks": self.blocks,
            "block": _USERS_A_BLOCK,
            "wide": self.wide,
            "titles": self.titles,
            "models": self.models,
            "k": K,
        }


def pack_users(material: Material, wanted: Sequence[str] = (), most_bytes: int = MOST_BYTES) -> UserPack:
    """Pack as many users as fit, the ``wanted`` ones first, the others as a stratified sample.

    Args:
        material: of the run.
        wanted: ids, as text, of users who must be there; also users without test rows.
        most_bytes: of all blocks together; the wanted users may take more.

    Raises:
        ConfigError: a wanted user has no row in the run.
    """
    logs = _Logs.of(material)
    must = logs.find(wanted)
    order = [place for place in _stratified(material, logs) if place not in set(must)]
    packer = _Packer(material, logs)
    room = most_bytes - packer.size(must)
    pilot = _evenly(order, _PILOT)
    each = packer.size(pilot) / max(1, len(pilot))
    fits = len(order) if each * len(order) <= room else max(0, int(room / max(each, 1.0)))
    sample = _evenly(order, fits)
    while sample and packer.size(must + sample) > most_bytes:  # the pilot took less than the users do on average
        sample = _evenly(order, int(len(sample) * 0.95))
    return packer.pack(must + sample)


class _Logs:
    """Every user's rows: what was seen at test time, newest first, and what was held out.

    Attributes:
        users: ids, ascending.
        text: place in ``users`` by id as text.
    """

    def __init__(self, users: np.ndarray, seen: list[np.ndarray], test: list[np.ndarray]) -> None:
        self.users, self._seen, self._test = users, seen, test
        self.text = {str(user): place for place, user in enumerate(users)}

    @classmethod
    def of(cls, material: Material) -> _Logs:
        split = material.split
        seen = pd.concat([split.train, split.valid]).sort_values(TIME, kind="stable", ascending=False)
        users = np.sort(pd.unique(pd.concat([seen[USER], split.test[USER]])))
        numbered = [_grouped(rows, users, material.items.number(rows[ITEM])) for rows in (seen, split.test)]
        return cls(users, *numbered)

    def seen(self, place: int) -> np.ndarray:
        return self._seen[place]

    def test(self, place: int) -> np.ndarray:
        return self._test[place]

    def find(self, wanted: Sequence[str]) -> list[int]:
        unknown = [user for user in wanted if user not in self.text]
        if unknown:
            raise ConfigError(
                f"users {', '.join(unknown[:5])} have no rows in this run ({len(unknown)} such ids); "
                f"expected ids of its {len(self.users):,} users, such as {', '.join(map(str, self.users[:3]))}"
            )
        return list(dict.fromkeys(self.text[user] for user in wanted))


def _grouped(rows: pd.DataFrame, users: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """For each user the ``numbers`` of its rows, in their order."""
    owner = pd.Index(users).get_indexer(rows[USER])
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(users)))
    return np.split(numbers[order], ends[:-1])


def _stratified(material: Material, logs: _Logs) -> list[int]:
    """Places in ``logs`` of the users with test rows, in an order in which even steps make a stratified sample.

    Strata are thirds of the history's length; within one, users go from the worst served to the best served.
    """
    places = pd.Index(logs.users).get_indexer(material.test.users)
    lengths = np.array([len(logs.seen(place)) for place in places])
    third = np.searchsorted(np.quantile(lengths, [1 / 3, 2 / 3]), lengths) if len(lengths) else lengths
    served = material.test.recall().mean(axis=0) if material.test.models else np.zeros(len(places))
    return [int(place) for place in places[np.lexsort((np.arange(len(places)), served, third))]]


def _evenly(order: list[int], count: int) -> list[int]:
    """``count`` of ``order``, or all, at even steps."""
    if count >= len(order):
        return order
    return [order[place] for place in np.linspace(0, len(order) - 1, count).astype(int)]


@dataclass(frozen=True)
class _Packer:
    """Packs users, places in ``logs``, for one material."""

    material: Material
    logs: _Logs

    def size(self, places: Sequence[int]) -> int:
        """Characters of the blocks of these users."""
        wide = len(self.material.items.ids) >= _NARROW
        return sum(len(block) for block in self._blocks(places, np.arange(len(self.material.items.ids) + 1), wide))

    def pack(self, places: Sequence[int]) -> UserPack:
        """The pack of these users, its movies numbered anew so that only theirs need titles."""
        places = sorted(places)
        material = self.material
        used = np.unique(np.concatenate([np.zeros(1, dtype=np.int64), *map(self._movies, places)]))
        renumbered = np.zeros(len(material.items.ids) + 1, dtype=np.int64)
        renumbered[used] = np.arange(len(used))
        wide = len(used) > _NARROW
        return UserPack(
            users=tuple(str(self.logs.users[place]) for place in places),
            blocks=tuple(self._blocks(places, renumbered, wide)),
            wide=wide,
            titles=tuple(material.titles[number - 1] for number in used[1:]),
            models=material.test.models,
            scored=len(material.test.users),
        )

    def _blocks(self, places: Sequence[int], numbers: np.ndarray, wide: bool) -> list[str]:
        kind = "<u4" if wide else "<u2"
        starts = range(0, len(places), _USERS_A_BLOCK)
        packed = [
            np.concatenate([self._user(place, numbers) for place in places[start : start + _USERS_A_BLOCK]])
            for start in starts
        ]
        return [_deflated(block.astype(kind).tobytes()) for block in packed]

    def _tens(self, place: int) -> np.ndarray:
        """int32 [M, K]: what each model gives the user; no model for a user without test rows."""
        users = self.material.test.users
        row = int(np.searchsorted(users, self.logs.users[place]))
        asked = row < len(users) and users[row] == self.logs.users[place]
        return (
            self.material.test.top[:, row] if asked else np.zeros((len(self.material.test.models), K), dtype=np.int32)
        )

    def _movies(self, place: int) -> np.ndarray:
        history, test = self.logs.seen(place)[:_MOST_HISTORY], self.logs.test(place)
        return np.unique(np.concatenate([history, test, self._tens(place).ravel()]))

    def _user(self, place: int, numbers: np.ndarray) -> np.ndarray:
        seen, test, tens = self.logs.seen(place), self.logs.test(place), self._tens(place)
        history = seen[:_MOST_HISTORY]
        candidates, where, counts = np.unique(tens, return_inverse=True, return_counts=True)
        order = np.argsort(np.where(candidates == 0, -1, -counts), kind="stable")  # the most recommended first
        order = np.concatenate([order[candidates[order] == 0], order[candidates[order] != 0]])
        code = np.empty(len(candidates), dtype=np.int64)
        code[order] = np.arange(len(order)) + (0 if (candidates == 0).any() else 1)
        listed = candidates[order][candidates[order] != 0]
        head = [min(len(seen), 2**16 - 1), len(history), len(test), len(listed)]
        parts = (head, numbers[history], numbers[test], numbers[listed], code[where.ravel()])
        return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])


def _deflated(content: bytes) -> str:
    compressor = zlib.compressobj(level=9, wbits=-15)
    return base64.b64encode(compressor.compress(content) + compressor.flush()).decode("ascii")
