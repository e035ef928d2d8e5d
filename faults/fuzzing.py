"""Gives changed files to everything that reads files: each is read, or refused in a message of ours, and at once."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import scenes
from faults.mutations import mutated
from faults.scenes import Scene
from faults.supervising import patience
from faults.trying import Tried

FUZZ = "fuzz"  # the scene, in seeds and in the table
BATCH = 25  # files that one process is given
_SECONDS = 10  # for one file, on a machine that is busy with nothing else
_MOST_RSS_MB = 3000.0
_MOST_CHARACTERS = 5000
_BOARD = "runs/planted"
_MODEL = f"{_BOARD}/models/Pop"


@dataclass(frozen=True)
class Target:
    """A file that we read.

    Attributes:
        name: in seeds and in the table.
        path: below the stage's folder.
        kind: as in `mutated`.
        read: what reads it, given the stage's folder.
    """

    name: str
    path: str
    kind: str
    read: Callable[[Path], Any]


def _targets() -> list[Target]:
    import movierec_bench as mb
    from movierec_bench.data.atomic import read_atomic
    from movierec_bench.data.competition import read_competition
    from movierec_bench.data.split import read_split
    from movierec_bench.mixing.recipe import Recipe
    from movierec_bench.reports.leaderboard import build_board
    from movierec_bench.reports.submission_files import score_submission
    from movierec_bench.runs.folder import RunFolder
    from movierec_bench.runs.trials import TrialFolder
    from movierec_bench.settings.catalog import load_catalog
    from movierec_bench.settings.protocol import load_protocol
    from movierec_bench.tracking.model_runs import ModelResult

    def run(folder: Path) -> RunFolder:
        return RunFolder(folder / _BOARD)

    def result(folder: Path) -> ModelResult:
        return ModelResult(run(folder), run(folder).read_manifest(), run(folder).model("Pop"))

    def convert(folder: Path) -> None:
        out = folder / "converted"
        try:
            mb.convert(folder / "raw" / "train_ratings.csv", name="log", out=out)
        except Exception:
            if out.exists() and any(out.iterdir()):
                raise AssertionError("convert left something half-written") from None
            raise
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def topk(folder: Path) -> None:
        run(folder).model("Pop").read_topk("test")

    def protocol(folder: Path) -> None:
        load_protocol(folder / "configs/protocol.yaml")

    def trial(folder: Path) -> None:
        trials = TrialFolder(folder / "tuned/planted/trials/BPR")
        trials.read_one("one")
        trials.listed()

    sides = ("train_ratings.csv", "titles.tsv", "years.tsv", "genres.tsv", "directors.tsv", "writers.tsv")
    attributes = "Ml_item2attributes.json"
    return [
        *(Target(name, f"raw/{name}", "table", lambda folder: read_competition(folder / "raw")) for name in sides),
        Target(attributes, f"raw/{attributes}", "json", lambda folder: read_competition(folder / "raw")),
        Target("log", "raw/train_ratings.csv", "table", convert),
        *(
            Target(suffix, f"atomic_data/planted/planted.{suffix}", "table", _foreign(read_atomic))
            for suffix in ("inter", "item", "kg", "link")
        ),
        Target(
            "atomic manifest",
            "atomic_data/planted/manifest.json",
            "json",
            lambda folder: read_atomic(folder / "atomic_data/planted"),
        ),
        Target("split", f"{_BOARD}/split/test.parquet", "binary", lambda folder: read_split(folder / _BOARD / "split")),
        Target("run manifest", f"{_BOARD}/manifest.json", "json", lambda folder: build_board(run(folder))),
        Target("status", f"{_MODEL}/status.json", "json", lambda folder: build_board(run(folder))),
        Target("per_user", f"{_MODEL}/per_user.parquet", "binary", lambda folder: build_board(run(folder))),
        Target(
            "topk", f"{_MODEL}/topk_test.parquet", "binary", lambda folder: run(folder).model("Pop").read_topk("test")
        ),
        Target("params", f"{_MODEL}/params.yaml", "yaml", lambda folder: result(folder).params()),
        Target("epochs", f"{_MODEL}/epochs.csv", "table", lambda folder: result(folder).metrics(0)),
        Target(
            "recipe",
            f"{_BOARD}/ensembles/vote/params.yaml",
            "yaml",
            lambda folder: Recipe.read(folder / _BOARD / "ensembles/vote/params.yaml"),
        ),
        Target(
            "submission",
            f"{_BOARD}/submissions/Pop.csv",
            "table",
            lambda folder: score_submission(
                folder / _BOARD / "submissions/Pop.csv", dataset="planted", atomic=folder / "atomic_data"
            ),
        ),
        Target(
            "answers",
            "answers.csv",
            "table",
            lambda folder: score_submission(folder / _BOARD / "submissions/Pop.csv", folder / "answers.csv"),
        ),
        Target("model YAML", "configs/models/BPR.yaml", "yaml", lambda folder: load_catalog(folder / "configs")),
        Target(
            "protocol", "configs/protocol.yaml", "yaml", lambda folder: load_protocol(folder / "configs/protocol.yaml")
        ),
        Target("trial", "tuned/planted/trials/BPR/records/one.json", "json", trial),
        Target("trials", "tuned/planted/trials/BPR/trials.csv", "table", trial),
    ]


def _foreign(read_atomic: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Read as a folder of RecBole's, which has no manifest whose hash would refuse every change."""

    def read(folder: Path) -> None:
        (folder / "atomic_data/planted/manifest.json").unlink(missing_ok=True)
        read_atomic(folder / "atomic_data/planted")

    return read


