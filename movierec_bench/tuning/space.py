"""Search spaces: what `tune` varies of a model, from ``recbole_configs/tune/<Model>.yaml``.

A file's name is the model's name, and each line is a parameter of that model with one domain::

    reg_weight: {log_uniform: [50.0, 5000.0]}    # choice | uniform | log_uniform | int | log_int

A user's own ``recbole_configs`` folder wins over the packaged one, file by file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.declarations import Number
from movierec_bench.settings.yaml_files import ConfigFolders, YamlFile, read_yaml

KINDS = ("choice", "uniform", "log_uniform", "int", "log_int")
_TUNE = "tune"
_DIGITS = 4  # significant digits of a drawn float: finer differences change no ranking worth having
_POINTS_PER_SAMPLE = 20  # points looked at for each configuration wanted, before a space counts as exhausted


@dataclass(frozen=True)
class Domain:
    """The values one parameter may take.

    Attributes:
        kind: one of ``KINDS``. The bounds of ``int`` and ``log_int`` are both included.
        values: the choices, or the lowest and the highest value.
    """

    kind: str
    values: tuple[Any, ...]

    def at(self, quantile: float) -> Any:
        """The value below which a share ``quantile``, 0 <= float < 1, of the domain lies."""
        if self.kind == "choice":
            return self.values[int(quantile * len(self.values))]
        low, high = self.values
        if self.kind == "int":
            return low + int(quantile * (high - low + 1))
        if self.kind == "log_int":
            return min(max(int(_between_logs(low, high + 1, quantile)), low), high)
        value = low + quantile * (high - low) if self.kind == "uniform" else _between_logs(low, high, quantile)
        return min(max(float(f"{value:.{_DIGITS}g}"), float(low)), float(high))

    @property
    def in_words(self) -> str:
        """What is searched: '50 to 5000, by its logarithm', or the choices."""
        if self.kind == "choice":
            return " | ".join(json.dumps(value) if not isinstance(value, str) else value for value in self.values)
        low, high = self.values
        return f"{low:g} to {high:g}{', by its logarithm' if self.kind.startswith('log_') else ''}"

    def __contains__(self, value: Any) -> bool:
        if self.kind == "choice":
            return value in self.values
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        whole = self.kind in ("uniform", "log_uniform") or isinstance(value, int)
        return is_number and whole and bool(self.values[0] <= value <= self.values[1])


@dataclass(frozen=True)
class SearchSpace:
    """What is searched of one model.

    Attributes:
        path: the YAML it came from.
        domains: parameter name to domain, in the YAML's order; never empty.
    """

    path: Path
    domains: Mapping[str, Domain]

    def draw(self, samples: int, seed: int, besides: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Different configurations, spread evenly over the space.

        They are points of a scrambled Halton sequence, which leaves smaller gaps than independent draws do. The
        first of 30 are the same as those of 20, so that a search can be continued with more samples.

        Args:
            samples: configurations wanted; a space of few choices may hold fewer.
            seed: of the scrambling.
            besides: a configuration that is not to be among them: the default one.

        Returns:
            One dictionary, parameter name to value, a configuration.

        Source:
            Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012 (section 4).
        """
        from scipy.stats import qmc

        sequence = qmc.Halton(d=len(self.domains), scramble=True, seed=seed)
        seen = {_key({name: besides[name] for name in self.domains})}
        drawn: list[dict[str, Any]] = []
        for _ in range(_POINTS_PER_SAMPLE * samples):
            point = sequence.random(1)[0]
            values = {name: domain.at(float(at)) for (name, domain), at in zip(self.domains.items(), point)}
            if _key(values) not in seen:
                seen.add(_key(values))
                drawn.append(values)
            if len(drawn) == samples:
                break
        return drawn


def has_space(entry: ModelEntry, folders: ConfigFolders) -> bool:
    """Whether a model, or the model it is a variant of, has a search space."""
    return _named_in({path.stem for path in folders.files(_TUNE)}, entry) is not None


