"""RecBole's Config, built from our dictionary alone and checked afterwards."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType, get_model

from movierec_bench.environment import restored_environment
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend import compat
from movierec_bench.recbole_backend.settings_read import ReadSettings
from movierec_bench.schema import ITEM_FIELD, LABEL_FIELD, TIME_FIELD, USER_FIELD
from movierec_bench.settings.catalog import ModelEntry, recbole_defaults
from movierec_bench.settings.own_code import make_importable

# RecBole loads settings of its own for the data set names it knows (ml-100k above all); this is none of them.
_DATASET = "movierec_bench"


class BenchConfig(Config):
    """A Config that reads neither the command line nor files, and evaluates no string.

    RecBole's own reads ``sys.argv``, runs ``eval`` on every string value and changes
    ``CUDA_VISIBLE_DEVICES``.
    """

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict

    def _init_device(self) -> None:
        asked = self.final_config_dict.get("device")
        torch.cuda.is_available()  # CUDA looks at the variable once: now, while it holds what the caller set
        with restored_environment("CUDA_VISIBLE_DEVICES"):
            super()._init_device()
        if asked is not None:
            self.final_config_dict["device"] = torch.device(asked)


def build_config(entry: ModelEntry, seed: int, scratch: Path, device: Optional[str] = None) -> Config:
    """The Config a model is built with.

    Args:
        entry: the catalogued model.
        seed: seed of everything random in the model.
        scratch: folder for whatever RecBole insists on writing (``saved/``, ``log/``).
        device: where PyTorch puts the model, such as ``cpu`` or ``cuda:1``; None: RecBole's choice, a GPU if there is
            one.

    Raises:
        ConfigError: a key of ours did not survive RecBole's processing, or has a value RecBole refuses.
    """
    model_class = load_model_class(entry)
    settings = {**entry.parameters, **_fixed_settings(model_class, seed, scratch)}
    if device is not None:
        settings["device"] = device
    try:
        # RecBole completes nested dictionaries in place; the entry must stay as it was.
        config = BenchConfig(model=model_class, dataset=_DATASET, config_dict=_deep_copy(settings))
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"{entry.path}: RecBole refuses these settings: {error}") from error
    _check_survived(entry, settings, config)
    config["model"] = entry.name  # RecBole puts the class's name there; messages name what the user called it
    config.final_config_dict = ReadSettings(config.final_config_dict)  # from here on it is known what the model reads
    return config


def load_model_class(entry: ModelEntry) -> Any:
    """The class a catalogue entry stands for, from the place its ``source`` names.

    Raises:
        ConfigError: there is no such module or class.
    """
    try:
        return _imported_class(entry) if entry.module else _recbole_class(entry)
    finally:
        compat.stop_anomaly_detection()


def _recbole_class(entry: ModelEntry) -> Any:
    try:
        return get_model(entry.class_name)
    except (ValueError, ModuleNotFoundError) as error:  # RecBole looks for its tree models last; they need a package
        raise ConfigError(f"{entry.path}: RecBole has no model {entry.class_name!r} here: {error}") from error


def _imported_class(entry: ModelEntry) -> Any:
    if entry.code is not None:
        make_importable(entry.code)
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if not (entry.module + ".").startswith(f"{error.name}."):
            raise  # the module is there and needs something that is not
        raise ConfigError(
            f"{entry.path}: {entry.name} is 'source: {entry.source}', but there is no {entry.module} here; "
            + _where_a_class_may_be(entry)
        ) from error
    found = getattr(module, entry.class_name, None)
    if not inspect.isclass(found) or not issubclass(found, AbstractRecommender):
        raise ConfigError(
            f"{entry.path}: {entry.module} has no model class {entry.class_name!r}; expected a class that derives from "
            "movierec_bench.models.HistoryModel or a RecBole model; set 'catalog.class'"
        )
    if found.__module__.startswith("recbole."):
        raise ConfigError(f"{entry.path}: {entry.class_name} is RecBole's own; expected 'source: recbole'")
    return found


def _where_a_class_may_be(entry: ModelEntry) -> str:
    if entry.module.startswith("movierec_bench."):
        return f"expected a file {entry.path.stem}.py beside its YAML, or {entry.module.replace('.', '/')}.py"
    return f"expected the package {entry.module.split('.')[0]!r} to be installed on every machine that runs the model"


def effective_parameters(entry: ModelEntry, config: Config) -> dict[str, Any]:
    """Every parameter that took effect: the model's own, and RecBole's defaults where it has none."""
    names = [*entry.parameters, *(key for key in recbole_model_keys(entry) if key not in entry.parameters)]
    return {name: config[name] for name in names}


def recbole_model_keys(entry: ModelEntry) -> list[str]:
    """Names of the hyperparameters RecBole itself gives this model."""
    if entry.source != "recbole":
        return []
    common = set(recbole_defaults("BPR")) - {"embedding_size"}  # overall and data settings
    return [key for key in recbole_defaults(entry.class_name) if key not in common]


def _fixed_settings(model_class: Any, seed: int, scratch: Path) -> dict[str, Any]:
    """What is the same for every model, whatever its YAML says."""
    return {
        "seed": seed,
        "reproducibility": True,
        "state": "ERROR",
        "show_progress": False,
        "use_gpu": True,
        "data_path": str(scratch),
        "checkpoint_dir": str(scratch),
        "log_wandb": False,
        "USER_ID_FIELD": USER_FIELD,
        "ITEM_ID_FIELD": ITEM_FIELD,
        "TIME_FIELD": TIME_FIELD,
        "LABEL_FIELD": LABEL_FIELD,
        # Not used: our ranking and scoring evaluate. RecBole's Config only insists on consistent values.
        "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "order": "TO", "mode": "full"},
        "repeatable": model_class.type == ModelType.SEQUENTIAL,
        "metrics": ["Recall"],
        "topk": [10],
        "valid_metric": "Recall@10",
    }


def _check_survived(entry: ModelEntry, settings: Mapping[str, Any], config: Config) -> None:
    for key, wanted in settings.items():
        found = config[key]
        if key in ("eval_args", "data_path", "device") or _same(wanted, found):
            continue  # RecBole completes the first two, `BenchConfig` makes the third a torch.device
        if key == "train_neg_sample_args" and wanted is None and found["distribution"] == "none":
            continue  # RecBole's way of writing that no negatives are drawn
        raise ConfigError(
            f"{entry.path}: {key} was set to {wanted!r}, but RecBole made it {found!r}; change that setting"
        )


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _same(value, found[key]) for key, value in wanted.items())
    return bool(wanted == found)


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep_copy(item) for item in value]
    return value
