"""The catalogue: every model, discovered from ``recbole_configs/models/*.yaml``.

A file's name is the model's name. Its ``catalog:`` block says what the model is and needs; every
other top-level key is a parameter. A user's own ``recbole_configs`` folder wins over the packaged
one, file by file.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

from movierec_bench.errors import ConfigError
from movierec_bench.schema import FAMILIES, PathLike
from movierec_bench.settings.recbole_package import recbole_folder
from movierec_bench.settings.yaml_files import ConfigFolders, load_yaml, packaged_configs

SOURCES = ("ours", "adapted", "recbole")
TRAINERS = ("closed_form", "epochs")
BATCHES = ("none", "interactions", "users", "items", "sequences", "windows", "knowledge", "table")
HISTORIES = ("none", "rows", "autoencoder", "interaction_matrix", "history_matrix", "sequence")
_CATALOG_KEYS = (
    "family",
    "source",
    "class",
    "groups",
    "trainer",
    "batches",
    "history",
    "scheme",
    "needs",
    "requires",
    "stages",
    "resources",
)
# What a model may be unable to do without, and how its absence is told: "needs ...".
KNOWN_USERS = "known_users"
REQUIREMENTS = {
    "times": "the order of each user's rows, and these data have no times",
    "dates": "dates, and the times of these data are none",
    "genres": "genres, and these data have none",
    "creators": "directors or writers, and these data have none",
    "years": "release years, and these data have none",
    "features": "features of the movies, and these data have none",
    "knowledge": "a knowledge graph of the movies, and these data have none",
    KNOWN_USERS: "users it was trained on, and this protocol holds out whole users",
}
_RESOURCES = {"cpu": 1, "gpu": 0}  # when the YAML asks for nothing else
# What the protocol decides for every model alike; a model's YAML may not.
PROTOCOL_KEYS = frozenset(
    [
        "eval_args",
        "metrics",
        "topk",
        "valid_metric",
        "valid_metric_bigger",
        "eval_batch_size",
        "metric_decimal_place",
        "repeatable",
        "seed",
        "reproducibility",
        "benchmark_filename",
        "data_path",
        "dataset",
        "model",
        "checkpoint_dir",
        "rm_dup_inter",
        "user_inter_num_interval",
        "item_inter_num_interval",
        "val_interval",
        "filter_inter_by_user_or_item",
        "USER_ID_FIELD",
        "ITEM_ID_FIELD",
        "TIME_FIELD",
        "LABEL_FIELD",
    ]
)
CLOSED_GROUPS = ("all", *FAMILIES)  # groups every model joins by itself


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        name: the YAML file's stem; what users type.
        family: one of ``schema.FAMILIES``.
        source: one of ``SOURCES``: a class of `models`, of `recbole_models`, or RecBole's own.
        class_name: the class to import; ``name`` unless the YAML says otherwise.
        groups: named groups it belongs to, its family and ``all`` included.
        trainer: ``closed_form`` or ``epochs``.
        batches: what a training step sees, one of ``BATCHES``.
        history: what the model reads when it ranks, one of ``HISTORIES``.
        scheme: how an epoch trains it, one of ``training.schemes.base.SCHEMES``; ``plain`` by default.
        needs: why the model cannot run here; empty when it can.
        requires: what it cannot do without, some of ``REQUIREMENTS``: named in its YAML, or said by what it reads.
        stages: names of training stages, for models that train in several.
        resources: ``{"cpu": .., "gpu": ..}`` asked of a cluster.
        parameters: RecBole's and our own parameters, as written.
        path: the YAML it came from.
    """

    name: str
    family: str
    source: str
    class_name: str
    groups: tuple[str, ...]
    trainer: str
    batches: str
    history: str
    scheme: str
    needs: str
    requires: tuple[str, ...]
    stages: tuple[str, ...]
    resources: Mapping[str, float]
    parameters: Mapping[str, Any]
    path: Path

    @property
    def summary(self) -> str:
        """The YAML's opening comment, in one line."""
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# ").rstrip())
        return " ".join(lines)

    def without(self, lacking: Iterable[str]) -> ModelEntry:
        """This model where ``lacking``, some of ``REQUIREMENTS``, cannot be had: it says so in ``needs``."""
        missing = [REQUIREMENTS[what] for what in self.requires if what in set(lacking)]
        return replace(self, needs="; ".join(missing)) if missing and not self.needs else self

    def with_parameters(self, changes: Mapping[str, Any]) -> ModelEntry:
        """A copy with some parameters changed. Raises ConfigError for a key the model does not have."""
        unknown = sorted(set(changes) - set(self.parameters))
        if unknown:
            raise ConfigError(
                f"{self.name} has no parameter {unknown[0]!r}; expected one of {', '.join(sorted(self.parameters))}"
            )
        return replace(self, parameters={**self.parameters, **changes})

    def fingerprint(self) -> str:
        """Sha256 (16 hex digits) of all that decides what this model computes."""
        identity = (self.name, self.class_name, self.trainer, self.batches, self.history, self.scheme)
        content = [identity, self.stages, self.parameters]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def load_catalog(configs: Optional[PathLike] = None) -> dict[str, ModelEntry]:
    """Every catalogued model by name.

    Args:
        configs: a user's own configuration folder; see `ConfigFolders`.

    Raises:
        ConfigError: a YAML is malformed; the message names the file, the key and what is allowed.
    """
    folders = ConfigFolders(configs)
    common = load_yaml(folders.file("common.yaml"))
    entries = {path.stem: _read_entry(path, common) for path in folders.files("models")}
    for entry in entries.values():
        _check_against_packaged(entry, common)
    return entries


