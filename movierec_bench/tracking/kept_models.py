"""A kept model as an artifact of its MLflow run, in the form that `mlflow models serve` and registries take."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from movierec_bench.runs.folder import ModelFolder

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient

ARTIFACT = "model"  # its folder among the run's artifacts
_LOADER = "movierec_bench.kept.served"  # a module of the last stages, which MLflow imports when it serves


def log_kept_model(client: MlflowClient, run_id: str, model: ModelFolder) -> None:
    """Send a model's ``model/`` as a pyfunc whose loader is this library's own: nothing of it is pickled."""
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory(prefix="movierec_bench-") as scratch:
        folder = Path(scratch) / ARTIFACT
        shutil.copytree(model.kept, Path(scratch) / "kept")
        pyfunc.save_model(
            str(folder),
            loader_module=_LOADER,
            data_path=str(Path(scratch) / "kept"),
            pip_requirements=[f"movierec_bench=={version('movierec_bench')}"],
            metadata={"movierec_bench.model": model.name},
        )
        client.log_artifacts(run_id, str(folder), ARTIFACT)
