"""From a YAML to a `ModelEntry`: what may stand in it, what a variant takes from its base, and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Optional

from movierec_bench.errors import ConfigError, did_you_mean
from movierec_bench.schema import FAMILIES
from movierec_bench.settings.declarations import Declaration, parse_declaration
from movierec_bench.settings.entry import (
    BATCHES,
    HISTORIES,
    KNOWN_USERS,
    MATRICES,
    REQUIREMENTS,
    SOURCES,
    TRAINERS,
    VARIANTS,
    ModelEntry,
)
from movierec_bench.settings.own_code import OwnCode, read_own_code
from movierec_bench.settings.recbole_package import recbole_folder
from movierec_bench.settings.yaml_files import ConfigFolders, YamlFile, load_yaml, packaged_configs, read_yaml

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
    "resources",
    "matrices",
)
_VARIANT_KEYS = ("groups", "resources", "matrices")  # the others it takes from its base
_HOMES = {"ours": "movierec_bench.models", "adapted": "movierec_bench.recbole_models"}  # by `ModelEntry.source`
_CLASS = re.compile(r"(?:(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):)?(?P<name>[A-Za-z_]\w*)", re.ASCII)
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


class EntryReader:
    """Reads the models of the configuration folders, each once.

    Args:
        folders: the user's own folder and the packaged one.
    """

    def __init__(self, folders: ConfigFolders) -> None:
        self._files = {path.stem: path for path in folders.files("models")}
        self._common = read_yaml(folders.file("common.yaml"))
        self._entries: dict[str, ModelEntry] = {}
        _check_values(self._common, "common.yaml", self._common.content, declared_for_all())

    def entries(self) -> dict[str, ModelEntry]:
        """Every model by name. Raises ConfigError for a malformed YAML, naming file, key and what is allowed."""
        return {name: self._entry(name, ()) for name in self._files}

    def _entry(self, name: str, asked_by: tuple[str, ...]) -> ModelEntry:
        if name not in self._entries:
            path = self._files[name]
            file = _packaged(f"models/{path.name}") if path in _packaged_models() else read_yaml(path)
            make = self._variant if "base" in file.content else self._model
            self._entries[name] = make(file, asked_by)
        return self._entries[name]

    def _variant(self, file: YamlFile, asked_by: tuple[str, ...]) -> ModelEntry:
        """The model that ``base`` names, under another name and with other parameters."""
        content = dict(file.content)
        base, block = content.pop("base"), content.pop("catalog", {})
        chain = (*asked_by, file.path.stem)
        if base in chain:
            raise ConfigError(f"{file.at('base')}: {' -> '.join([*chain, base])} is a circle; expected another base")
        if not isinstance(base, str) or base not in self._files:
            hint = did_you_mean(base, self._files) or "`python -m movierec_bench models` lists them all"
            raise ConfigError(f"{file.at('base')}: base is {base!r:.60}, which is no model of the catalogue; {hint}")
        parent = self._entry(base, chain)
        if not isinstance(block, dict) or not set(block) <= set(_VARIANT_KEYS):
            raise ConfigError(
                f"{file.at('catalog')}: found {block!r:.60}; a variant of {base} changes "
                f"{', '.join(_VARIANT_KEYS[:-1])} and {_VARIANT_KEYS[-1]} "
                "alone, and takes the rest from it"
            )
        entry = replace(
            parent,
            name=file.path.stem,
            groups=(VARIANTS, *(group for group in _groups(file, block) if group != VARIANTS)),
            resources=_resources(file, block) if "resources" in block else parent.resources,
            matrices=_matrices(file, block) if "matrices" in block else parent.matrices,
            path=file.path,
            summary=file.opening,
            bases={base: tuple(content), **{name: (*keys, *content) for name, keys in parent.bases.items()}},
        )
        return self._with_parameters(entry, file, content)

    def _model(self, file: YamlFile, asked_by: tuple[str, ...]) -> ModelEntry:
        content = dict(file.content)
        block = content.pop("catalog", None)
        if not isinstance(block, dict):
            raise ConfigError(
                f"{file.path}: no 'catalog:' block; expected one with {', '.join(_CATALOG_KEYS)} "
                "(or `base: NAME`, for a variant of that model)"
            )
        for key in block:
            if key not in _CATALOG_KEYS:
                raise ConfigError(
                    f"{file.at('catalog')}: unknown key 'catalog.{key}'; expected one of {', '.join(_CATALOG_KEYS)}"
                )
        family = _choice(file, block, "family", FAMILIES)
        source = _choice(file, block, "source", SOURCES)
        trainer = _choice(file, block, "trainer", TRAINERS)
        code = _code_of(file, source, block)
        module, class_name = _class_of(file, source, block, code)
        entry = ModelEntry(
            name=file.path.stem,
            family=family,
            source=source,
            module=module,
            class_name=class_name,
            groups=("all", family, *_groups(file, block)),
            trainer=trainer,
            batches=_choice(file, block, "batches", BATCHES),
            history=_choice(file, block, "history", HISTORIES),
            scheme=_text(file, block, "scheme") or "plain",
            needs=_text(file, block, "needs"),
            requires=_requirements(file, block, family),
            resources=_resources(file, block),
            matrices=_matrices(file, block),
            parameters=self._common.content if trainer == "epochs" else {},
            path=file.path,
            summary=file.opening,
            declared=declared_of(module, class_name, file),
            code=code,
        )
        return self._with_parameters(entry, file, content)

    def _with_parameters(self, entry: ModelEntry, file: YamlFile, content: Mapping[str, Any]) -> ModelEntry:
        """The entry with the parameters of its YAML, all of which it has to know and allow."""
        for key in content:
            if key in PROTOCOL_KEYS:
                raise ConfigError(
                    f"{file.at(key)}: {key!r} is the protocol's, the same for every model; remove it here "
                    "(protocol settings stand in protocol.yaml)"
                )
        parameters = {**entry.parameters, **content}
        packaged = _packaged_of(entry.module, entry.class_name)
        if packaged is not None or entry.source == "recbole" or entry.bases:
            allowed = {*self._common.content, *entry.parameters, *(packaged.content if packaged is not None else ())}
            if entry.source == "recbole" and not set(content) <= allowed:
                allowed |= set(recbole_defaults(entry.class_name))
            for key in content:
                if key not in allowed:
                    hint = did_you_mean(key, allowed - {"catalog"})
                    hint = hint or f"expected one of {', '.join(sorted(allowed - {'catalog'}))}"
                    raise ConfigError(f"{file.at(key)}: unknown parameter {key!r} of {entry.name}; {hint}")
        if packaged is not None and entry.source != "recbole":  # RecBole has defaults for its own
            missing = [key for key in packaged.content if key != "catalog" and key not in parameters]
            if missing:
                raise ConfigError(
                    f"{file.path}: the parameter {missing[0]!r} of {entry.name} is missing; expected a line such as "
                    f"`{missing[0]}: {packaged.content[missing[0]]}`"
                )
        _check_values(file, entry.name, content, entry.declared)
        return replace(entry, parameters={key: entry.taken(key, value) for key, value in parameters.items()})


@cache
def declared_for_all() -> Mapping[str, Declaration]:
    """What RecBole's keys, and those of common.yaml, may be, unless a model's YAML says so itself; by key."""
    return {**_declarations(_packaged("recbole_keys.yaml")), **_declarations(_packaged("common.yaml"))}


def recbole_defaults(class_name: str) -> dict[str, Any]:
    """RecBole's own defaults of one of its models: ``properties/model/<class_name>.yaml``, overall and data settings.

    Found without importing RecBole. Empty when RecBole has no such model.
    """
    properties = recbole_folder() / "properties"
    model = properties / "model" / f"{class_name}.yaml"
    if not model.is_file():
        return {}
    shared = [properties / "overall.yaml", properties / "dataset" / "sample.yaml"]
    return {key: value for path in [*shared, model] for key, value in load_yaml(path).items()}


@cache
def _packaged(relative: str) -> YamlFile:
    return read_yaml(packaged_configs() / relative)


@cache
def _packaged_models() -> tuple[Path, ...]:
    return tuple(ConfigFolders(packaged_configs()).files("models"))


@cache
def _packaged_classes() -> Mapping[tuple[str, str], YamlFile]:
    """The packaged YAML of each class, by module and class."""
    found = {}
    for path in _packaged_models():
        file = _packaged(f"models/{path.name}")
        if "base" not in file.content:
            block = file.content["catalog"]
            found[_class_of(file, block["source"], block, None)] = file
    return found


def _packaged_of(module: str, class_name: str) -> Optional[YamlFile]:
    """The packaged YAML that declares the parameters of a class; None for a class of the user's own."""
    return _packaged_classes().get((module, class_name))


