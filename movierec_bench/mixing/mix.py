"""The record of a finished mix, and how it is described."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from movierec_bench.evaluation.statistics import mean_interval
from movierec_bench.mixing.recipe import Recipe, rule_text
from movierec_bench.notebook import text_html
from movierec_bench.runs.folder import ModelFolder
from movierec_bench.runs.records import Status
from movierec_bench.schema import MAIN_METRIC


@dataclass(frozen=True)
class SplitGain:
    """What a mix brings under one draw of the split.

    Args:
        run: the folder of that split's run.
        recall: the mix's test Recall@10.
        single: the single model with the highest Recall@10 on the validation rows.
        single_recall: its test Recall@10.
    """

    run: Path
    recall: float
    single: str
    single_recall: float

    @property
    def gain(self) -> float:
        """The mix less the single model."""
        return self.recall - self.single_recall


@dataclass(frozen=True)
class Mix:
    """A finished mix.

    Args:
        folder: its files.
        recipe: how it is made.
        status: its numbers on the test rows.
        submission: the submission; None where a member was not refitted.
        best_single: the model of the run with the best test Recall@10.
        difference: the mix's test Recall@10 less that model's.
        p_value: of the paired test of that difference.
        redone: members whose results are not those that the recipe was found on.
        tracking: one line that says where the run is tracked, or why not; None where it is not.
        splits: the same mix, searched for anew, under each draw of the split that the run has, this one first; empty
            where it has one.
    """

    folder: ModelFolder
    recipe: Recipe
    status: Status
    submission: Optional[Path]
    best_single: str
    difference: float
    p_value: float
    redone: tuple[str, ...] = ()
    tracking: Optional[str] = None
    splits: tuple[SplitGain, ...] = ()

    def _repr_html_(self) -> str:
        return text_html(self.describe())

    def describe(self) -> str:
        """The mix in a few lines of plain text."""
        metrics = self.status.metrics
        recall = metrics[MAIN_METRIC]
        share = self.difference / (recall - self.difference) if recall != self.difference else float("nan")
        return "\n".join(
            (
                f"{self.recipe.name}: {_contents(self.recipe)}",
                f"test {MAIN_METRIC} {recall:.4f} (95 % interval {metrics['ci_low']:.4f} to {metrics['ci_high']:.4f}), "
                f"{self.difference:+.4f} ({share:+.1%}) to {self.best_single}, the best single model, "
                f"p = {self.p_value:.2g} in a paired test",
                *self._out_of_fold_text(),
                *self._splits_text(),
                f"recipe: {self.folder.params}",
                f"submission: {self.submission or 'none, as not every member was refitted on every row'}",
                *([self._redone_text()] if self.redone else []),
                *([] if self.tracking is None else [self.tracking]),
            )
        )

    def _out_of_fold_text(self) -> list[str]:
        """What a search found on validation rows, by users that had no say in the mix that they judge."""
        search = self.recipe.search or {}
        mixed, single = (search.get(f"{prefix}out_of_fold_{MAIN_METRIC}") for prefix in ("", "best_single_"))
        if mixed is None or single is None:
            return []
        error, share = search["standard_error_of_gain"], search.get("share_of_mix")
        text = f"validation {MAIN_METRIC} {mixed:.4f} out of fold, {mixed - single:+.4f} to the best single model, "
        text += f"standard error {error:.4f}"
        return [text if share is None else f"{text}; {share:.0%} of the mix, the rest the best single model"]

    def _splits_text(self) -> list[str]:
        """What the mix brings over the single model that validation would choose, over the draws of the split."""
        if len(self.splits) < 2:
            return []
        gain = mean_interval([split.gain for split in self.splits])
        worst = min(self.splits, key=lambda split: split.gain / split.single_recall)
        recall = mean_interval([split.recall for split in self.splits]).mean
        return [
            f"over {gain.count} splits: test {MAIN_METRIC} {recall:.4f}, {gain.mean:+.4f} (95 % interval "
            f"{gain.low:+.4f} to {gain.high:+.4f}) to the single model that is best on validation rows; "
            f"worst {worst.gain / worst.single_recall:+.1%}, to {worst.single} in {worst.run.name}"
        ]

    def _redone_text(self) -> str:
        return (
            f"{', '.join(self.redone)} redone since the recipe was found, so that what it chose may no longer be best; "
            f"search again with --method {self.recipe.method}"
        )


def _contents(recipe: Recipe) -> str:
    if recipe.weights is not None:
        members = ", ".join(f"{weight:g} {name}" for name, weight in recipe.weights.items())
        return f"{rule_text(recipe.mixing_rule())} of {members}"
    if recipe.learner is not None:
        stack = f"{recipe.learner} stack (depth {recipe.depth}) of {', '.join(recipe.members)}"
        return stack if recipe.share is None else f"{stack}, {recipe.share:.0%} of it beside {recipe.beside}"
    if recipe.routes is not None:
        return f"by {recipe.by}: " + ", ".join(f"{segment} {name}" for segment, name in recipe.routes.items())
    return "concatenation of " + ", ".join(recipe.members)
