"""What a parameter may be, as the comment behind its line in a YAML declares it, the only place that does.

A comment begins with the declaration. A unit in parentheses may follow, then ``, what it means`` and ``; its source``::

    k: 50          # int >= 1 (users), neighbours of a user; t3-07
    method: voting # voting | weighted (adds up similarities), how they count
    fields: null   # null or list of 2 str
    split_to: 1    # only 1, whole rows are scored at once

=========================== ==========================================================================================
``float``, ``int``          a number, whole or not; then perhaps ``> 0``, ``>= 0``, ``< 1``, ``<= 1`` or ``in [0, 1)``
``bool``, ``str``           true or false; text
``a | b``                   one of these values, each perhaps with ``(what it does)``
``only a``                  this value and no other
``list of K``               a list of the kind K; also ``list of 2 K`` and ``list of 1 or more K``
``{a: K, b: K}``            some of these keys, each of its own kind
``mapping of K``            any keys, all of the kind K
``null or K``               nothing, or the kind K
=========================== ==========================================================================================
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Optional

import yaml


class Kind(ABC):
    """A set of allowed values."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What is allowed, in words for a message."""

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Whether ``value`` is one of them."""

    def taken(self, value: Any) -> Any:
        """An allowed value in this kind's own type: 1 is taken as 1.0 where a float is declared."""
        return value


@dataclass(frozen=True)
class Number(Kind):
    """Finite numbers between two bounds, each of which belongs to them or not."""

    whole: bool
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def expected(self) -> str:
        """What is allowed: 'an integer >= 1', 'a number in [0, 1)'."""
        return f"{'an integer' if self.whole else 'a number'}{self.range}"

    @property
    def range(self) -> str:
        """The bounds: ' >= 1', ' in [0, 1)'; empty where there are none."""
        above = f"{'>' if self.low_open else '>='} {self.low:g}" if self.low > -math.inf else ""
        below = f"{'<' if self.high_open else '<='} {self.high:g}" if self.high < math.inf else ""
        if above and below:
            opening, closing = "(" if self.low_open else "[", ")" if self.high_open else "]"
            return f" in {opening}{self.low:g}, {self.high:g}{closing}"
        return f" {above or below}".rstrip()

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is a finite number, whole where it has to be, within the bounds. True is no number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        if not abs(value) < math.inf:
            return False
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def taken(self, value: Any) -> Any:
        """The value as an int or a float."""
        return value if self.whole else float(value)


@dataclass(frozen=True)
class Choice(Kind):
    """A few values; ``meanings`` says what some of them do."""

    values: tuple[Any, ...]
    meanings: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is allowed: 'one of BCE, BPR'."""
        return f"{'one of' if len(self.values) > 1 else 'only'} {', '.join(map(_as_yaml, self.values))}"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is one of them, of the same type."""
        return any(value == allowed and type(value) is type(allowed) for allowed in self.values)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    expected = "true or false"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is true or false."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text(Kind):
    """Any text."""

    expected = "text"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is text."""
        return isinstance(value, str)


@dataclass(frozen=True)
class ListOf(Kind):
    """Lists of one kind: of exactly ``least`` values where ``exact``, of at least so many otherwise."""

    item: Kind
    least: int = 0
    exact: bool = False

    @property
    def expected(self) -> str:
        """What is allowed: 'a list of integers >= 1, at least 1 of them'."""
        each = self.item.expected
        for one, many in (("an integer", "integers"), ("a number", "numbers")):
            each = f"{many}{each.removeprefix(one)}" if each.startswith(one) else each
        if self.exact:
            return f"a list of {self.least}: {each}"
        return f"a list of {each}" + (f", at least {self.least} of them" if self.least else "")

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is a list of the right length, and all in it are allowed."""
        if not isinstance(value, (list, tuple)) or not all(self.item.allows(one) for one in value):
            return False
        return len(value) == self.least if self.exact else len(value) >= self.least

    def taken(self, value: Any) -> Any:
        """A list of values in their kind's own type."""
        return [self.item.taken(one) for one in value]


@dataclass(frozen=True)
class Fields(Kind):
    """Mappings of some of these keys, each with a kind of its own."""

    kinds: tuple[tuple[str, Kind], ...]

    @property
    def expected(self) -> str:
        """What is allowed: 'some of {norm: a number > 0}'."""
        return "some of {" + ", ".join(f"{key}: {kind.expected}" for key, kind in self.kinds) + "}"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is a mapping of such keys and allowed values."""
        kinds = dict(self.kinds)
        return isinstance(value, Mapping) and all(key in kinds and kinds[key].allows(value[key]) for key in value)

    def taken(self, value: Any) -> Any:
        """A dictionary of values in their kinds' own types."""
        kinds = dict(self.kinds)
        return {key: kinds[key].taken(one) for key, one in value.items()}


@dataclass(frozen=True)
class MappingOf(Kind):
    """Mappings of any keys to values of one kind."""

    item: Kind

    @property
    def expected(self) -> str:
        """What is allowed: 'a mapping, each value a list of text'."""
        return f"a mapping, each value {self.item.expected}"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is a mapping whose values are all allowed."""
        return isinstance(value, Mapping) and all(self.item.allows(one) for one in value.values())

    def taken(self, value: Any) -> Any:
        """A dictionary of values in their kind's own type."""
        return {key: self.item.taken(one) for key, one in value.items()}