def is_packaged(module: str, class_name: str) -> bool:
    """Whether a class is one of this library's models or of RecBole's."""
    return not module or _packaged_of(module, class_name) is not None


def declared_of(module: str, class_name: str, file: Optional[YamlFile] = None) -> Mapping[str, Declaration]:
    """What each parameter may be: the packaged YAML of the class says it, or of RecBole's model that it adapts.

    A class of the user's own is declared by its YAML, ``file``. What a YAML says of any other class opens no door that
    is closed there or in recbole_keys.yaml.
    """
    packaged = _packaged_of(module, class_name)
    if packaged is None and not module and f"{class_name}.yaml" in {path.name for path in _packaged_models()}:
        packaged = _packaged(f"models/{class_name}.yaml")
    if packaged is None and module:
        packaged = file
    return {**declared_for_all(), **(_declarations(packaged) if packaged is not None else {})}


def _declarations(file: YamlFile) -> dict[str, Declaration]:
    """What the comments of a file declare. Those that begin with no declaration are remarks."""
    found = {}
    for key, comment in file.comments.items():
        try:
            found[key] = parse_declaration(comment)
        except ValueError:
            continue
    return found


def _check_values(file: YamlFile, model: str, content: Mapping[str, Any], declared: Mapping[str, Declaration]) -> None:
    """Raise ConfigError unless all values are allowed."""
    for key, value in content.items():
        if key in declared and not declared[key].kind.allows(value):
            raise ConfigError(
                f"{file.at(key)}: {model}: {key} is {value!r:.100}; expected {declared[key].kind.expected}; "
                "change it there"
            )


