"""The folder of a kept model: written after the refit, read back into a model that ranks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import BenchError, DataError
from movierec_bench.recbole_backend.config import build_config, load_model_class
from movierec_bench.recbole_backend.model_state import (
    constructor_trains,
    learned_state,
    load_learned,
    without_training,
)
from movierec_bench.recbole_backend.scorer import Ranker, dataset_of, give_history
from movierec_bench.recbole_backend.stored_state import read_state, write_state
from movierec_bench.runs.files import write_text
from movierec_bench.schema import HEAD, ITEM, RELATION, TAIL, TIME, USER, YEAR, PathLike
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.settings.entry_record import entry_of, record_of
from movierec_bench.training.building import build_dataset, build_model
from movierec_bench.training.trainer import seed_everything

MODEL, LEARNED, DATA = "model.json", "learned.npz", "data.npz"  # the files of a kept model's folder
FORMAT = 1
_TRIPLES = (HEAD, RELATION, TAIL)


@dataclass(frozen=True)
class Kept:
    """A model as it was kept, with the data it was trained on.

    Attributes:
        ranker: the model, able to rank.
        data: the movies, knowledge triples and ids; its interactions are ``rows``.
        rows: what the model was trained on, which is also what its users have seen.
        filter: the candidate filter of its run; empty for none.
    """

    ranker: Ranker
    data: AtomicData
    rows: Interactions
    filter: str


def keep(folder: Path, fitted: Ranker, data: AtomicData, rows: Interactions, seed: int, filters: str) -> None:
    """Write a trained model with all that is needed to rank with it, wherever the folder goes.

    Args:
        folder: made where it is missing; what an earlier model left there is written over.
        fitted: the model.
        data: the data set it belongs to.
        rows: what it was trained on.
        seed: what it was trained with.
        filters: the candidate filter of its run; empty for none.

    Raises:
        ModelError: the model holds something that cannot be stored without code that runs when it is read.
    """
    write_state(folder / LEARNED, learned_state(fitted.entry, fitted.model))
    write_state(folder / DATA, _data_state(data, rows), compress=True)
    description = {
        "format": FORMAT,
        "model": record_of(fitted.entry),
        "seed": seed,
        "filter": filters,
        "dataset": {"name": data.name, "data_hash": data.data_hash, "times": data.times},
    }
    write_text(folder / MODEL, json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def read_kept(folder: Path, changes: Optional[Mapping[str, Any]] = None, configs: Optional[PathLike] = None) -> Kept:
    """The model that `keep` wrote. Nothing is trained, and nothing in the folder is executed.

    Args:
        folder: a kept model's folder.
        changes: parameters to give other values, only such as change how the model ranks.
        configs: the user's own configuration folder, for a model whose class is the user's own.

    Raises:
        DataError: a file of the folder is missing or damaged.
        ConfigError: the model has no such parameter, or its class is not there.
    """
    description = _read_description(folder / MODEL)
    entry = entry_of(description["model"], folder / MODEL, configs).with_parameters(changes or {})
    load_model_class(entry)  # its module knows the records that its state is made of
    data, rows = _read_data(folder, description)
    state = read_state(folder / LEARNED)
    try:
        ranker = _rebuilt(entry, data, rows, state, description["seed"], changes or {})
        return Kept(ranker, data, rows, description["filter"])
    except BenchError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(
            f"{folder}: {entry.name} cannot be made of what was kept ({error}); expected files of one model of "
            "this version of the library; have it redone with --keep-models"
        ) from error


def _rebuilt(
    entry: ModelEntry,
    data: AtomicData,
    rows: Interactions,
    state: dict[str, Any],
    seed: int,
    changes: Mapping[str, Any],
) -> Ranker:
    """As `trainer.fit` builds a model, with what it has learned in the place of the training."""
    seed_everything(seed)
    with tempfile.TemporaryDirectory(prefix="movierec_bench-") as scratch:
        config = build_config(entry, seed, Path(scratch))
        dataset = build_dataset(config, data, rows)
        model_class = load_model_class(entry)
        if constructor_trains(entry, model_class):
            model = without_training(model_class, config, dataset_of(entry, dataset), state).to(config["device"])
            give_history(entry, model, rows)
        else:
            model = build_model(entry, config, dataset)
    load_learned(model, state, config["device"], changes)
    return Ranker(entry, model, config, dataset.item_feat, known=np.diff(rows.indptr) > 0)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise DataError(
                f"{path}: format {description['format']!r}; expected {FORMAT}; have the model redone with this version"
            )
        return {name: description[name] for name in ("model", "seed", "filter", "dataset")}
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is not there; expected the folder of a kept model; run the model with --keep-models"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); expected what --keep-models wrote; run it again") from error


def _data_state(data: AtomicData, rows: Interactions) -> dict[str, Any]:
    """The rows in few bytes: the lengths of the histories, their movies, and the steps from one time to the next."""
    movies = data.movies.set_index(ITEM).loc[data.vocabulary.items].reset_index()
    columns = {name: movies[name].tolist() for name in movies.columns if name not in (ITEM, YEAR)}
    return {
        "lengths": _narrow(np.diff(rows.indptr)),
        "items": _narrow(rows.item_ix),
        "time_steps": _narrow(np.diff(rows.time, prepend=0)),
        "vocabulary": {USER: data.vocabulary.users, ITEM: data.vocabulary.items},
        "movies": columns,
        "years": movies[YEAR].to_numpy(dtype=np.float64),
        "triples": {name: data.triples[name].tolist() for name in _TRIPLES},
    }


def _narrow(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the narrowest type that holds them."""
    lowest, highest = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    return values.astype(np.promote_types(np.min_scalar_type(lowest), np.min_scalar_type(highest)))


def _read_data(folder: Path, description: Mapping[str, Any]) -> tuple[AtomicData, Interactions]:
    state = read_state(folder / DATA)
    try:
        vocabulary = Vocabulary(state["vocabulary"][USER], state["vocabulary"][ITEM])
        user_ix = np.repeat(np.arange(vocabulary.n_user_ix), state["lengths"])
        item_ix, time = state["items"].astype(np.int64), np.cumsum(state["time_steps"].astype(np.int64))
        rows = Interactions(user_ix, item_ix, time, vocabulary.n_user_ix, vocabulary.n_item_ix)
        movies = pd.DataFrame({ITEM: vocabulary.items, **state["movies"], YEAR: state["years"]})
        triples = pd.DataFrame({name: state["triples"][name] for name in _TRIPLES}, dtype=object)
        told = description["dataset"]
        interactions = pd.DataFrame(
            {USER: vocabulary.user_ids(user_ix), ITEM: vocabulary.item_ids(item_ix), TIME: time}, copy=False
        )
        data = AtomicData(
            told["name"], folder, interactions, movies, triples, vocabulary, told["data_hash"], told["times"]
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{folder / DATA} is damaged ({error!r}); have the model redone with --keep-models") from error
    return data, rows
