"""The best parameters as a folder of configurations that stands alone, for variants and a user's own models too."""

from __future__ import annotations

from pathlib import Path

import pytest

from movierec_bench.recbole_backend.config import load_model_class
from movierec_bench.runs.trials import Trial
from movierec_bench.settings.catalog import load_catalog
from movierec_bench.settings.yaml_files import ConfigFolders
from movierec_bench.tuning.best_yaml import write_best

YAML = "catalog: {family: rule, source: ours, trainer: closed_form, batches: none, history: rows}\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    models = tmp_path / "own" / "models"
    models.mkdir(parents=True)
    (models / "Mine.yaml").write_text(f"# A model of a test.\n{YAML}weight: 1.0  # float > 0, a weight; ours\n")
    (models / "Mine.py").write_text(
        "from movierec_bench.models import HistoryModel\nfrom .more import NUMBER\n"
        "class Mine(HistoryModel):\n    number = NUMBER\n"
    )
    (models / "more.py").write_text("NUMBER = 3\n")
    (models / "Heavy.yaml").write_text("# Heavier.\nbase: Mine\ncatalog: {groups: [fast]}\nweight: 9.0\n")
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("EASE", {"reg_weight": 77.0}),
        ("BERT4Rec_sum", {"learning_rate": 0.001, "n_layers": 1}),
        ("Mine", {"weight": 4.0}),
        ("Heavy", {"weight": 4.0}),
    ],
)
def test_the_written_folder_gives_the_same_model_with_the_best_parameters(
    own: Path, tmp_path: Path, name: str, parameters: dict[str, float]
) -> None:
    entry = load_catalog(own)[name]
    best = Trial(number=1, state="done", parameters=parameters, fingerprint="f", recall=0.5, seconds=1.0)
    write_best(tmp_path / "best" / "models" / f"{name}.yaml", entry, best, ["Found by a test."], ConfigFolders(own))
    again = load_catalog(tmp_path / "best")[name]
    assert again.parameters == entry.with_parameters(parameters).parameters
    assert again.fingerprint() == entry.with_parameters(parameters).fingerprint()
    assert (again.groups, list(again.bases)) == (entry.groups, list(entry.bases))
    assert load_model_class(again).__name__ == load_model_class(entry).__name__
    text = (tmp_path / "best" / "models" / f"{name}.yaml").read_text()
    assert "# Found by a test." in text and "; tuned, was " in text
