"""One model of the catalogue, as a record."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.schema import FAMILIES
from movierec_bench.settings.declarations import Declaration
from movierec_bench.settings.own_code import OwnCode

SOURCES = ("ours", "adapted", "recbole")
TRAINERS = ("closed_form", "epochs")
BATCHES = ("none", "interactions", "users", "items", "sequences", "windows", "knowledge")
HISTORIES = ("none", "rows", "autoencoder", "interaction_matrix", "history_matrix", "sequence")
# What a model may be unable to do without, and how its absence is told: "needs ...".
KNOWN_USERS = "known_users"
REQUIREMENTS = {
    "times": "the order of each user's rows, and these data have no times",
    "dates": "dates, and these data have none",
    "genres": "genres, and these data have none",
    "creators": "directors or writers, and these data have none",
    "years": "release years, and these data have none",
    "features": "features of the movies, and these data have none",
    "knowledge": "a knowledge graph of the movies, and these data have none",
    KNOWN_USERS: "users it was trained on, and this protocol holds out whole users",
}
CLOSED_GROUPS = ("all", *FAMILIES)  # groups every model but a variant joins by itself
MATRICES = ("movies_by_movies", "users_by_movies")  # dense ones that a model may hold, of float32
VARIANTS = "variants"  # the group every variant joins by itself


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        name: the YAML file's stem; what users type.
        family: one of ``schema.FAMILIES``.
        source: one of ``SOURCES``: a class of `models` or the user's own, of `recbole_models`, or RecBole's own.
        module: the module to import the class from; empty for RecBole's own, which RecBole looks up.
        class_name: the class to import.
        groups: named groups it belongs to; its family and ``all`` too, unless it is a variant that does not name them.
        trainer: ``closed_form`` or ``epochs``.
        batches: what a training step sees, one of ``BATCHES``.
        history: what the model reads when it ranks, one of ``HISTORIES``.
        scheme: how an epoch trains it, one of ``training.schemes.base.SCHEMES``; ``plain`` by default.
        needs: why the model cannot run here; empty when it can.
        requires: what it cannot do without, some of ``REQUIREMENTS``: named in its YAML, or said by what it reads.
        resources: ``{"cpu": .., "gpu": ..}`` asked of a cluster.
        matrices: how many dense float32 matrices of each of ``MATRICES`` it holds at once, at its peak.
        parameters: RecBole's and our own parameters, as written.
        path: the YAML it came from.
        summary: the YAML's opening comment, in one line.
        declared: what each parameter may be, where that is declared.
        bases: of a variant, the model it is a variant of, then that one's base if it is a variant too, and so on; each
            with the parameters in which this model may differ from it.
        code: the Python files of a model that lies in a user's own folder.
    """

    name: str
    family: str
    source: str
    module: str
    class_name: str
    groups: tuple[str, ...]
    trainer: str
    batches: str
    history: str
    scheme: str
    needs: str
    requires: tuple[str, ...]
    resources: Mapping[str, float]
    parameters: Mapping[str, Any]
    path: Path
    summary: str = ""
    matrices: Mapping[str, float] = field(default_factory=dict)
    declared: Mapping[str, Declaration] = field(default_factory=dict)
    bases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    code: Optional[OwnCode] = None

    @property
    def in_a_line(self) -> str:
        """What the model is: the first sentence of its summary."""
        return re.split(r"(?<=[.;]) ", self.summary, maxsplit=1)[0].rstrip(".;")

    def without(self, lacking: Iterable[str]) -> ModelEntry:
        """This model where ``lacking``, some of ``REQUIREMENTS``, cannot be had: it says so in ``needs``."""
        missing = [REQUIREMENTS[what] for what in self.requires if what in set(lacking)]
        return replace(self, needs="; ".join(missing)) if missing and not self.needs else self

    def with_parameters(self, changes: Mapping[str, Any]) -> ModelEntry:
        """A copy with some parameters changed.

        Raises:
            ConfigError: a key the model does not have, or a value it does not allow.
        """
        for key in changes:
            if key not in self.parameters:
                expected = f"expected one of {', '.join(sorted(self.parameters))}"
                hint = did_you_mean(key, self.parameters)
                raise ConfigError(f"{self.name} has no parameter {key!r}; {hint or expected}")
            self.check(key, changes[key])
        taken = {key: self.taken(key, value) for key, value in changes.items()}
        return replace(self, parameters={**self.parameters, **taken})

    def check(self, key: str, value: Any) -> None:
        """Raise ConfigError unless the parameter may have this value."""
        declared = self.declared.get(key)
        if declared is not None and not declared.kind.allows(value):
            raise ConfigError(f"{self.name}: {key} is {value!r:.100}; expected {declared.kind.expected}")

    def taken(self, key: str, value: Any) -> Any:
        """An allowed value in its declared type: 1 as 1.0 where a float is declared."""
        return self.declared[key].kind.taken(value) if key in self.declared else value

    def code_hash(self) -> str:
        """Sha256 (16 hex digits) of the text of the model's own module; empty for RecBole's own and where it is not."""
        if self.code is not None:
            return self.code.hash
        file = _file_of(self.module)
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file is not None else ""

    def fingerprint(self, reads: Optional[Iterable[str]] = None) -> str:
        """Sha256 (16 hex digits) of all that decides what this model computes; the code of this library aside.

        Args:
            reads: the parameters it is known to look up, there or not; others do not count. None: all count.
        """
        identity = (self.name, self.module, self.class_name, self.trainer, self.batches, self.history, self.scheme)
        code = "" if self.module.startswith("movierec_bench.") else self.code_hash()
        names = set(self.parameters if reads is None else reads)
        parameters = {name: value for name, value in self.parameters.items() if name in names}
        content = [identity, code, parameters]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _file_of(module: str) -> Optional[Path]:
    """The file a module would be imported from; None where there is none. Imports none of this library's."""
    package, _, rest = module.partition(".")
    if package == "movierec_bench":
        file = Path(__file__).parents[1].joinpath(*rest.split(".")).with_suffix(".py")
    else:
        try:
            spec = importlib.util.find_spec(module) if module else None
        except ImportError:
            return None
        file = Path(spec.origin) if spec is not None and spec.origin is not None else Path()
    return file if file.is_file() else None
