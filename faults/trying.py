"""Tries a case: the disturbed commands, the same once more, and what is wrong then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults import scenes, supervising
from faults.cases import Case
from faults.contents import contents, differences, tracked_results
from faults.invariants import Reference, after_repeat, after_trouble
from faults.points import Point
from faults.scenes import Scene


@dataclass(frozen=True)
class Tried:
    """What came of a case.

    Attributes:
        seed: of the case.
        scene: its scene.
        action: its row in the table.
        happened: how many of its troubles took place; 0 where the command ended before.
        wrong: every invariant that was violated, in words.
        output: of all its commands, kept where something is wrong.
    """

    seed: str
    scene: str
    action: str
    happened: int
    wrong: Sequence[str] = field(default_factory=list)
    output: str = ""


class Stage:
    """A scene's folder as it begins, its points, and what undisturbed commands make of it.

    Args:
        scene: what is played.
        data: the planted data.
        room: a folder for all this.
    """

    def __init__(self, scene: Scene, data: Path, room: Path) -> None:
        self.scene = scene
        self._room = room / scene.name
        self._room.mkdir(parents=True)
        self._template = self._room / "template"
        scenes.stage(scene, data, self._template)
        before = contents(self._template)
        first, points = self._undisturbed(before, recorded=True)
        second, _ = self._undisturbed(before, recorded=False)
        unlike = list(differences(first.after, second.after))
        if unlike:
            raise RuntimeError(f"{scene.name}: two undisturbed commands differ: {unlike[:5]}")
        self.reference, self.points = first, points
        self._tries = 0

    def _undisturbed(self, before: dict[str, str], recorded: bool) -> tuple[Reference, list[Point]]:
        folder = self._copy("undisturbed")
        points: list[Point] = []
        for number, argv in enumerate(self.scene.commands):
            into = self._room / f"points-{number}"
            environment = scenes.environment(folder, self.scene)
            if recorded:
                went = supervising.record(argv, folder, environment, into)
                prefix = "" if number == 0 else f"{number + 1}:"
                for line in into.read_text().splitlines():
                    role, *rest = json.loads(line)
                    points.append(Point(prefix + role, *rest))
                into.unlink()
            else:
                went = supervising.Supervised([argv], folder, environment).run()[0]
            if went.code != self.scene.code or went.left:
                raise RuntimeError(
                    f"{self.scene.name}: undisturbed, {' '.join(argv)} ended with {went.code}, expected "
                    f"{self.scene.code}; left {went.left}\n{went.output}"
                )
        tracked = tuple(sorted(name for _, name in tracked_results(folder / "runs" / "mlflow.db")))
        reference = Reference(before, contents(folder), tracked)
        shutil.rmtree(folder)
        return reference, points

    def attempt(self, case: Case) -> Tried:
        """Try a case of this scene in a folder of its own."""
        self._tries += 1
        folder = self._copy(f"try-{os.getpid()}-{self._tries}")
        environment = scenes.environment(folder, self.scene)
        wrong: list[str] = []
        output: list[str] = []
        happened = 0
        for troubles in case.commands:
            went = supervising.Supervised(self.scene.commands, folder, environment, troubles).run()
            happened += went[0].happened
            output += [f"$ {' '.join(one.argv)} -> {one.code}, lost: {one.lost}\n{one.output}" for one in went]
            wrong += after_trouble(self.scene, self.reference, folder, went, troubles)
        again = [supervising.Supervised([argv], folder, environment).run()[0] for argv in self.scene.commands]
        output += [f"$ (again) {' '.join(one.argv)} -> {one.code}\n{one.output}" for one in again]
        wrong += after_repeat(self.scene, self.reference, folder, again)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(f"{folder}.journal", ignore_errors=True)
        return Tried(case.seed, case.scene, case.action, happened, wrong, "\n".join(output) if wrong else "")

    def _copy(self, name: str) -> Path:
        folder = self._room / name
        shutil.copytree(self._template, folder)
        return folder
