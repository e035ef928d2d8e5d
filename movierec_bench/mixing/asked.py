"""Reading what a mix was asked to be: options, weights, names and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from movierec_bench.errors import ConfigError
from movierec_bench.mixing.recipe import AUTO, CONCAT, FIT, GREEDY, METHODS, ROUTE, STACK
from movierec_bench.mixing.rules import RRF, RULES
from movierec_bench.schema import STORED_K, K

Numbers = Union[str, Sequence[float]]
Named = Union[str, Mapping[str, Any]]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(RULES, ("weights", "depth")),
    RRF: ("weights", "depth", "rrf_k"),
    CONCAT: ("firsts",),
    ROUTE: ("by", "routes", "judges"),
    STACK: ("learner", "strength", "depth", "seed"),
    FIT: ("rule", "depth", "rrf_k", "folds", "seed"),
    GREEDY: ("rule", "depth", "rrf_k", "folds", "steps", "seed"),
    AUTO: ("folds", "steps", "seed"),
}


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming the methods it is for, unless every option means something for ``method``."""
    for option in options:
        if option not in _OPTIONS[method]:
            takers = [name for name in METHODS if option in _OPTIONS[name]]
            raise ConfigError(
                f"{option} means nothing for method {method!r}; leave it out, or choose {' or '.join(takers)}"
            )


def weights_of(given: Optional[Union[Numbers, Named]], members: Sequence[str]) -> list[float]:
    """A weight for each of ``members``. Raises ConfigError."""
    if given is None:
        return [1.0] * len(members)
    if isinstance(given, Mapping) or (isinstance(given, str) and "=" in given):
        named = {name: _number("weight", value) for name, value in pairs(given).items()}
        if set(named) != set(members):
            odd = sorted(set(named) ^ set(members))
            raise ConfigError(
                f"weights name {', '.join(named)}; expected each of {', '.join(members)}; correct {odd[0]}"
            )
        return [named[name] for name in members]
    numbers = [_number("weight", value) for value in _parts(given)]
    if len(numbers) != len(members):
        raise ConfigError(
            f"there are {len(numbers)} weights for {len(members)} models ({', '.join(members)}); expected one a model"
        )
    return numbers


def firsts_of(given: Optional[Union[int, Numbers]], members: int) -> tuple[int, ...]:
    """How many movies each of the members gives in its first turn; the last ones fill what is left."""
    parts = [K // members or 1] * (members - 1) if given is None else _parts(given)
    numbers = [_number("firsts", value) for value in parts]
    if len(numbers) > members or not all(number == int(number) and number >= 1 for number in numbers):
        raise ConfigError(f"firsts are {given!r}; expected at most {members} whole numbers from 1, one a model")
    return (*(int(number) for number in numbers), *[STORED_K] * (members - len(numbers)))


def _parts(given: Union[float, str, Sequence[Any]]) -> list[Any]:
    if isinstance(given, str):
        return [part for part in re.split(r"[,\s]+", given) if part]
    return list(given) if isinstance(given, Sequence) else [given]


def pairs(given: Named) -> dict[str, Any]:
    """``Name=value`` texts, comma-separated, as a dictionary; a mapping as it is. Raises ConfigError."""
    if isinstance(given, Mapping):
        return dict(given)
    parts = _parts(given)
    if not all(part.count("=") == 1 for part in parts):
        raise ConfigError(f"found {given!r}; expected NAME=VALUE, comma-separated")
    return dict(part.split("=") for part in parts)


def names_of(given: Optional[Union[str, Sequence[str]]]) -> Optional[tuple[str, ...]]:
    """Names from a comma-separated text or a sequence; None for None."""
    return None if given is None else tuple(_parts(given))


def _number(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} is {value!r}; expected a number") from error


def positive(what: str, value: int) -> int:
    """``value``. Raises ConfigError where it is below 1."""
    if value < 1:
        raise ConfigError(f"{what} is {value}; expected at least 1")
    return value
