"""What a model is built from and what it is fed with, by its kind."""

from __future__ import annotations

from typing import Any, cast

from recbole.utils import ModelType

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError
from movierec_bench.recbole_backend.config import load_model_class
from movierec_bench.recbole_backend.datasets import GeneralArrays, KnowledgeArrays
from movierec_bench.recbole_backend.model_contract import KnowledgeDataset, ModelConfig, SequenceDataset, TrainDataset
from movierec_bench.recbole_backend.scorer import dataset_of, give_history
from movierec_bench.recbole_backend.sequence_datasets import SequentialArrays
from movierec_bench.schema import ITEM_FIELD, USER_FIELD
from movierec_bench.settings.catalog import ModelEntry
from movierec_bench.training.batches import (
    Batches,
    IdBatches,
    InteractionBatches,
    NegativeSampler,
    NoBatches,
    SequenceBatches,
    WithMovies,
)
from movierec_bench.training.triple_batches import KnowledgeBatches, TripleBatches
from movierec_bench.training.window_batches import WindowBatches


def build_dataset(config: ModelConfig, data: AtomicData, train: Interactions) -> TrainDataset:
    """The RecBole dataset of training rows that suits a model's type.

    Args:
        config: the model's RecBole Config.
        data: the atomic files; only movies and knowledge triples are read from it.
        train: rows the model may learn from.

    Returns:
        A RecBole ``Dataset`` (sequential or knowledge-based where the model is), in its final
        format, with ``interactions`` (these rows) and ``movies`` (a table by item_ix) besides.
    """
    by_type = {ModelType.SEQUENTIAL: SequentialArrays, ModelType.KNOWLEDGE: KnowledgeArrays}
    dataset: TrainDataset = by_type.get(config["MODEL_TYPE"], GeneralArrays)(config, data, train)
    return dataset


def build_model(entry: ModelEntry, config: ModelConfig, dataset: TrainDataset) -> Any:
    """The untrained model on its device, reading the training rows: the data set's rows are the only ones it gets."""
    model = load_model_class(entry)(config, dataset_of(entry, dataset)).to(config["device"])
    give_history(entry, model, dataset.interactions)
    return model


def build_batches(entry: ModelEntry, config: ModelConfig, dataset: TrainDataset) -> Batches:
    """The batches that suit a model. Raises ConfigError for settings that contradict each other."""
    rows = dataset.interactions
    if entry.batches == "none" and entry.scheme != "plain":
        return NoBatches()
    if entry.batches == "users":
        return IdBatches(USER_FIELD, rows.user_ix, config["train_batch_size"], config["least_steps"])
    if entry.batches == "items":
        return IdBatches(ITEM_FIELD, rows.item_ix, config["train_batch_size"], config["least_steps"])
    if entry.batches == "interactions":
        batches = InteractionBatches(rows, config, NegativeSampler.from_config(rows, config))
        return WithMovies(batches, dataset.item_feat) if config["MODEL_TYPE"] == ModelType.CONTEXT else batches
    if entry.batches == "knowledge":
        interactions = InteractionBatches(rows, config, NegativeSampler.from_config(rows, config))
        return KnowledgeBatches(interactions, TripleBatches(cast(KnowledgeDataset, dataset), config))
    if entry.batches == "windows":
        sizes = (config["MAX_ITEM_LIST_LENGTH"], config["train_batch_size"], config["windows_per_epoch"])
        return WindowBatches(rows, *sizes)
    if entry.batches == "sequences":
        return SequenceBatches(cast(SequenceDataset, dataset), config, NegativeSampler.from_config(rows, config))
    raise ConfigError(
        f"{entry.path}: 'batches: {entry.batches}' does not go with 'trainer: {entry.trainer}'; "
        "expected interactions, users, sequences or windows"
    )
