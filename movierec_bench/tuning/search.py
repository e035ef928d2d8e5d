"""The search for one model's parameters: which trials are over, which are to come, and how it is told."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Optional

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from movierec_bench.notebook import in_notebook
from movierec_bench.progress_bars import bars, watched
from movierec_bench.runs.records import BUDGET, FAILED
from movierec_bench.runs.trials import Trial, TrialFolder, best_trial, trial_label
from movierec_bench.schema import MAIN_METRIC, EpochRecord
from movierec_bench.settings.entry import ModelEntry
from movierec_bench.tracking.tracker import Tracking
from movierec_bench.tuning.tuned import metric_text, values_text

logger = logging.getLogger(__name__)


class Search:
    """The trials of one model: those that are over, and those to come.

    Args:
        entry: the model with its default parameters.
        configurations: what to try, the default parameters first.
        folder: where the trials are kept.
        seed: see `tune`.
        budget: see `tune`.
    """

    def __init__(
        self,
        entry: ModelEntry,
        configurations: Sequence[dict[str, Any]],
        folder: TrialFolder,
        seed: int,
        budget: Optional[float],
    ) -> None:
        self.entry, self.folder, self.seed, self.budget = entry, folder, seed, budget
        wanted = [
            Trial(number, "", values, self._hash(values), budget=budget) for number, values in enumerate(configurations)
        ]
        numbers = {trial.fingerprint: trial.number for trial in wanted}
        # A larger or other search of the same model left these; they count, with the numbers after the wanted ones.
        kept = [trial for trial in folder.read() if self._stands(trial)]
        extra = [trial.fingerprint for trial in kept if trial.fingerprint not in numbers]
        numbers.update({fingerprint: len(wanted) + place for place, fingerprint in enumerate(extra)})
        self.total = len(numbers)
        self.over = {trial.fingerprint: replace(trial, number=numbers[trial.fingerprint]) for trial in kept}
        self.missing = [trial for trial in wanted if trial.fingerprint not in self.over]

    @property
    def trials(self) -> list[Trial]:
        """Those that are over, by number."""
        return sorted(self.over.values(), key=lambda trial: trial.number)

    def add(self, trial: Trial) -> None:
        """Keep a trial that is over."""
        self.folder.write(trial)
        self.over[trial.fingerprint] = trial
        self.folder.write_tables(self.trials)

    def _hash(self, values: dict[str, Any]) -> str:
        depends_on = [self.entry.with_parameters(values).fingerprint(), self.seed]
        return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]

    def _stands(self, trial: Trial) -> bool:
        if trial.state == FAILED or (trial.state == BUDGET and trial.budget != self.budget):
            return False  # it may succeed now, or come further
        values = dict(trial.parameters)
        return set(values) <= set(self.entry.parameters) and self._hash(values) == trial.fingerprint


class SearchProgress(AbstractContextManager["SearchProgress"]):
    """Keeps each trial as it ends, has it tracked, and says how it went, above a bar or in the log."""

    def __init__(self, search: Search, quiet: bool, tracking: Tracking) -> None:
        self._search, self._tracking = search, tracking
        self._watched = watched(quiet)
        self._level = logging.DEBUG if in_notebook() else logging.INFO
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = bars(*columns, *times, quiet=quiet)
        self._task = self._bar.add_task(search.entry.name, total=search.total, completed=len(search.over))

    def __enter__(self) -> SearchProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def epoch(self, trial: Trial, record: EpochRecord) -> None:
        """A trial has ended an epoch and goes on."""
        model = self._search.entry.name
        self._tracking.epoch(trial.fingerprint, record, trial_label(model, trial.number), model)

    def over(self, trial: Trial) -> None:
        """A trial is over."""
        self._search.add(trial)
        label = trial_label(self._search.entry.name, trial.number)
        self._tracking.finished(label)
        best = best_trial(self._search.trials)
        said = trial.error if trial.state == FAILED else f"{MAIN_METRIC} {metric_text(trial)}, best {metric_text(best)}"
        line = (
            f"[{len(self._search.over)}/{self._search.total}] {label} {trial.state}: {said}, "
            f"{trial.seconds:.1f} s; {values_text(trial)}"
        )
        if self._watched:
            self._bar.say(line)
            self._bar.advance(self._task)
        else:
            logger.log(self._level, "%s", line)
