"""The trainer: early stopping on our own metric, the best state kept, the budget honoured, one seed one result."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.evaluation.validation import validator
from movierec_bench.ranking.top_k import Candidates, TopK, top_k
from movierec_bench.recbole_backend.model_contract import HistoryModel
from movierec_bench.schema import EpochRecord
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.training import trainer
from movierec_bench.training.schemes.base import build_optimizer
from movierec_bench.training.schemes.stages import S3RecScheme
from movierec_bench.training.schemes.whole_epoch import BoostingScheme
from movierec_bench.training.time_limit import LimitedBatches
from movierec_bench.training.trainer import FitSettings, Fitted, fit


def bpr(**changes: Any) -> ModelEntry:
    return load_catalog()["BPR"].with_parameters({"train_batch_size": 256, **changes})


def train_rows(data: AtomicData) -> Interactions:
    return Interactions.from_rows(data.interactions, data.vocabulary)


def fit_bpr(
    data: AtomicData, scratch: Path, validate: Any = None, entry: ModelEntry | None = None, **settings: Any
) -> Fitted:
    return fit(entry or bpr(), data, train_rows(data), FitSettings(1, scratch, **settings), validate)


def scripted(data: AtomicData, recalls: list[float], taken: list[np.ndarray]) -> Any:
    """A validation that answers from a list and remembers the scores it saw."""
    answers = iter(recalls)

    def validate(fitted: Fitted) -> float:
        taken.append(fitted.scores(train_rows(data), np.array([1, 2])).numpy().copy())
        return next(answers)

    return validate


def test_stops_after_so_many_validations_without_a_better_one_and_keeps_the_best(
    planted: AtomicData, tmp_path: Path
) -> None:
    taken: list[np.ndarray] = []
    validate = scripted(planted, [0.1, 0.3, 0.2, 0.3, 0.1, 0.9], taken)
    fitted = fit_bpr(planted, tmp_path, validate, bpr(stopping_step=3))
    assert [record.valid_recall for record in fitted.epochs] == [0.1, 0.3, 0.2, 0.3, 0.1]
    assert fitted.best_epoch == 2
    assert not fitted.out_of_budget
    scores = fitted.scores(train_rows(planted), np.array([1, 2])).numpy()
    np.testing.assert_array_equal(scores, taken[1])


def test_validates_every_so_many_epochs_and_at_the_end(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_bpr(planted, tmp_path, scripted(planted, [0.1, 0.2, 0.3], []), bpr(eval_step=2, epochs=5))
    assert [math.isnan(record.valid_recall) for record in fitted.epochs] == [True, False, True, False, False]
    assert fitted.best_epoch == 5


def test_the_budget_ends_after_the_epoch_in_hand(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_bpr(planted, tmp_path, lambda fitted: 0.5, budget=1e-9)
    assert len(fitted.epochs) == 1
    assert fitted.out_of_budget


class Slow:
    """Batches that take their time, and count how often one was asked for."""

    def __init__(self, number: int, seconds: float) -> None:
        self.number, self.seconds, self.given = number, seconds, 0

    def epoch(self, rng: np.random.Generator) -> Any:
        for batch in range(self.number):
            time.sleep(self.seconds)
            self.given += 1
            yield batch

    interactions = triples = epoch


@pytest.mark.parametrize("of", ["epoch", "interactions", "triples"])
def test_an_epoch_breaks_off_when_its_time_is_up_and_every_pass_gives_a_batch(of: str) -> None:
    limited = LimitedBatches(Slow(1000, 0.01))
    rng = np.random.default_rng(0)
    limited.begin_epoch(time.perf_counter() + 0.1)
    assert 1 <= len(list(getattr(limited, of)(rng))) <= 11
    assert limited.cut
    assert list(getattr(limited, of)(rng)) == [0], "the next pass of the same epoch"


def test_an_epoch_that_begins_too_late_is_whole() -> None:
    limited = LimitedBatches(Slow(5, 0.01))
    limited.begin_epoch(time.perf_counter() - 1)
    assert list(limited.epoch(np.random.default_rng(0))) == [0, 1, 2, 3, 4]
    assert not limited.cut


def test_the_budget_is_heeded_inside_an_epoch(
    planted: AtomicData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch would take a minute; the model that the budget leaves is validated and can rank."""
    slow = Slow(6000, 0.01)
    real = trainer.build_batches

    class SlowRows:
        def __init__(self, batches: Any) -> None:
            self.batches = batches

        def epoch(self, rng: np.random.Generator) -> Any:
            (batch, *_) = self.batches.epoch(rng)
            for _ in slow.epoch(rng):
                yield batch

    monkeypatch.setattr(trainer, "build_batches", lambda *arguments: SlowRows(real(*arguments)))
    started = time.monotonic()
    fitted = fit_bpr(planted, tmp_path, lambda fitted: 0.5, bpr(epochs=1), budget=0.5)
    assert time.monotonic() - started < 30
    assert [record.valid_recall for record in fitted.epochs] == [0.5]
    assert fitted.out_of_budget, "also where no other epoch was to come"
    assert slow.given < 60


