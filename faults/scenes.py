"""The commands that are disturbed, each in a folder where earlier commands were undisturbed.

The data are as small as the protocol allows, and the models are rules, so that a command takes a second or two.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import supervising

CANARY = "canary-pass-7f3a"  # the password of a store: it must appear nowhere
_RUN = ("run", "--dataset", "planted", "--quiet", "--models")
_BOARD = "runs/planted"


@dataclass(frozen=True)
class Scene:
    """A command and where it is given.

    Attributes:
        name: in seeds and in the table.
        before: commands given first, undisturbed.
        commands: what is disturbed: one command, or two that run at once.
        untouched: paths below the folder that the commands are not about and must leave as they are.
        tracked: whether MLflow is used.
        slow: seconds rather than one or two; fewer faults are tried.
        code: the exit code of the undisturbed command.
        racing: that one of the commands may be refused because the other holds the folder.
    """

    name: str
    before: Sequence[Sequence[str]]
    commands: Sequence[Sequence[str]]
    untouched: Sequence[str] = ()
    tracked: bool = False
    slow: bool = False
    code: int = 0
    racing: bool = False


_CONVERT = ("convert", "--data", "raw", "--name", "planted")
_CONVERT_OTHER = ("convert", "--data", "other", "--name", "planted")
_ENSEMBLE = ("ensemble", _BOARD, "--method", "vote", "--models", "Pop,Random", "--no-track")

SCENES = (
    Scene("convert", [], [_CONVERT]),
    Scene("convert-again", [_CONVERT_OTHER], [_CONVERT]),
    Scene("run-fresh", [_CONVERT], [(*_RUN, "Pop,Random")], ["atomic_data"]),
    Scene("run-refit", [_CONVERT, (*_RUN, "Pop,Random", "--no-refit")], [(*_RUN, "Pop,Random")], ["atomic_data"]),
    Scene(
        "run-more",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [(*_RUN, "Pop,YearPop")],
        ["atomic_data", f"{_BOARD}/models/Random", f"{_BOARD}/models/Pop", f"{_BOARD}/submissions/Random.csv"],
    ),
    Scene(
        "run-seed",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [(*_RUN, "Random", "--seed", "7")],
        ["atomic_data", f"{_BOARD}/models/Pop", f"{_BOARD}/submissions/Pop.csv"],
    ),
    Scene("run-anew", [_CONVERT, (*_RUN, "Pop,YearPop")], [(*_RUN, "Pop,Random", "--fresh")], ["atomic_data"]),
    Scene("run-two", [_CONVERT], [(*_RUN, "Pop,Random,YearPop", "--workers", "2")], ["atomic_data"]),
    Scene("run-trained", [_CONVERT], [(*_RUN, "BPR", "--configs", "configs")], ["atomic_data"]),
    Scene("run-tracked", [_CONVERT], [(*_RUN, "Pop,Random")], ["atomic_data"], tracked=True),
    Scene(
        "ensemble",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [_ENSEMBLE],
        [f"{_BOARD}/models", f"{_BOARD}/submissions/Pop.csv", f"{_BOARD}/submissions/Random.csv"],
    ),
    Scene(
        "ensemble-again",
        [_CONVERT, (*_RUN, "Pop,Random"), (*_ENSEMBLE, "--depth", "5")],
        [_ENSEMBLE],
        [f"{_BOARD}/models", f"{_BOARD}/submissions/Pop.csv"],
    ),
    Scene(
        "submit",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [("submit", _BOARD, "--model", "Pop")],
        [f"{_BOARD}/models", f"{_BOARD}/submissions/Random.csv"],
    ),
    Scene("track", [_CONVERT, (*_RUN, "Pop,Random")], [("track", _BOARD)], ["atomic_data", _BOARD], tracked=True),
    Scene(
        "two-runs",
        [_CONVERT],
        [(*_RUN, "Pop,Random"), (*_RUN, "Pop,Random")],
        ["atomic_data"],
        racing=True,
    ),
    Scene(
        "run-and-mix",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [(*_RUN, "Pop,Random,YearPop"), _ENSEMBLE],
        ["atomic_data", f"{_BOARD}/models/Pop", f"{_BOARD}/models/Random"],
        racing=True,
    ),
    Scene(
        "two-mixes",
        [_CONVERT, (*_RUN, "Pop,Random")],
        [_ENSEMBLE, _ENSEMBLE],
        ["atomic_data", f"{_BOARD}/models"],
        racing=True,
    ),
)


def by_name(name: str) -> Scene:
    """The scene of this name. Raises KeyError for an unknown one."""
    return {scene.name: scene for scene in SCENES}[name]


def environment(folder: Path, scene: Scene) -> dict[str, str]:
    """Variables for the commands of a scene in ``folder``."""
    return {
        "TMPDIR": str(folder / "tmp"),
        "MOVIEREC_BENCH_TRACK": "1" if scene.tracked else "0",
        "MLFLOW_TRACKING_PASSWORD": CANARY,
        "MLFLOW_TRACKING_USERNAME": "somebody",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }


def stage(scene: Scene, data: Path, folder: Path) -> None:
    """Fill ``folder`` with what is there before the scene's command. Raises RuntimeError where that fails."""
    shutil.copytree(data, folder)
    (folder / "tmp").mkdir()
    for argv in scene.before:
        went = supervising.Supervised([argv], folder, environment(folder, scene) | {"MOVIEREC_BENCH_TRACK": "0"}).run()
        if went[0].code != 0:
            raise RuntimeError(f"{scene.name}: {' '.join(argv)} ended with {went[0].code}\n{went[0].output}")