class FuzzStage:
    """A folder with a file of every kind, and the readers of each.

    Args:
        data: the planted data.
        room: a folder for all this.
    """

    def __init__(self, data: Path, room: Path) -> None:
        self._template = room / FUZZ / "template"
        self._template.parent.mkdir(parents=True)
        run = ("run", "--dataset", "planted", "--quiet", "--models", "Pop,Random")
        mix = ("ensemble", _BOARD, "--method", "vote", "--models", "Pop,Random", "--no-track")
        scene = Scene(FUZZ, [("convert", "--data", "raw", "--name", "planted"), run, mix], [])
        scenes.stage(scene, data, self._template)
        _fill(self._template)
        self.targets = _targets()

    def plan(self, total: int, seed: int) -> list[str]:
        """The seeds of batches of `BATCH` files, ``total`` files in all, as many for each target."""
        batches = -(-total // (BATCH * len(self.targets)))
        return [f"{FUZZ}:{target.name}/{seed}/{batch}" for batch in range(batches) for target in self.targets]

    def attempt(self, seed: str) -> list[Tried]:
        """Try the files of a batch, or with ``/NUMBER`` behind its seed the one file of that number."""
        name, *numbers = seed.removeprefix(f"{FUZZ}:").split("/")
        target = next(target for target in self.targets if target.name == name)
        base = "/".join([name, *numbers[:2]])
        places = [int(numbers[2])] if len(numbers) > 2 else list(range(BATCH))
        tried: list[Tried] = []
        while places:  # a process that dies is followed by another, which goes on behind the file that killed it
            found = self._in_a_process(target, base, places)
            tried += found
            places = places[len(found) :]
        return tried

    def _in_a_process(self, target: Target, base: str, places: Sequence[int]) -> list[Tried]:
        read, write = os.pipe()
        process = os.fork()
        if not process:
            try:
                os.close(read)
                self._child(target, base, places, write)
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines:
            words = [line.rstrip("\n") for line in lines]
        _, status, usage = os.wait4(process, 0)
        tried = [
            Tried(f"{FUZZ}:{base}/{place}", FUZZ, target.name, 1, [word] if word else [], word)
            for place, word in zip(places, words)
        ]
        code = os.waitstatus_to_exitcode(status)
        if code and len(tried) < len(places):
            what = f"took over {_SECONDS} seconds" if -code == signal.SIGALRM else f"ended its process with {code}"
            tried.append(Tried(f"{FUZZ}:{base}/{places[len(tried)]}", FUZZ, target.name, 1, [what], what))
        if usage.ru_maxrss / 1024 > _MOST_RSS_MB and tried:
            what = f"took {usage.ru_maxrss / 1024:.0f} MiB"
            tried[-1] = Tried(tried[-1].seed, FUZZ, target.name, 1, [*tried[-1].wrong, what], what)
        return tried

    def _child(self, target: Target, base: str, places: Sequence[int], write: int) -> None:
        logging.disable(logging.CRITICAL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        folder = self._template.parent / f"try-{os.getpid()}"
        shutil.copytree(self._template, folder)
        path = folder / target.path
        whole = path.read_bytes()
        try:
            for place in places:
                rng = random.Random(f"{base}/{place}")
                path.write_bytes(mutated(whole, target.kind, rng))
                signal.alarm(round(_SECONDS * patience()))
                word = " | ".join(_wrong_with(target, folder))
                signal.alarm(0)
                os.write(write, (word.replace("\n", " ")[:1000] + "\n").encode("utf-8", "replace"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _wrong_with(target: Target, folder: Path) -> Iterator[str]:
    from movierec_bench.errors import BenchError

    try:
        target.read(folder)
    except BenchError as error:
        message = str(error)
        if len(message) > _MOST_CHARACTERS:
            yield f"a message of {len(message)} characters: {message[:100]!r}"
        if any(ord(one) < 32 and one not in "\n\t" for one in message):
            yield f"control characters in the message {message[:200]!r}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)
        ours = next((frame for frame in reversed(last) if "movierec_bench" in frame.filename), last[-1])
        where = f"{Path(ours.filename).name}:{ours.lineno}"
        yield f"{type(error).__name__} at {where}: {str(error)[:200]!r}"


def _fill(folder: Path) -> None:
    """Files that the scene's commands do not make."""
    (folder / "raw/Ml_item2attributes.json").write_text('{"10": [1, 2], "20": [3]}', encoding="utf-8")
    shutil.copy(folder / _BOARD / "submissions/Random.csv", folder / "answers.csv")
    shutil.copy(Path(__file__).parents[1] / "recbole_configs/protocol.yaml", folder / "configs/protocol.yaml")
    (folder / _MODEL / "epochs.csv").write_text(
        "epoch,train_loss,valid_recall@10,seconds\n1,0.5,,2.0\n2,0.25,0.125,1.5\n", encoding="utf-8"
    )
    from movierec_bench.runs.trials import Trial, TrialFolder
    from movierec_bench.schema import EpochRecord

    trials = TrialFolder(folder / "tuned/planted/trials/BPR")
    trial = Trial(0, "done", {"learning_rate": 0.01}, "one", epochs=(EpochRecord(1, 0.5, 0.1, 2.0),))
    with contextlib.suppress(FileExistsError):
        trials.path.mkdir(parents=True)
    trials.write(trial)
    trials.write_tables([trial])