@dataclass(frozen=True)
class NullOr(Kind):
    """Null, or another kind."""

    kind: Kind

    @property
    def expected(self) -> str:
        """What is allowed: 'null or a number > 0'."""
        return f"null or {self.kind.expected}"

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is null or allowed by the other kind."""
        return value is None or self.kind.allows(value)

    def taken(self, value: Any) -> Any:
        """None, or the value in the other kind's own type."""
        return None if value is None else self.kind.taken(value)


@dataclass(frozen=True)
class Declaration:
    """What the comment behind a parameter says.

    Attributes:
        kind: the allowed values.
        text: the declaration as written, such as ``int >= 1``, without what single choices mean.
        unit: what one of them is, such as ``movies``; empty for none.
        meaning: what the parameter does.
        source: where its value comes from.
    """

    kind: Kind
    text: str
    unit: str = ""
    meaning: str = ""
    source: str = ""


@cache
def parse_declaration(comment: str) -> Declaration:
    """The declaration with which a comment begins.

    Raises:
        ValueError: it begins with none; the message says where it stops being one.
    """
    reader = _Reader(comment)
    kind = reader.kind()
    written = comment[: reader.at].strip()
    unit = "" if (found := reader.take(r"\s*\(([^()]*)\)")) is None else found.group(1)
    rest = comment[reader.at :]
    if rest.strip() and not re.match(r"\s*[,;]", rest):
        raise ValueError(f"{rest.strip()!r} follows {written!r}; expected ', what it means' or '; its source'")
    meaning, _, source = rest.lstrip(" ,").partition(";")
    meanings = [*_meanings(kind), *([meaning.strip()] if meaning.strip() else [])]
    text = re.sub(r"\s*\([^()]*\)(?=\s*(\||$))", "", written) if isinstance(kind, Choice) else written
    return Declaration(kind, text, unit.strip(), "; ".join(meanings), source.strip())


def _meanings(kind: Kind) -> list[str]:
    if not isinstance(kind, Choice):
        return []
    return [f"{_as_yaml(value)}: {meaning}" for value, meaning in zip(kind.values, kind.meanings) if meaning]


_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?"
_TOKEN = r"\[\]|'[^']*'|\"[^\"]*\"|[\w.:+-]+"


class _Reader:
    """Reads a declaration from the beginning of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def take(self, pattern: str) -> Optional[re.Match[str]]:
        """What comes next if it matches; None, and nothing is read, otherwise."""
        found = re.compile(pattern).match(self._text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def kind(self) -> Kind:
        """The kind that comes next. Raises ValueError where none does."""
        if self.take(r"\s*null or\b"):
            return NullOr(self.kind())
        if self.take(r"\s*only\b"):
            return Choice((self._value(),))
        if found := self.take(r"\s*list of\b(?:\s+(\d+)(\s+or more)?)?"):
            return ListOf(self.kind(), int(found.group(1) or 0), bool(found.group(1)) and not found.group(2))
        if self.take(r"\s*mapping of\b"):
            return MappingOf(self.kind())
        if self.take(r"\s*\{"):
            return self._fields()
        if self._next_is_choice():
            return self._choice()
        if found := self.take(r"\s*(int|float)\b"):
            return self._number(found.group(1) == "int")
        if self.take(r"\s*bool\b"):
            return Flag()
        if self.take(r"\s*str\b"):
            return Text()
        raise ValueError(f"{self._text[self.at :].strip()!r} declares nothing; expected such as 'float > 0' or 'a | b'")

    def _number(self, whole: bool) -> Number:
        if found := self.take(rf"\s*in\s*([\[(])\s*({_NUMBER})\s*,\s*({_NUMBER})\s*([\])])"):
            opening, low, high, closing = found.groups()
            return Number(whole, float(low), float(high), opening == "(", closing == ")")
        if found := self.take(rf"\s*(>=|>|<=|<)\s*({_NUMBER})"):
            sign, bound = found.group(1), float(found.group(2))
            if sign.startswith(">"):
                return Number(whole, low=bound, low_open=sign == ">")
            return Number(whole, high=bound, high_open=sign == "<")
        return Number(whole)

    def _next_is_choice(self) -> bool:
        return bool(re.compile(rf"\s*(?:{_TOKEN})\s*(?:\([^()]*\)\s*)?\|").match(self._text, self.at))

    def _choice(self) -> Choice:
        values, meanings = [], []
        while True:
            values.append(self._value())
            found = self.take(r"\s*\(([^()]*)\)")
            meanings.append(found.group(1) if found else "")
            if not self.take(r"\s*\|"):
                return Choice(tuple(values), tuple(meanings))

    def _value(self) -> Any:
        found = self.take(rf"\s*({_TOKEN})")
        if found is None:
            raise ValueError(f"a value is missing before {self._text[self.at :].strip()!r}")
        return yaml.safe_load(found.group(1))

    def _fields(self) -> Fields:
        kinds = []
        while True:
            key = self.take(r"\s*(\w+)\s*:")
            if key is None:
                raise ValueError(f"{self._text[self.at :].strip()!r} is no 'key: kind'")
            kinds.append((key.group(1), self.kind()))
            if self.take(r"\s*\}"):
                return Fields(tuple(kinds))
            if not self.take(r"\s*,"):
                raise ValueError(f"{self._text[self.at :].strip()!r} follows {key.group(1)!r}; expected ',' or '}}'")


def _as_yaml(value: Any) -> str:
    """A plain value as YAML writes it."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