def test_pretraining_breaks_off_at_its_share_and_a_round_of_trees_never() -> None:
    scheme = S3RecScheme.__new__(S3RecScheme)
    scheme._model, scheme._epochs, scheme._deadline = SimpleNamespace(train_stage="pretrain"), 0, math.inf
    scheme._config = {"pretrain_epochs": 2}
    assert scheme.epoch_end(5.0) == math.inf
    scheme._deadline = time.perf_counter() + 100
    assert scheme.epoch_end(5.0) == scheme._deadline
    scheme._epochs = 2
    assert scheme.epoch_end(5.0) == 5.0, "fine-tuning"
    assert BoostingScheme.__new__(BoostingScheme).epoch_end(5.0) == math.inf


def test_a_refit_trains_exactly_so_many_epochs_unvalidated(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_bpr(planted, tmp_path, epochs=3)
    assert len(fitted.epochs) == 3
    assert all(math.isnan(record.valid_recall) for record in fitted.epochs)


def test_epochs_are_told_as_they_come(planted: AtomicData, tmp_path: Path) -> None:
    told: list[EpochRecord] = []
    fitted = fit(bpr(), planted, train_rows(planted), FitSettings(1, tmp_path, epochs=2), on_epoch=told.append)
    assert told == fitted.epochs


def test_one_seed_one_result_another_seed_another(planted: AtomicData, tmp_path: Path) -> None:
    def scores(seed: int) -> np.ndarray:
        fitted = fit(bpr(), planted, train_rows(planted), FitSettings(seed, tmp_path, epochs=2))
        return fitted.scores(train_rows(planted), np.array([1, 2])).numpy()

    np.testing.assert_array_equal(scores(1), scores(1))
    assert not np.array_equal(scores(1), scores(2))


def test_a_loss_that_is_not_a_number_is_an_error(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="training loss of BPR is .*; lower learning_rate"):
        fit_bpr(planted, tmp_path, entry=bpr(learning_rate=1e30, learner="sgd"), epochs=5)


def test_an_unknown_optimiser_is_an_error(planted: AtomicData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learner is 'adamm'"):
        fit_bpr(planted, tmp_path, entry=bpr(learner="adamm"), epochs=1)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD"), ("adagrad", "Adagrad")]
)
def test_optimisers_take_rate_and_decay(name: str, kind: str) -> None:
    config = {"learner": name, "learning_rate": 0.25, "weight_decay": 0.5}
    optimizer = build_optimizer(config, torch.nn.Linear(2, 2).parameters())
    assert type(optimizer).__name__ == kind
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.25, 0.5)


def test_gradients_are_clipped_when_asked(planted: AtomicData, tmp_path: Path) -> None:
    free = fit_bpr(planted, tmp_path, entry=bpr(learner="sgd", learning_rate=1.0), epochs=1)
    held = fit_bpr(
        planted, tmp_path, entry=bpr(learner="sgd", learning_rate=1.0, clip_grad_norm={"max_norm": 1e-6}), epochs=1
    )
    start = fit_bpr(planted, tmp_path, entry=bpr(learner="sgd", learning_rate=1e-12), epochs=1)

    def moved(fitted: Fitted) -> float:
        return float((fitted.model.user_embedding.weight - start.model.user_embedding.weight).detach().abs().max())

    assert moved(held) < 1e-4 < moved(free)


