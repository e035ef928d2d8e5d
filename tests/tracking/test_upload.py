"""What a run leaves in an MLflow store, and that it is there once only."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from support.mix_runs import ORACLES, write_run
from support.mlflow_stores import made_up, store_of

from movierec_bench.errors import ConfigError
from movierec_bench.runs.files import write_text, write_yaml
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.pictures import PicturesFolder
from movierec_bench.runs.records import Seconds
from movierec_bench.tracking.entries import COMPLETE
from movierec_bench.tracking.tracker import track
from movierec_bench.tracking.upload import upload

pytestmark = pytest.mark.xdist_group("mlflow")  # one process, so that the default store is set up once


def moved(there: RunFolder, to: Path) -> RunFolder:
    """A copy that takes itself for the run, as a folder does that was moved."""
    copy = RunFolder(shutil.copytree(there.path, to))
    copy.write_manifest(replace(copy.read_manifest(), home=str(to.resolve())))
    return copy


def test_the_parent_stands_for_the_folder(tracked: RunFolder) -> None:
    store, manifest = store_of(tracked), tracked.read_manifest()
    assert store.client.get_experiment(store.parent.info.experiment_id).name == "planted"
    assert store.parent.info.status == "FINISHED"
    assert store.parent.data.params["data_hash"] == manifest.data_hash
    assert store.parent.data.params["protocol_hash"] == manifest.protocol_hash
    assert store.parent.data.tags["command"] == "made up"
    best = max(tracked.model(name).read_status().metrics["recall@10"] for name in ORACLES)
    assert store.parent.data.metrics == {"best_recall_at_10": best}
    assert store.artifacts(store.parent) == {"leaderboard.csv", "manifest.json"}


def test_a_child_has_parameters_metrics_by_step_tags_and_files(tracked: RunFolder) -> None:
    store, status = store_of(tracked), tracked.model("Even").read_status()
    assert set(store.children) == {*ORACLES, "Broken", "Absent"}
    child = store.children["Even"]
    assert child.info.status == "FINISHED"
    assert child.info.end_time - child.info.start_time == 5000, "milliseconds of the phases"
    params = child.data.params
    assert {key: params[key] for key in ("layers", "search.depth", "weight_at_2")} == {
        "layers": "[64, 32]",
        "search.depth": "3",
        "weight_at_2": "null",
    }
    assert params["note"] == "x" * 497 + "..."
    assert store.history("Even", "train_loss") == [(1, 0.5), (2, 0.25)]
    assert store.history("Even", "valid_recall_at_10") == [(2, 0.125)], "the first epoch was not validated"
    assert store.history("Even", "epoch_seconds") == [(1, 2.0), (2, 1.5)]
    assert store.history("Even", "recall_at_10") == [(0, status.metrics["recall@10"])]
    assert child.data.metrics["fit_seconds"] == 4.0
    assert child.data.metrics["users"] == status.users
    assert child.data.tags["data_hash"] == tracked.read_manifest().data_hash
    assert child.data.tags["protocol_hash"] == tracked.read_manifest().protocol_hash
    assert child.data.tags["family"] == "general"
    files = {"status.json", "params.yaml", "epochs.csv", "per_user.parquet", "log.txt", "submission/Even.csv"}
    assert store.artifacts(child) == files | {f"topk_{part}.parquet" for part in ("valid", "test", "full")}
    stored = store.client.download_artifacts(child.info.run_id, "submission/Even.csv")
    assert Path(stored).read_bytes() == tracked.submission("Even").read_bytes()


def test_failed_and_skipped_models_are_there_with_their_reason(tracked: RunFolder) -> None:
    store = store_of(tracked)
    for name, status, reason in (
        ("Broken", "failed", "in fit: ValueError: odd"),
        ("Absent", "skipped", "needs a package"),
    ):
        child = store.children[name]
        assert child.info.status == "FAILED"
        assert (child.data.tags["status"], child.data.tags["error"]) == (status, reason)
        assert "recall_at_10" not in child.data.metrics


def test_pictures_of_these_very_data_are_the_parents(tmp_path: Path, database: str) -> None:
    there = made_up(tmp_path)
    for dataset, data_hash in (("planted", there.read_manifest().data_hash), ("other", "0" * 16)):
        pictures = PicturesFolder(tmp_path / "eda" / dataset)
        pictures.write_manifest(dataset, data_hash, ["lengths"])
        write_text(pictures.page, "<p>lengths")
        pictures.png("lengths").write_bytes(b"PNG")
    upload(there, database)
    store = store_of(there, database)
    drawn = {"eda/index.html", "eda/lengths.png", "eda/manifest.json"}
    assert store.artifacts(store.parent) == {"leaderboard.csv", "manifest.json"} | drawn
    pictures = PicturesFolder.beside(there, "planted")
    assert pictures.is_of(there.read_manifest().data_hash) and not pictures.is_of("0" * 16)
    write_text(pictures.manifest, "{")
    assert not pictures.is_of(there.read_manifest().data_hash), "a damaged manifest is nobody's"


def test_artifacts_lie_beside_the_runs(tracked: RunFolder) -> None:
    assert any((tracked.path.parent / "mlartifacts").rglob("topk_test.parquet"))


def test_more_parameters_and_metrics_than_a_call_takes(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    write_yaml(there.model("Even").params, {f"p{number}": number for number in range(250)})
    lines = "".join(f"{epoch},0.5,0.25,1.0\n" for epoch in range(1, 701))
    write_text(there.model("Even").epochs, "epoch,train_loss,valid_recall@10,seconds\n" + lines)
    track(there.path, database)
    store = store_of(there, database)
    assert len(store.children["Even"].data.params) == 250
    assert [step for step, _ in store.history("Even", "epoch_seconds")] == list(range(1, 701))


# -- once only ----------------------------------------------------------------------------------


def test_a_second_upload_sends_nothing(tracked: RunFolder) -> None:
    before = store_of(tracked).everything()
    done = track(tracked.path)
    assert done.uploaded == ()
    assert set(done.kept) == {*ORACLES, "Broken", "Absent"}
    assert store_of(tracked).everything() == before


def test_a_half_upload_is_completed_not_doubled(tracked: RunFolder) -> None:
    before = store_of(tracked)
    child = before.children["Even"].info.run_id
    before.client.delete_tag(child, COMPLETE)
    before.client.update_run(child, status="RUNNING")
    assert track(tracked.path).uploaded == ("Even",)
    after = store_of(tracked)
    assert after.children["Even"].info.run_id == child
    assert after.history("Even", "train_loss") == [(1, 0.5), (2, 0.25)]
    assert after.history("Even", "recall_at_10") == before.history("Even", "recall_at_10")
    assert after.children["Even"].info.status == "FINISHED"


def test_what_a_lost_answer_doubled_is_single_again(tracked: RunFolder) -> None:
    before = store_of(tracked)
    for twice in (before.parent, before.children["Weak"]):
        tags = {key: value for key, value in twice.data.tags.items() if key != COMPLETE}
        before.client.create_run(twice.info.experiment_id, twice.info.start_time, tags)
    assert track(tracked.path).uploaded == ()
    after = store_of(tracked)  # which refuses doubles
    assert after.parent.info.run_id == before.parent.info.run_id
    assert after.children["Weak"].info.run_id == before.children["Weak"].info.run_id


def test_a_redone_model_takes_the_place_of_its_earlier_result(
    tmp_path: Path, tracked: RunFolder, database: str
) -> None:
    there = moved(tracked, tmp_path / "planted")  # still the same run
    before = store_of(tracked)
    weak = there.model("Weak")
    weak.write_status(replace(weak.read_status(), seconds=Seconds(fit=9.0)))
    assert track(there.path, database).uploaded == ("Weak",)
    after = store_of(tracked)
    old, new = before.children["Weak"].info.run_id, after.children["Weak"].info.run_id
    assert old != new
    assert old in [found.info.run_id for found in after.search(deleted=True)], "it can be restored"
    assert after.history("Weak", "fit_seconds") == [(0, 9.0)]
    assert {name: child.info.run_id for name, child in after.children.items() if name != "Weak"} == {
        name: child.info.run_id for name, child in before.children.items() if name != "Weak"
    }
    assert track(tracked.path).uploaded == ("Weak",), "leaves the store as the other tests expect it"


def test_children_of_a_parent_that_was_deleted_by_hand_get_a_new_one(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    first = track(there.path, database)
    store_of(there, database).client.delete_run(first.parent_ids[0])
    second = track(there.path, database)
    assert second.uploaded == ()
    assert second.parent_ids != first.parent_ids
    assert set(store_of(there, database).children) == {"Even"}, "and their parent tag names the new one"


def test_a_deleted_experiment_is_named_with_the_way_back(tracked: RunFolder) -> None:
    store = store_of(tracked)
    experiment = store.parent.info.experiment_id
    store.client.delete_experiment(experiment)
    try:
        with pytest.raises(ConfigError, match=f"'planted' was deleted.*mlflow experiments restore -x {experiment}"):
            track(tracked.path)
    finally:
        store.client.restore_experiment(experiment)
    assert track(tracked.path).uploaded == ()


def test_two_uploads_at_once_are_refused(tracked: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movierec_bench.tracking.upload._LOCK_SECONDS", 0)
    with FileLock(tracked.path.parent / ".planted.upload.lock"), pytest.raises(ConfigError, match="another process"):
        upload(tracked, "sqlite:///never_opened.db")


def test_a_disk_without_locks_is_told(tracked: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(ConfigError, match=r"cannot be locked .No locks available"):
        upload(tracked, "sqlite:///never_opened.db")


def test_a_damaged_model_leaves_the_others(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"], "Odd": ORACLES["Odd"], "Weak": ORACLES["Weak"]}, users=30)
    write_text(there.model("Even").status, "{")
    write_text(there.model("Odd").params, "a: [")
    there.model("Unfinished").path.mkdir()
    done = track(there.path, database)
    assert done.uploaded == ("Weak",)
    assert done.unreadable == ("Even", "Odd")
    assert "not readable: Even, Odd" in done.describe()


def test_a_run_of_before_there_was_tracking_gets_an_id(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path, {"Even": ORACLES["Even"]}, users=30)
    old = json.loads(there.manifest.read_text())
    del old["run_id"], old["git_revision"]
    there.manifest.write_text(json.dumps(old))
    track(there.path, database)
    assert there.read_manifest().run_id
    assert track(there.path, database).uploaded == ()


def test_a_copy_of_a_folder_is_another_run_and_a_moved_one_the_same(tmp_path: Path, database: str) -> None:
    there = write_run(tmp_path / "first", {"Even": ORACLES["Even"]}, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="copied"))
    track(there.path, database)
    copy = RunFolder(tmp_path / "second" / "planted")
    shutil.copytree(there.path, copy.path)
    assert track(copy.path, database).uploaded == ("Even",)
    assert track(there.path, database).kept == ("Even",)
    assert copy.read_manifest().run_id != there.read_manifest().run_id == "copied"
    moved = RunFolder(tmp_path / "third" / "planted")
    moved.path.parent.mkdir()
    there.path.rename(moved.path)
    assert track(moved.path, database).kept == ("Even",)
    assert moved.read_manifest().run_id == "copied"


def test_links_out_of_a_folder_are_not_sent(tmp_path: Path, database: str) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    there = write_run(tmp_path / "run", {"Even": ORACLES["Even"]}, users=30)
    there.write_manifest(replace(there.read_manifest(), run_id="links"))
    even = there.model("Even")
    (even.path / "mine.txt").symlink_to(secret)
    there.submission("Even").parent.mkdir()
    there.submission("Even").symlink_to(secret)
    there.leaderboard("csv").unlink(missing_ok=True)
    there.leaderboard("csv").symlink_to(secret)
    track(there.path, database)
    store = store_of(there, database)
    assert "mine.txt" not in store.artifacts(store.children["Even"])
    assert "submission/Even.csv" not in store.artifacts(store.children["Even"])
    assert "leaderboard.csv" not in store.artifacts(store.parent)
