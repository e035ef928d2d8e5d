"""A change that moves a score is written down and raises the version that results depend on."""

from __future__ import annotations

from pathlib import Path

from movierec_bench.schema import SCORES_VERSION


def test_every_change_of_scores_raises_the_version() -> None:
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    changes = [line for line in changelog.splitlines() if line.startswith("- [scores] ")]
    of_models = [line for line in changes if not line.startswith("- [scores] `ensemble")]
    assert len(of_models) == SCORES_VERSION, "a line '[scores]' and schema.SCORES_VERSION are raised together"
