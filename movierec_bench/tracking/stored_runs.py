"""The MLflow runs of one parent: found in the store, completed, replaced and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from movierec_bench.runs.records import RunManifest
from movierec_bench.tracking.entries import (
    BEST,
    BOARD,
    COMPLETE,
    METRICS_A_CALL,
    PARAMS_A_CALL,
    PARENT,
    RESULT,
    RUN_ID,
    Parent,
    Result,
    as_params,
    batches,
    dataset_input,
    hash_files,
)
from movierec_bench.tracking.kept_models import log_kept_model
from movierec_bench.tracking.live import Training

if TYPE_CHECKING:  # takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass
class StoredRuns:
    """A parent run and its child runs in an MLflow store, as found there when opened and kept up to date."""

    client: MlflowClient
    experiment_id: str
    manifest: RunManifest
    source: Parent
    parent: Run
    children: list[Run]

    @classmethod
    def open(cls, client: MlflowClient, experiment_id: str, manifest: RunManifest, source: Parent) -> StoredRuns:
        """The runs of ``source`` in an experiment; a missing parent run is made, spare ones are deleted."""
        runs = list(_search(client, experiment_id, source.run_id))
        children = [found for found in runs if PARENT in found.data.tags]
        parents = [found for found in runs if PARENT not in found.data.tags]
        # A request that timed out may have made a parent too many: the one that has the children is ours.
        adopted = {child.data.tags[PARENT] for child in children}
        parents.sort(key=lambda found: (found.info.run_id not in adopted, found.info.start_time, found.info.run_id))
        for spare in parents[1:]:
            client.delete_run(spare.info.run_id)
        parent = parents[0] if parents else _new_parent(client, experiment_id, manifest, source)
        for child in children:  # also where the parent was deleted by hand
            if child.data.tags[PARENT] != parent.info.run_id:
                client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
        return cls(client, experiment_id, manifest, source, parent, children)

    @property
    def parent_id(self) -> str:
        """MLflow's id of the parent run."""
        return str(self.parent.info.run_id)

    def _child_name(self, child: Run) -> str:
        return str(child.data.tags.get(self.source.child_tag))

    def tags_of_child(self, name: str) -> dict[str, str]:
        """Tags of any child of that `Result.name`."""
        return {
            **self.source.tags(),
            RUN_ID: self.source.run_id,
            self.source.child_tag: name,
            PARENT: self.parent_id,
        }

    def delete_unfinished(self, name: str) -> None:
        """Delete runs of a model of that name in training."""
        for child in [child for child in self.children if self._child_name(child) == name]:
            if RESULT not in child.data.tags:
                self._delete(child)

    def put(self, result: Result, training: Optional[Training] = None) -> bool:
        """Whether anything had to be sent to have this result, and no other of its name, in the store."""
        digest = result.digest()
        there = [child for child in self.children if self._child_name(child) == result.name]
        same = [child for child in there if child.data.tags.get(RESULT) == digest]
        same.sort(key=lambda child: (COMPLETE not in child.data.tags, child.info.start_time, child.info.run_id))
        if same:
            child = same[0]
        elif training is not None and training.run is not None:
            child = training.run
            training.become(self.client, result, digest)
        else:
            child = self._new_child(result, digest)
        sent = COMPLETE not in child.data.tags
        if sent:
            self._fill(child, result)
        for other in there:  # of an earlier result, or made twice by a request that timed out
            if other.info.run_id != child.info.run_id:
                self._delete(other)
        return sent

    def _new_child(self, result: Result, digest: str) -> Run:
        tags = {**self.tags_of_child(result.name), **result.tags(), RESULT: digest}
        started = result.ended() - result.duration()
        child = self.client.create_run(self.experiment_id, started, tags, run_name=result.label)
        self.children.append(child)
        return child

    def _delete(self, child: Run) -> None:
        self.client.delete_run(child.info.run_id)
        self.children.remove(child)

    def _fill(self, child: Run, result: Result) -> None:
        """Send all of a result. Nothing here depends on the time or place, so that doing it again changes nothing."""
        run_id, start = child.info.run_id, child.info.start_time
        for params in batches(as_params(result.params()), PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params)
        for metrics in batches(result.metrics(start), METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=metrics)
        for path, folder in result.files():
            self.client.log_artifact(run_id, str(path), folder)
        self.client.log_inputs(run_id, [dataset_input(self.manifest)])
        model = result.kept_model()
        if model is not None:
            log_kept_model(self.client, run_id, model)
        state = "FINISHED" if result.succeeded() else "FAILED"
        self.client.set_terminated(run_id, state, start + result.duration())
        self.client.set_tag(run_id, COMPLETE, "true")

    def finish(self) -> None:
        """Send what the parent holds itself and end it, unless just that is there."""
        for child in [child for child in self.children if not self.source.keeps(self._child_name(child))]:
            self._delete(child)
        self._mark_best()
        files = self.source.files()
        state = hash_files(*(path for path, _ in files))
        if self.parent.data.tags.get(BOARD) == state:
            return
        for path, folder in files:
            self.client.log_artifact(self.parent_id, str(path), folder)
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in self.source.tags().items()]
        self.client.log_batch(self.parent_id, tags=tags)
        for key, value in self.source.metrics().items():
            self.client.log_metric(self.parent_id, key, value)
        self.client.set_terminated(self.parent_id, "FINISHED", self.source.ended())
        self.client.set_tag(self.parent_id, BOARD, state)

    def _mark_best(self) -> None:
        best = self.source.best()
        for child in self.children:
            run_id, is_best = child.info.run_id, best is not None and self._child_name(child) == best
            if is_best and BEST not in child.data.tags:
                self.client.set_tag(run_id, BEST, "true")
            elif BEST in child.data.tags and not is_best:
                self.client.delete_tag(run_id, BEST)


def _search(client: MlflowClient, experiment_id: str, run_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _new_parent(client: MlflowClient, experiment_id: str, manifest: RunManifest, source: Parent) -> Run:
    tags = {**source.tags(), RUN_ID: source.run_id}
    parent = client.create_run(experiment_id, source.created, tags, run_name=source.name)
    client.log_batch(parent.info.run_id, params=as_params(source.params()))
    client.log_inputs(parent.info.run_id, [dataset_input(manifest)])
    return parent
