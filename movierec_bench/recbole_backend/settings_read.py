"""Which settings a model's training and ranking look up, so that a change of any other redoes nothing."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from typing import Any

from movierec_bench.settings.entry_reading import PROTOCOL_KEYS

_listening: list[set[str]] = []


@contextmanager
def settings_read() -> Iterator[set[str]]:
    """Give a set that is filled with the names of all settings looked up in the block, there or not.

    Those that no model's YAML may hold are left out.
    """
    names: set[str] = set()
    _listening.append(names)
    try:
        yield names
    finally:
        _listening.remove(names)
        names -= PROTOCOL_KEYS


class ReadSettings(dict[str, Any]):
    """A Config's settings that notes every look-up; to go through all of them is to look up all."""

    def __getitem__(self, name: str) -> Any:
        _note(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        """As a dictionary's."""
        _note(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        _note(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self._note_all()
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """As a dictionary's."""
        self._note_all()
        return super().keys()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As a dictionary's."""
        self._note_all()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As a dictionary's."""
        self._note_all()
        return super().values()

    def _note_all(self) -> None:
        for name in dict.keys(self):
            _note(name)


def _note(name: str) -> None:
    for names in _listening:
        names.add(name)