def select(catalog: Mapping[str, ModelEntry], models: Union[str, Iterable[str]]) -> list[ModelEntry]:
    """The entries a ``--models`` expression names, in catalogue order.

    Args:
        catalog: from `load_catalog`.
        models: names and groups, comma-separated or a sequence; ``-Name`` or ``-group`` leaves out.

    Raises:
        ConfigError: an unknown name; the message suggests the close ones.
    """
    words = _words(models)
    if not words:
        raise ConfigError("no model was named; expected names or groups, such as --models fast or --models EASE,BPR")
    chosen: set[str] = set()
    if all(word.startswith("-") for word in words):
        chosen = set(catalog)
    for word in words:
        names = _members(catalog, word.lstrip("-"))
        chosen = chosen - names if word.startswith("-") else chosen | names
    if not chosen:
        raise ConfigError(f"--models {','.join(words)} leaves no model; name at least one that is not left out again")
    return [entry for name, entry in catalog.items() if name in chosen]


def groups(catalog: Mapping[str, ModelEntry]) -> list[str]:
    """All group names: ``all``, the families, and those the YAMLs name."""
    named = {group for entry in catalog.values() for group in entry.groups}
    return [*CLOSED_GROUPS, *sorted(named - set(CLOSED_GROUPS))]


def _words(models: Union[str, Iterable[str]]) -> list[str]:
    parts: Sequence[str] = [models] if isinstance(models, str) else list(models)
    return [word for part in parts for word in re.split(r"[,\s]+", part) if word]


def _members(catalog: Mapping[str, ModelEntry], word: str) -> set[str]:
    if word in catalog:
        return {word}
    members = {name for name, entry in catalog.items() if word in entry.groups}
    if members or word in CLOSED_GROUPS:
        return members
    known = [*groups(catalog), *catalog]
    by_lower = {name.lower(): name for name in known}
    close = [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.5)]
    hint = f"did you mean {', '.join(close)}?" if close else f"groups are {', '.join(groups(catalog))}"
    raise ConfigError(f"unknown model or group {word!r}; {hint} `python -m movierec_bench models` lists them all")


