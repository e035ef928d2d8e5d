"""``python -m faults``: tries to break the library, and says with which seeds it succeeded."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from faults import cases, forks, planted, scenes, workers
from faults.fuzzing import FUZZ, FuzzStage
from faults.plan import kills, plan
from faults.table import inputs_table, table
from faults.trying import Stage, Tried


def main() -> int:
    """Run; 0 where nothing is wrong, 1 where an invariant was violated."""
    options = _options()
    forks.preload()
    with tempfile.TemporaryDirectory(prefix="faults-", dir=options.room) as room:
        session = Session(Path(room), options.workers)
        if options.repeat:
            return session.repeat(options.repeat)
        names = options.scenes.split(",") if options.scenes else [*(scene.name for scene in scenes.SCENES), FUZZ]
        inputs = options.inputs if FUZZ in names else 0
        names = [name for name in names if name != FUZZ]
        return session.search(names, options, inputs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1500, help="how many to try")
    parser.add_argument("--inputs", type=int, default=10_000, help="how many changed files to have read")
    parser.add_argument("--minutes", type=float, default=20, help="when to stop in any case")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of what to try")
    parser.add_argument("--scenes", help=f"only these, joined by commas; {FUZZ} is that of changed files")
    parser.add_argument(
        "--kills",
        type=int,
        nargs="?",
        const=1,
        metavar="N",
        help="only kill everything, at every change of a file, or at every N-th",
    )
    parser.add_argument("--repeat", metavar="SEED", help="try one case again and show all that was said")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="cases at once")
    parser.add_argument("--room", help="folder for scratch space; memory where there is some")
    parser.add_argument("--report", type=Path, default=Path("build/faults.md"), help="where the table goes")
    options = parser.parse_args()
    if options.room is None and os.access("/dev/shm", os.W_OK):
        options.room = "/dev/shm"
    return options


class Session:
    """All scenes on stage, and what was tried.

    Args:
        room: a folder for all of it.
        workers: cases at once.
    """

    def __init__(self, room: Path, workers: int) -> None:
        self._room, self._workers = room, workers
        self._data = room / "data"
        planted.write_data(self._data)

    def stage(self, names: Sequence[str]) -> dict[str, Stage]:
        """The scenes, each played undisturbed."""
        _say(f"playing {len(names)} scenes undisturbed")
        there = {}
        for name, stage in workers.spread(self._stage_one, names, self._workers):
            _say(f"  {name}: {len(stage.points)} points")
            there[name] = stage
        return {name: there[name] for name in names}

    def _stage_one(self, name: str) -> tuple[str, Stage]:
        return name, Stage(scenes.by_name(name), self._data, self._room / "stages")

    def repeat(self, seed: str) -> int:
        """Try one case and print everything."""
        if seed.startswith(f"{FUZZ}:"):
            return self._repeat_input(seed)
        case = cases.parse(seed)
        stages = self.stage([case.scene])
        tried = next(workers.spread(stages[case.scene].attempt, [case], 1))
        _say(tried.output)
        _say(f"{tried.happened} of its troubles took place")
        for line in tried.wrong or ["nothing is wrong"]:
            _say(line)
        return 1 if tried.wrong else 0

    def _repeat_input(self, seed: str) -> int:
        tried = FuzzStage(self._data, self._room).attempt(seed)
        for one in tried:
            _say(f"{one.seed}: {'; '.join(one.wrong) or 'nothing is wrong'}")
        return 1 if any(one.wrong for one in tried) else 0

    def fuzz(self, total: int, seed: int, started: float, minutes: float) -> list[Tried]:
        """Have ``total`` changed files read; print the seed of every one that breaks something."""
        if not total:
            return []
        stage = FuzzStage(self._data, self._room)

        def attempt(batch: str) -> list[Tried]:
            return [] if time.monotonic() > started + 60 * minutes else stage.attempt(batch)

        planned = stage.plan(total, seed)
        _say(f"having {total} changed files read, {len(stage.targets)} kinds, seed {seed}")
        tried = []
        for some in workers.spread(attempt, planned, self._workers):
            for one in some:
                tried.append(one)
                if one.wrong:
                    _say(f"\nSEED {one.seed}\n    {'; '.join(one.wrong)}")
        return tried

    def search(self, names: Sequence[str], options: argparse.Namespace, inputs: int) -> int:
        """Try many cases; print the seed of every one that breaks something, and the table."""
        seed, minutes, report = options.seed, options.minutes, options.report
        started = time.monotonic()
        read = self.fuzz(inputs, seed, started, minutes)
        stages = self.stage(names)
        points = {name: stage.points for name, stage in stages.items()}
        if options.kills:
            planned = [case for name in names for case in kills(points[name], name)[:: options.kills]]
        else:
            planned = plan(points, options.faults, seed)
        _say(f"trying {len(planned)} faults, seed {seed}")

        def attempt(case: cases.Case) -> Tried | None:
            if time.monotonic() > started + 60 * minutes:
                return None
            return stages[case.scene].attempt(case)

        tried = []
        for one in workers.spread(attempt, planned, self._workers):
            if one is None:
                continue
            tried.append(one)
            if one.wrong:
                _say(f"\nSEED {one.seed}")
                for line in one.wrong[:6]:
                    _say(f"    {line}")
        seconds = time.monotonic() - started
        text = table(tried) + (f"\n{inputs_table(read)}" if read else "")
        tried += read
        report.parent.mkdir(parents=True, exist_ok=True)
        summary = f"{len(tried) - len(read)} faults and {len(read)} changed files in {seconds:.0f} seconds, seed {seed}"
        report.write_text(f"{summary}.\n\n{text}", encoding="utf-8")
        broken = [one for one in tried if one.wrong]
        _say(f"\n{text}\n{len(tried)} cases in {seconds:.0f} seconds, {len(broken)} violated an invariant; {report}")
        left_out = len(planned) - len(tried) + len(read)
        if left_out:
            _say(f"time was up: {left_out} faults were not tried")
        return 1 if broken else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