def _named_in(there: Collection[str], entry: ModelEntry) -> Optional[str]:
    """The first of the model and its bases that is there."""
    return next((name for name in (entry.name, *entry.bases) if name in there), None)


def load_space(entry: ModelEntry, folders: ConfigFolders) -> SearchSpace:
    """The search space of a model; of a variant that has none, its base's, without the parameters the variant sets.

    Raises:
        ConfigError: the model has none, or its YAML names an unknown parameter or domain, or bad bounds.
    """
    there = {path.stem: path for path in folders.files(_TUNE)}
    of = _named_in(there, entry)
    if of is None:
        raise ConfigError(
            f"{entry.name} has no search space; expected one of {', '.join(there) or 'none yet'}, "
            f"or a file tune/{entry.name}.yaml in a folder given with --configs, "
            "such as a line `learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}`"
        )
    path = there[of]
    file = read_yaml(path)
    if not file.content:
        raise ConfigError(f"{path}: it names no parameter; expected some of {', '.join(sorted(entry.parameters))}")
    for name in file.content:
        if name not in entry.parameters:
            known = did_you_mean(name, entry.parameters) or f"expected one of {', '.join(entry.parameters)}"
            raise ConfigError(f"{file.at(name)}: {entry.name} has no parameter {name!r}; {known}")
    fixed = entry.bases.get(of, ())  # what makes the variant is not searched
    domains = {name: _read_domain(file, entry, name) for name in file.content if name not in fixed}
    if not domains:
        raise ConfigError(
            f"{path}: it searches {', '.join(file.content)} alone, which the variant {entry.name} sets; "
            f"expected a file tune/{entry.name}.yaml in a folder given with --configs"
        )
    return SearchSpace(path, domains)


def _read_domain(file: YamlFile, entry: ModelEntry, name: str) -> Domain:
    value, path = file.content[name], file.at(name)
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in KINDS:
        raise ConfigError(
            f"{path}: {name} is {value!r}; expected one of {', '.join(KINDS)}, such as {{uniform: [0.1, 0.5]}}"
        )
    kind, values = next(iter(value.items()))
    wrong = _wrong_choices(values) if kind == "choice" else _wrong_bounds(kind, values)
    if wrong:
        raise ConfigError(f"{path}: {name} has {kind} {values!r}; expected {wrong}")
    for one in values:  # what lies between two allowed numbers is allowed
        try:
            entry.check(name, one)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}, in every point that is searched") from error
    declared = entry.declared[name].kind if name in entry.declared else None
    if kind in ("uniform", "log_uniform") and isinstance(declared, Number) and declared.whole:
        raise ConfigError(f"{path}: {name} has {kind} {values!r}; expected int or log_int, as it takes whole numbers")
    return Domain(kind, tuple(entry.taken(name, one) if kind == "choice" else one for one in values))


def _wrong_choices(values: Any) -> str:
    """What was expected of the choices; empty where they are right."""
    different = {json.dumps(value, sort_keys=True) for value in values} if isinstance(values, list) else set()
    return "" if 2 <= len(different) == len(values) else "a list of at least two different values, such as [64, 128]"


def _wrong_bounds(kind: str, values: Any) -> str:
    """What was expected of the bounds; empty where they are right."""
    if not isinstance(values, list) or len(values) != 2 or not all(_is_number(value) for value in values):
        return "[lowest, highest], two finite numbers"
    if kind in ("int", "log_int") and not all(isinstance(value, int) for value in values):
        return "[lowest, highest], two integers"
    if not values[0] < values[1]:
        return "the lowest value first, and a higher one after it"
    return (
        "" if not kind.startswith("log_") or values[0] > 0 else "a lowest value above 0, as it is searched by its log"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _between_logs(low: float, high: float, quantile: float) -> float:
    return math.exp(math.log(low) + quantile * (math.log(high) - math.log(low)))


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