def _read_entry(path: Path, common: Mapping[str, Any]) -> ModelEntry:
    content = load_yaml(path)
    block = content.pop("catalog", None)
    if not isinstance(block, dict):
        raise ConfigError(f"{path}: no 'catalog:' block; expected one with {', '.join(_CATALOG_KEYS)}")
    for key in block:
        if key not in _CATALOG_KEYS:
            raise ConfigError(f"{path}: unknown key 'catalog.{key}'; expected one of {', '.join(_CATALOG_KEYS)}")
    for key in content:
        if key in PROTOCOL_KEYS:
            raise ConfigError(
                f"{path}: {key!r} is the protocol's, the same for every model; remove it here "
                "(protocol settings stand in protocol.yaml)"
            )
    family = _choice(path, block, "family", FAMILIES)
    trainer = _choice(path, block, "trainer", TRAINERS)
    return ModelEntry(
        name=path.stem,
        family=family,
        source=_choice(path, block, "source", SOURCES),
        class_name=str(block.get("class", path.stem)),
        groups=("all", family, *block.get("groups", [])),
        trainer=trainer,
        batches=_choice(path, block, "batches", BATCHES),
        history=_choice(path, block, "history", HISTORIES),
        scheme=str(block.get("scheme", "plain")),
        needs=str(block.get("needs") or ""),
        requires=_requirements(path, block, family),
        stages=tuple(block.get("stages", [])),
        resources=_resources(path, block),
        parameters={**(common if trainer == "epochs" else {}), **content},
        path=path,
    )


def _requirements(path: Path, block: Mapping[str, Any], family: str) -> tuple[str, ...]:
    """What the YAML names, and what follows: sequences have an order; a model that reads no history knows its users."""
    named = list(block.get("requires") or [])
    for what in named:
        if what not in REQUIREMENTS:
            raise ConfigError(f"{path}: 'catalog.requires' has {what!r}; expected some of {', '.join(REQUIREMENTS)}")
    if block.get("history") == "sequence":
        named.append("times")
    if family == "knowledge":
        named.append("knowledge")
    if block.get("history") == "none" and family != "rule":
        named.append(KNOWN_USERS)
    return tuple(what for what in REQUIREMENTS if what in named)


def _resources(path: Path, block: Mapping[str, Any]) -> dict[str, float]:
    """CPUs and GPUs asked of a cluster; parts of one are allowed."""
    asked = block.get("resources", {})
    amounts = {**_RESOURCES, **asked} if isinstance(asked, dict) else {}
    if set(amounts) != set(_RESOURCES) or not all(
        isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < math.inf
        for amount in amounts.values()
    ):
        raise ConfigError(
            f"{path}: 'catalog.resources' is {asked!r}; expected numbers of CPUs and GPUs from 0, such as "
            "{cpu: 4, gpu: 1}"
        )
    return amounts


def _choice(path: Path, block: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    value = block.get(key)
    if value not in allowed:
        raise ConfigError(f"{path}: 'catalog.{key}' is {value!r}; expected one of {', '.join(allowed)}")
    return str(value)


def _check_against_packaged(entry: ModelEntry, common: Mapping[str, Any]) -> None:
    """A user's YAML may use the keys of the packaged one, of RecBole's defaults, and of common.yaml."""
    packaged = packaged_configs() / "models" / entry.path.name
    if entry.source == "ours" and (not packaged.is_file() or packaged.samefile(entry.path)):
        return  # a model of ours declares its parameters in this very file
    allowed = set(common) | set(recbole_defaults(entry.class_name))
    if packaged.is_file():
        allowed |= set(load_yaml(packaged)) - {"catalog"}
    for key in entry.parameters:
        if key not in allowed:
            raise ConfigError(
                f"{entry.path}: unknown parameter {key!r} of {entry.name}; expected one of {', '.join(sorted(allowed))}"
            )


def recbole_defaults(class_name: str) -> dict[str, Any]:
    """RecBole's own defaults of one of its models: ``properties/model/<class_name>.yaml``, overall and data settings.

    Found without importing RecBole. Empty when RecBole has no such model.
    """
    properties = recbole_folder() / "properties"
    model = properties / "model" / f"{class_name}.yaml"
    if not model.is_file():
        return {}
    defaults = load_yaml(properties / "overall.yaml")
    defaults.update(load_yaml(properties / "dataset" / "sample.yaml"))
    defaults.update(load_yaml(model))
    return defaults