def _code_of(file: YamlFile, source: str, block: Mapping[str, Any]) -> Optional[OwnCode]:
    """The code of a Python file of the same name beside the YAML, where the YAML is not one of the package's."""
    beside = file.path.with_suffix(".py")
    if not beside.is_file() or file.path.is_relative_to(packaged_configs()):
        return None
    if source != "ours" or ":" in str(block.get("class", "")):
        raise ConfigError(
            f"{beside} stands beside a YAML that takes its class from elsewhere ('source: {source}'); expected "
            "'source: ours' and 'class: NAME', or no such file"
        )
    if re.fullmatch(r"[A-Za-z_]\w*", beside.stem, re.ASCII) is None:
        raise ConfigError(f"{beside}: {beside.stem!r} is no name of a Python module; expected letters, digits and _")
    return read_own_code(beside)


def _class_of(file: YamlFile, source: str, block: Mapping[str, Any], code: Optional[OwnCode]) -> tuple[str, str]:
    """Module and name of the class; no module for RecBole's own."""
    written = block.get("class", file.path.stem)
    found = _CLASS.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise ConfigError(f"{file.path}: 'catalog.class' is {written!r:.60}; expected a name, or package.module:Name")
    module, name = found["module"], found["name"]
    if source == "recbole" or (module or "").split(".")[0] == "recbole":
        if source != "recbole" or module:
            raise ConfigError(
                f"{file.path}: 'catalog.class' is {written!r} with 'source: {source}'; RecBole's own models are "
                "'source: recbole' and 'class: NAME'"
            )
        return "", name
    if module:
        return module, name
    return code.module if code is not None else f"{_HOMES[source]}.{file.path.stem.lower()}", name


def _text(file: YamlFile, block: Mapping[str, Any], key: str) -> str:
    value = block.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{file.path}: 'catalog.{key}' is {value!r:.60}; expected text")
    return value or ""


def _names(file: YamlFile, block: Mapping[str, Any], key: str) -> list[str]:
    value = block.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ConfigError(f"{file.path}: 'catalog.{key}' is {value!r:.60}; expected a list of names, such as [fast]")
    return value


def _groups(file: YamlFile, block: Mapping[str, Any]) -> list[str]:
    named = _names(file, block, "groups")
    for group in named:
        if re.fullmatch(r"\w[\w.-]*", group) is None:
            raise ConfigError(
                f"{file.path}: 'catalog.groups' has {group!r:.60}; expected names of letters, digits, '_', '.' and '-'"
            )
    return named


def _requirements(file: YamlFile, block: Mapping[str, Any], family: str) -> tuple[str, ...]:
    """What the YAML names, and what follows: sequences have an order; a model that reads no history knows its users."""
    named = list(_names(file, block, "requires"))
    for what in named:
        if what not in REQUIREMENTS:
            raise ConfigError(
                f"{file.path}: 'catalog.requires' has {what!r:.60}; expected some of {', '.join(REQUIREMENTS)}"
            )
    if block.get("history") == "sequence":
        named.append("times")
    if family == "knowledge":
        named.append("knowledge")
    if block.get("history") == "none" and family != "rule":
        named.append(KNOWN_USERS)
    return tuple(what for what in REQUIREMENTS if what in named)


def _resources(file: YamlFile, block: Mapping[str, Any]) -> dict[str, float]:
    """CPUs and GPUs asked of a cluster; parts of one are allowed."""
    asked = block.get("resources", {})
    amounts = {**_RESOURCES, **asked} if isinstance(asked, dict) else {}
    if set(amounts) != set(_RESOURCES) or not all(
        isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < math.inf
        for amount in amounts.values()
    ):
        raise ConfigError(
            f"{file.path}: 'catalog.resources' is {asked!r:.60}; expected numbers of CPUs and GPUs from 0, such as "
            "{cpu: 4, gpu: 1}"
        )
    return amounts


def _matrices(file: YamlFile, block: Mapping[str, Any]) -> dict[str, float]:
    """Dense matrices that a model holds at once, by what their sides are; for the estimate of its memory."""
    held = block.get("matrices", {})
    if (
        not isinstance(held, dict)
        or not set(held) <= set(MATRICES)
        or not all(
            isinstance(count, (int, float)) and not isinstance(count, bool) and 0 < count < math.inf
            for count in held.values()
        )
    ):
        raise ConfigError(
            f"{file.path}: 'catalog.matrices' is {held!r:.60}; expected numbers > 0 of some of {', '.join(MATRICES)}, "
            "such as {movies_by_movies: 2}"
        )
    return held


def _choice(file: YamlFile, block: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    value = block.get(key)
    if value not in allowed:
        raise ConfigError(f"{file.path}: 'catalog.{key}' is {value!r:.60}; expected one of {', '.join(allowed)}")
    return str(value)
