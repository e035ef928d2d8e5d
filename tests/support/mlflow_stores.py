"""What tests of tracking look at: the MLflow runs of one parent, read with MLflow's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Optional

from movierec_bench.data.atomic import write_atomic
from movierec_bench.execution.run import run
from movierec_bench.runs.files import write_text, write_yaml
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import FAILED, SKIPPED, Seconds, Status
from movierec_bench.tracking.answers import ANSWER
from movierec_bench.tracking.entries import MODEL, PARENT, RUN_ID
from support.mix_runs import write_run
from support.planted import planted_competition

BPR = (
    "catalog: {family: general, source: recbole, trainer: epochs, batches: interactions, history: none}\n"
    "epochs: 3\nembedding_size: 8\n"
)


class Store:
    """The live MLflow runs of one run folder or searched model.

    Attributes:
        parent: its one parent run; None where there is none.
        children: its child runs by the tag that names them.
    """

    def __init__(self, uri: str, run_id: str, child_tag: str) -> None:
        from mlflow import MlflowClient

        self.uri, self.run_id = uri, run_id
        self.client = MlflowClient(tracking_uri=uri)
        found = self.search()
        parents = [run for run in found if PARENT not in run.data.tags]
        children = [run for run in found if PARENT in run.data.tags]
        assert len(parents) <= 1, "two parent runs for one folder"
        self.parent: Any = parents[0] if parents else None
        self.children = {child.data.tags[child_tag]: child for child in children}
        assert len(self.children) == len(children), "a result is there twice"
        assert all(child.data.tags[PARENT] == self.parent.info.run_id for child in children)

    def search(self, deleted: bool = False) -> list[Any]:
        from mlflow.entities import ViewType

        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        return list(self.client.search_runs(experiments, f"tags.`{RUN_ID}` = '{self.run_id}'", run_view_type=view))

    def history(self, child: str, metric: str) -> list[tuple[int, float]]:
        """Each step and its value."""
        points = self.client.get_metric_history(self.children[child].info.run_id, metric)
        return sorted((point.step, point.value) for point in points)

    def artifacts(self, run: Any) -> set[str]:
        """Paths of a run's artifacts, those in its folders too."""
        top = self.client.list_artifacts(run.info.run_id)
        below = [
            inner.path
            for entry in top
            if entry.is_dir
            for inner in self.client.list_artifacts(run.info.run_id, entry.path)
        ]
        return {entry.path for entry in top if not entry.is_dir} | set(below)

    def everything(self) -> dict[str, Any]:
        """All that a second upload could have changed or doubled."""
        return {
            found.info.run_id: (
                found.to_dictionary(),
                {key: len(self.client.get_metric_history(found.info.run_id, key)) for key in found.data.metrics},
            )
            for found in self.search() + self.search(deleted=True)
        }


def store_of(folder: RunFolder, uri: Optional[str] = None) -> Store:
    return Store(uri or f"sqlite:///{folder.path.parent / 'mlflow.db'}", folder.read_manifest().run_id, MODEL)


def made_up(folder: Path) -> RunFolder:
    """A finished run: four models, one of them with epochs and a submission, one failed and one skipped."""
    there = write_run(folder, users=60)
    even = there.model("Even")
    write_text(even.epochs, "epoch,train_loss,valid_recall@10,seconds\n1,0.5,,2.0\n2,0.25,0.125,1.5\n")
    write_yaml(even.params, {"layers": [64, 32], "search": {"depth": 3}, "note": "x" * 900, "weight@2": None})
    even.write_status(replace(even.read_status(), seconds=Seconds(load=1.0, fit=4.0), epochs=2, best_epoch=2))
    write_text(even.log, "trained\n")
    write_text(there.submission("Even"), "user,item\n100,10\n")
    there.model("Broken").write_status(Status("Broken", FAILED, "general", "ours", error="in fit: ValueError: odd"))
    there.model("Absent").write_status(Status("Absent", SKIPPED, "tree", "ours", error="needs a package"))
    write_text(there.leaderboard("csv"), "place,model\n1,Even\n")
    return there


def bench(folder: Path, models: str, **changes: Any) -> Any:
    """A benchmark of the planted data below ``folder``, with a small BPR."""
    configs = folder / "configs" / "models"
    if not configs.is_dir():
        configs.mkdir(parents=True)
        (configs / "BPR.yaml").write_text(BPR)
        write_atomic(planted_competition(), folder / "atomic", "planted")
    settings = {"atomic": folder / "atomic", "out": folder / "runs", "configs": folder / "configs", "quiet": True}
    return run(models=models, **{**settings, **changes})


def told_uploader(run: Path, uri: str, lines: bytes) -> list[list[str]]:
    """What the process beside a benchmark says it has uploaded: at its start, and after it was told ``lines``."""
    uploading = subprocess.Popen(
        [sys.executable, "-m", "movierec_bench.tracking.upload_process", str(run)],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert uploading.stdin is not None
    assert uploading.stdout is not None
    sent = [_answer(uploading.stdout)]
    uploading.stdin.write(lines)
    uploading.stdin.flush()
    sent.append(_answer(uploading.stdout))
    is_last = lines.startswith(b"\n")
    if not is_last:
        uploading.stdin.close()  # as the end of a benchmark that is killed does
    assert uploading.wait(20) == (0 if is_last else 1)
    return sent


def _answer(lines: IO[bytes]) -> list[str]:
    for line in lines:
        if line.startswith(ANSWER.encode()):
            return list(json.loads(line[len(ANSWER) :])["uploaded"])
    raise AssertionError("no answer")
