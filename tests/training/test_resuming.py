"""A training that was stopped goes on from its saved state as if nothing had happened, or starts anew and says so."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.planted import ROOT

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.interactions import Interactions
from movierec_bench.data.split import make_split
from movierec_bench.errors import ConfigError, ModelError
from movierec_bench.evaluation.validation import Validate, validator
from movierec_bench.schema import EpochRecord
from movierec_bench.settings.catalog import ModelEntry, load_catalog
from movierec_bench.settings.protocol import load_protocol
from movierec_bench.training.resuming import SECONDS_VARIABLE, StateFile, seconds_between_states
from movierec_bench.training.trainer import FitSettings, Fitted, fit

# One of each scheme that has a state, and models that count steps or keep arrays besides their weights.
RESUMED = ("BPR", "BPRSGD", "DiffRec", "KGAT", "KTUP", "MKR", "MultiVAE", "NCL", "RecVAE", "SASRec")
# Sums of several threads differ in their last digits from one undisturbed training of these to the next.
ROUNDED = ("KGAT", "NCL")
IN_STAGES = ("KD_DAGFM", "NAIS", "RaCT", "S3Rec")


class Killed(BaseException):
    """Ends a training as a signal does: no `except Exception` sees it."""


@pytest.fixture(scope="module")
def rows(planted: AtomicData) -> tuple[Interactions, Validate]:
    split = make_split(planted.interactions, load_protocol(ROOT / "recbole_configs" / "protocol.yaml"))
    train = Interactions.from_rows(split.train, planted.vocabulary)
    return train, validator(split.valid, train, planted)


def entry_of(name: str, epochs: int = 5) -> ModelEntry:
    return load_catalog()[name].with_parameters({"epochs": epochs})


def fit_until(
    entry: ModelEntry,
    data: AtomicData,
    rows: tuple[Interactions, Validate],
    settings: FitSettings,
    killed_in: int = 99,
    error: BaseException = Killed(),  # noqa: B008 - one for all is enough
) -> Fitted:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == killed_in:
            raise error

    return fit(entry, data, rows[0], settings, rows[1], on_epoch)


def told(fitted: Fitted) -> list[tuple[int, float, str]]:
    return [(record.epoch, record.train_loss, repr(record.valid_recall)) for record in fitted.epochs]


@pytest.mark.parametrize("name", RESUMED)
def test_it_goes_on_as_if_nothing_had_happened(
    name: str, planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path
) -> None:
    entry, settings = entry_of(name), FitSettings(seed=7, scratch=tmp_path)
    whole = fit_until(entry, planted, rows, settings)
    users = np.arange(1, rows[0].n_users)
    expected = whole.scores(rows[0], users).clone()

    saved = replace(settings, state=StateFile(tmp_path / "state.npz", "the same", seconds=0))
    for epoch in (3, 5):  # killed twice
        with pytest.raises(Killed):
            fit_until(entry, planted, rows, saved, killed_in=epoch)
        assert (tmp_path / "state.npz").exists()
        np.random.seed(epoch)
        torch.manual_seed(epoch)
    resumed = fit_until(entry, planted, rows, saved)
    assert resumed.earlier_seconds > 0
    if name in ROUNDED:
        losses = [[record.train_loss for record in side.epochs] for side in (resumed, whole)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    else:
        assert told(resumed) == told(whole) and resumed.best_epoch == whole.best_epoch
        assert torch.equal(resumed.scores(rows[0], users), expected)
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.parametrize("name", IN_STAGES)
def test_what_trains_in_stages_starts_anew(
    name: str, planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path
) -> None:
    saved = FitSettings(seed=7, scratch=tmp_path, state=StateFile(tmp_path / "state.npz", "the same", seconds=0))
    with pytest.raises(Killed):
        fit_until(entry_of(name), planted, rows, saved, killed_in=3)
    assert not (tmp_path / "state.npz").exists()


def test_a_state_of_something_else_is_left_alone(
    planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path
) -> None:
    entry, path = entry_of("BPR"), tmp_path / "state.npz"
    saved = FitSettings(seed=7, scratch=tmp_path, state=StateFile(path, "one", seconds=0))
    with pytest.raises(Killed):
        fit_until(entry, planted, rows, saved, killed_in=3)
    other = fit_until(entry, planted, rows, replace(saved, state=StateFile(path, "another", seconds=math.inf)))
    assert other.earlier_seconds == 0 and [record.epoch for record in other.epochs] == [1, 2, 3, 4, 5]


def test_a_damaged_state_is_told_and_the_training_starts_anew(
    planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(b"cut short")
    saved = FitSettings(seed=7, scratch=tmp_path, state=StateFile(path, "one", seconds=math.inf))
    with caplog.at_level(logging.WARNING):
        assert len(fit_until(entry_of("BPR"), planted, rows, saved).epochs) == 5
    assert "the training starts anew" in caplog.text and str(path) in caplog.text


def test_a_state_that_does_not_fit_is_refused_and_removed(
    planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path
) -> None:
    path = tmp_path / "state.npz"
    saved = FitSettings(seed=7, scratch=tmp_path, state=StateFile(path, "one", seconds=0))
    with pytest.raises(Killed):
        fit_until(entry_of("BPR"), planted, rows, saved, killed_in=3)
    with pytest.raises(ModelError, match="the saved state does not fit this training"):
        fit_until(entry_of("MultiVAE"), planted, rows, saved)
    assert not path.exists()


def test_a_failure_leaves_no_state(planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path) -> None:
    saved = FitSettings(seed=7, scratch=tmp_path, state=StateFile(tmp_path / "state.npz", "one", seconds=0))
    with pytest.raises(ZeroDivisionError):
        fit_until(entry_of("BPR"), planted, rows, saved, killed_in=3, error=ZeroDivisionError())
    assert not (tmp_path / "state.npz").exists()


def test_seconds_trained_before_count_in_the_budget(
    planted: AtomicData, rows: tuple[Interactions, Validate], tmp_path: Path
) -> None:
    entry = entry_of("BPR", epochs=100_000).with_parameters({"stopping_step": 100_000})
    saved = FitSettings(seed=7, scratch=tmp_path, budget=2.0, state=StateFile(tmp_path / "s.npz", "one", seconds=0.2))

    def kill_late(record: EpochRecord) -> None:
        if (tmp_path / "s.npz").exists():
            raise Killed

    with pytest.raises(Killed):
        fit(entry, planted, rows[0], saved, rows[1], kill_late)
    resumed = fit_until(entry, planted, rows, replace(saved, budget=0.1))
    assert resumed.earlier_seconds >= 0.2  # the budget is spent: one epoch sees that
    assert resumed.out_of_budget and resumed.epochs[-1].epoch == resumed.epochs[-2].epoch + 1
    assert sum(record.seconds for record in resumed.epochs[:-1]) <= resumed.earlier_seconds


@pytest.mark.parametrize("text", ["often", "-1", "nan"])
def test_an_odd_interval_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS_VARIABLE, text)
    with pytest.raises(ConfigError, match="expected seconds, a number from 0"):
        seconds_between_states()
    monkeypatch.delenv(SECONDS_VARIABLE)
    assert seconds_between_states() == 180
