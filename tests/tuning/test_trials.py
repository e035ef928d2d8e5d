"""Trials: which of them are stopped early, and their records on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from movierec_bench.runs.trials import Trial, TrialFolder, best_trial
from movierec_bench.schema import EpochRecord


def scheduler_and(*numbers: int) -> tuple[Any, list[Any]]:
    from movierec_bench.tuning.ray_tune import _Scheduler

    scheduler = _Scheduler(most_epochs=100)
    trials = [SimpleNamespace(trial_id=f"t{number}", config={"trial": {"number": number}}) for number in numbers]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    return scheduler, trials


def epochs(*recalls: float) -> tuple[EpochRecord, ...]:
    return tuple(EpochRecord(number, 0.1, recall, 1.0) for number, recall in enumerate(recalls, start=1))


def test_a_trial_behind_the_others_is_stopped_after_the_grace_epochs() -> None:
    scheduler, (good, bad) = scheduler_and(1, 2)
    for epoch in range(1, 6):
        assert scheduler.on_trial_result(None, good, {"epoch": epoch, "recall": 0.2}) == "CONTINUE"
    for epoch in range(1, 5):
        assert scheduler.on_trial_result(None, bad, {"epoch": epoch, "recall": 0.1}) == "CONTINUE"
    assert scheduler.on_trial_result(None, bad, {"epoch": 5, "recall": 0.1}) == "STOP"


def test_the_default_and_a_trial_at_its_end_are_never_stopped() -> None:
    scheduler, (good, default, last) = scheduler_and(1, 0, 2)
    scheduler.on_trial_result(None, good, {"epoch": 5, "recall": 0.2})
    assert scheduler.on_trial_result(None, default, {"epoch": 5, "recall": 0.1}) == "CONTINUE"
    assert scheduler.on_trial_result(None, last, {"epoch": 5, "recall": 0.1, "end": {}}) == "CONTINUE"
    assert scheduler.on_trial_result(None, good, {"epoch": 100, "recall": 0.2}) == "CONTINUE", "its own last epoch"


def test_trials_of_an_earlier_call_still_count_for_stopping() -> None:
    scheduler, (bad,) = scheduler_and(3)
    scheduler.remember(Trial(1, "done", {}, "earlier", recall=0.2, epochs=epochs(0.2, 0.1, 0.1, 0.1, 0.1)))
    assert scheduler.on_trial_result(None, bad, {"epoch": 5, "recall": 0.15}) == "STOP", "behind the best so far"


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    trial = Trial(
        3, "failed", {"sizes": [600, 200], "rate": 1e-05}, "abc", seconds=1.5, error="E: x", epochs=epochs(float("nan"))
    )
    folder.write(trial)
    (read,) = folder.read()
    assert repr(read) == repr(trial), "by text, as NaN equals nothing"
    assert "NaN" not in next(tmp_path.glob("records/*.json")).read_text()


def test_the_lower_number_is_the_better_of_equals() -> None:
    trials = [
        Trial(number, "done", {}, str(number), recall=recall) for number, recall in ((2, 0.3), (1, 0.3), (0, 0.1))
    ]
    failed = Trial(3, "failed", {}, "3", recall=0.9)
    found = best_trial([*trials, failed])
    assert found is not None
    assert found.number == 1
    assert best_trial([failed]) is None