def test_nothing_is_written_outside_the_scratch_folder(
    planted: AtomicData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "working_directory"
    empty.mkdir()
    monkeypatch.chdir(empty)
    fit_bpr(planted, tmp_path / "scratch", epochs=1)
    assert list(empty.iterdir()) == []


# -- what a model is given, and when ----------------------------------------------------------


def test_a_model_trains_on_its_training_rows_after_a_validation_read_more(planted: AtomicData, tmp_path: Path) -> None:
    """ItemAutoRec learns from the rows it reads: what is shown to rank users held out whole must not be learned."""
    every_row = train_rows(planted)
    some = planted.interactions[planted.interactions["user"] % 2 == 0]
    train = Interactions.from_rows(some, planted.vocabulary)
    entry = load_catalog()["ItemAutoRec"].with_parameters({"epochs": 3, "stopping_step": 9})

    def weights(history: Interactions) -> torch.Tensor:
        def validate(fitted: Fitted) -> float:
            fitted.rank(history, np.array([1, 2]), 5)
            return 0.5

        fitted = fit(entry, planted, train, FitSettings(1, tmp_path), validate)
        return torch.cat([value.flatten() for value in fitted.model.state_dict().values()])

    assert torch.equal(weights(every_row), weights(train))


def test_the_budget_is_no_parameter(planted: AtomicData, tmp_path: Path) -> None:
    fitted = fit_bpr(planted, tmp_path, epochs=1, budget=60.0)
    assert fitted.config["budget"] is None
    assert "budget" not in fitted.parameters


def test_only_those_with_something_to_rank_by_are_ranked(planted: AtomicData, tmp_path: Path) -> None:
    every_row = train_rows(planted)
    some = planted.interactions[planted.interactions["user"] > planted.vocabulary.users[1]]
    train = Interactions.from_rows(some, planted.vocabulary)  # nothing of users 1 and 2
    users = np.array([1, 2, 3])
    learned = fit(bpr(), planted, train, FitSettings(1, tmp_path, epochs=1))
    assert learned.rank(every_row, users, 5).user_ix.tolist() == [3]
    reads = fit(load_catalog()["EASE"], planted, train, FitSettings(1, tmp_path))
    assert reads.rank(every_row, users, 5).user_ix.tolist() == [1, 2, 3]
    assert reads.rank(train, users, 5).user_ix.tolist() == [3]


def test_a_model_of_the_earlier_form_is_refused_by_name() -> None:
    with pytest.raises(
        ModelError, match=r"Old.set_history takes \(self, history, interactions\); expected \(self, rows"
    ):

        class Old(HistoryModel):
            def set_history(self, history: Any, interactions: Any) -> None:
                """As models were written once."""


# -- the number that stops a training ---------------------------------------------------------


def test_validation_ranks_under_the_filter_of_the_run(planted: AtomicData) -> None:
    """One user whose two held-out movies come first; the filter drops one of them, so half of the recall is left."""
    rows = planted.interactions[planted.interactions["user"] == planted.vocabulary.users[0]]
    valid, seen = rows.iloc[:2], Interactions.from_rows(rows.iloc[2:], planted.vocabulary)
    wanted = planted.vocabulary.item_ix(valid["item"].to_numpy())
    item_key = np.zeros(planted.vocabulary.n_item_ix, dtype=np.float32)
    item_key[wanted[0]] = np.inf
    allowed = Candidates(item_key, np.zeros(planted.vocabulary.n_user_ix, dtype=np.float32))

    class Knows:
        def rank(self, history: Interactions, user_ix: np.ndarray, k: int, allowed: Any = None) -> TopK:
            scores = np.zeros((len(user_ix), history.n_items), dtype=np.float32)
            scores[:, wanted] = 1
            return top_k(lambda block: scores[: len(block)], user_ix, history.csr, k, allowed=allowed)

    assert validator(valid, seen, planted)(Knows()) == 1
    assert validator(valid, seen, planted, allowed)(Knows()) == 0.5
