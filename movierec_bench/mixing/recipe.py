"""The recipe of a mix: members, rule and weights, as they stand in its ``params.yaml``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.mixing.rules import MOST_WEIGHT, RRF, RULES, Rule
from movierec_bench.mixing.stacking import StackSettings
from movierec_bench.reports.user_segments import BY
from movierec_bench.runs.records import RunManifest
from movierec_bench.settings.yaml_files import load_yaml

CONCAT, ROUTE, STACK, FIT, GREEDY, AUTO = "concat", "route", "stack", "fit", "greedy", "auto"
SEARCHES = (FIT, GREEDY, AUTO)  # how rule, members or weights are found on validation rows
METHODS = (*RULES, CONCAT, ROUTE, STACK, *SEARCHES)

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Recipe:
    """All that it takes to make a mix again from the rankings of its members.

    Args:
        name: the mix's own name: letters, digits, ``.``, ``_`` and ``-``.
        method: one of ``METHODS``, how the mix came about.
        members: models or mixes of the run, each once; their order counts for ``concat`` and ``route``.
        rule: one of ``rules.RULES``; None for ``concat`` and ``route``.
        depth: ranks that count; with ``rule``.
        rrf_k: the constant of reciprocal rank fusion; with the rule ``rrf``.
        weights: a weight for each member; with ``rule``.
        firsts: movies that each member may give before the next one's turn; with ``concat``.
        by: the kind of segments; with ``route``.
        routes: for each segment the member that serves its users; the first member serves all other users.
        learner, strength, seed: as in ``StackSettings``, with ``depth``: a stack, which is fitted again on the
            validation rows wherever it is made.
        share, beside: how much of a stack is taken, above 0 and below 1, and the member that the rest is; None for all.
        judges: the models that tell good users from bad ones; with ``by: good``.
        data_hash, protocol_hash: of the run that it was found on; None in a recipe written by hand.
        search: what the search found, for the reader; not needed to make the mix again.
        found_on: for each member the `result_hash` that it had when the recipe was found; None in one written by hand.

    Raises:
        ConfigError: a setting is missing, out of place, or names no member.
    """

    name: str
    method: str
    members: tuple[str, ...]
    rule: Optional[str] = None
    depth: Optional[int] = None
    rrf_k: Optional[float] = None
    weights: Optional[dict[str, float]] = None
    firsts: Optional[tuple[int, ...]] = None
    by: Optional[str] = None
    routes: Optional[dict[str, str]] = None
    judges: Optional[tuple[str, ...]] = None
    learner: Optional[str] = None
    strength: Optional[float] = None
    seed: Optional[int] = None
    share: Optional[float] = None
    beside: Optional[str] = None
    data_hash: Optional[str] = None
    protocol_hash: Optional[str] = None
    search: Optional[dict[str, Any]] = None
    found_on: Optional[dict[str, str]] = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_choice("method", self.method, METHODS)
        if not self.members or len(set(self.members)) < len(self.members):
            raise ConfigError(f"members are {', '.join(self.members)!r}; expected at least one, each once")
        if self.method == CONCAT:
            self._check_concatenation()
        elif self.method == ROUTE:
            self._check_routes()
        elif self.method == STACK or self.learner is not None:
            self._check_stack()
        else:
            self._check_weights()

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """The recipe in a YAML file. Raises ConfigError naming file, key, what was found and expected."""
        content = {key: value for key, value in load_yaml(path).items() if value is not None}
        allowed = [field.name for field in dataclasses.fields(cls)]
        for key in content:
            if key not in allowed:
                hint = did_you_mean(key, allowed) or f"expected some of {', '.join(allowed)}"
                raise ConfigError(f"{path}: unknown key {key!r}; {hint}")
        missing = [key for key in ("name", "method", "members") if key not in content]
        if missing:
            raise ConfigError(f"{path}: {', '.join(missing)} missing; expected a recipe, as params.yaml of a mix")
        for key, kind in _KINDS.items():
            if key in content and not _is_of(content[key], kind):
                expected = {list: "a list", dict: "key: value lines", int: "an integer", str: "text"}.get(
                    kind, "a number"
                )
                raise ConfigError(f"{path}: {key} is {content[key]!r:.60}; expected {expected}")
            _check_entries(path, key, content.get(key))
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        try:
            return cls(**{**content, **lists})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_mapping(self) -> dict[str, Any]:
        """The settings that are there, for ``params.yaml``."""
        present = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in present.items()}
        return {key: value for key, value in plain.items() if value is not None}

    def mixing_rule(self) -> Rule:
        """The rule with its settings. Only for recipes that have one."""
        return Rule.of(str(self.rule), self.depth, self.rrf_k)

    def stack_settings(self) -> StackSettings:
        """The settings of a stack. Only for recipes that are one. Raises ConfigError for one out of range."""
        return StackSettings(str(self.learner), float(self.strength or 0), int(self.depth or 0), int(self.seed or 0))

    def check_belongs(self, run: Path, manifest: RunManifest) -> None:
        """Refuse the recipe unless it may be used on the run ``manifest`` tells of.

        Raises:
            ConfigError: it was found on other held-out rows, which may be this run's test rows.
        """
        for what, found, expected in (
            ("data", self.data_hash, manifest.data_hash),
            ("protocol", self.protocol_hash, manifest.protocol_hash),
        ):
            if found is not None and found != expected:
                raise ConfigError(
                    f"the recipe of {self.name} was found on other {what} (found {found}, {run} has {expected}), and "
                    f"its validation rows may be test rows here; expected a recipe of this run; find one with "
                    f"`ensemble {run} --method {self.method}`, or delete data_hash and protocol_hash from the "
                    "recipe if you know that no test row had a say"
                )

    def _check_weights(self) -> None:
        if self.rule is None or self.weights is None:
            raise ConfigError(f"method {self.method!r} needs rule and weights; expected both")
        self._check_absent("firsts", "by", "routes", "judges", *_OF_A_STACK)
        self.mixing_rule()
        if set(self.weights) != set(self.members):
            raise ConfigError(f"weights are those of {', '.join(self.weights)}; expected one for each member")
        values = list(self.weights.values())
        if not all(isinstance(value, (int, float)) and 0 <= value <= MOST_WEIGHT for value in values) or not any(
            values
        ):
            raise ConfigError(
                f"weights are {values!r:.60}; expected numbers from 0 to {MOST_WEIGHT:g}, one above 0 at least"
            )

    def _check_concatenation(self) -> None:
        self._check_absent("rule", "depth", "rrf_k", "weights", "by", "routes", "judges", *_OF_A_STACK)
        firsts = self.firsts or ()
        if len(firsts) != len(self.members) or not all(isinstance(n, int) and n >= 0 for n in firsts):
            raise ConfigError(
                f"firsts are {list(firsts)}; expected how many movies each of {len(self.members)} members gives in turn"
            )

    def _check_routes(self) -> None:
        self._check_absent("rule", "depth", "rrf_k", "weights", "firsts", *_OF_A_STACK)
        if not Path(str(self.by)).is_file():  # a file of users
            check_choice("by", self.by, BY)
        strangers = sorted(set((self.routes or {}).values()) - set(self.members))
        if not self.routes or strangers:
            raise ConfigError(
                f"routes lead to {', '.join(strangers) or 'nobody'}; expected a member for each segment, "
                f"of {', '.join(self.members)}"
            )

    def _check_stack(self) -> None:
        self._check_absent("rule", "rrf_k", "weights", "firsts", "by", "routes", "judges")
        absent = [key for key in ("learner", "strength", "depth", "seed") if getattr(self, key) is None]
        if absent:
            raise ConfigError(
                f"{', '.join(absent)} missing; expected all of learner, strength, depth and seed for a stack"
            )
        if (self.share is None) != (self.beside is None) or self.beside not in (None, *self.members):
            raise ConfigError(
                f"share is {self.share} and beside is {self.beside!r}; expected neither, or both, beside one of "
                f"{', '.join(self.members)}"
            )
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}; expected a number above 0 and below 1")
        self.stack_settings()

    def _check_absent(self, *keys: str) -> None:
        present = [key for key in keys if getattr(self, key) is not None]
        if present:
            raise ConfigError(f"{', '.join(present)} mean nothing for method {self.method!r}; leave them out")


_OF_A_STACK = ("learner", "strength", "seed", "share", "beside")
_KINDS: Mapping[str, Any] = {
    "name": str,
    "method": str,
    "members": list,
    "rule": str,
    "depth": int,
    "rrf_k": (int, float),
    "weights": dict,
    "firsts": list,
    "by": str,
    "routes": dict,
    "judges": list,
    "learner": str,
    "strength": (int, float),
    "seed": int,
    "share": (int, float),
    "beside": str,
    "data_hash": str,
    "protocol_hash": str,
    "search": dict,
    "found_on": dict,
}


_ENTRIES: Mapping[str, Any] = {
    "members": str,
    "weights": (int, float),
    "firsts": int,
    "routes": str,
    "judges": str,
    "found_on": str,
}


def _is_of(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # Python takes true for a number


def _check_entries(path: Path, key: str, content: Any) -> None:
    """Raise ConfigError unless the entries of a list or mapping, and a mapping's keys, are of the type they should."""
    if key not in _ENTRIES or content is None:
        return
    entries = list(content.values()) if isinstance(content, dict) else content
    keys = list(content) if isinstance(content, dict) else []
    if not all(_is_of(entry, _ENTRIES[key]) for entry in entries) or not all(isinstance(name, str) for name in keys):
        expected = "texts" if _ENTRIES[key] is str else "numbers"
        raise ConfigError(f"{path}: {key} are {content!r:.60}; expected {expected}")


def rule_text(rule: Rule) -> str:
    """The rule and its settings in a few characters."""
    constant = f", k {rule.rrf_k:g}" if rule.name == RRF else ""
    return f"{rule.name} (depth {rule.depth}{constant})"


def check_name(name: str) -> None:
    """Raise ConfigError unless a mix may be called ``name``."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name is {name!r}; expected letters, digits, '.', '_' and '-'")


def check_choice(what: str, found: Any, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError, naming the close ones, unless ``found`` is one of ``allowed``."""
    if found in allowed:
        return
    hint = did_you_mean(found, allowed)
    raise ConfigError(f"{what} is {found!r}; expected one of {', '.join(allowed)}{'; ' if hint else ''}{hint}")
