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
from faults.plan import plan
from faults.table import table
from faults.trying import Stage, Tried


def main() -> int:
    """Run; 0 where nothing is wrong, 1 where an invariant was violated."""
    options = _options()
    forks.preload()
    with tempfile.TemporaryDirectory(prefix="faults-", dir=options.room) as room:
        session = Session(Path(room), options.workers)
        if options.repeat:
            return session.repeat(options.repeat)
        names = options.scenes.split(",") if options.scenes else [scene.name for scene in scenes.SCENES]
        return session.search(names, options.faults, options.seed, options.minutes, options.report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=1500, help="how many to try")
    parser.add_argument("--minutes", type=float, default=20, help="when to stop in any case")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of what to try")
    parser.add_argument("--scenes", help="only these, joined by commas")
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
        case = cases.parse(seed)
        stages = self.stage([case.scene])
        tried = next(workers.spread(stages[case.scene].attempt, [case], 1))
        _say(tried.output)
        _say(f"{tried.happened} of its troubles took place")
        for line in tried.wrong or ["nothing is wrong"]:
            _say(line)
        return 1 if tried.wrong else 0

    def search(self, names: Sequence[str], total: int, seed: int, minutes: float, report: Path) -> int:
        """Try many cases; print the seed of every one that breaks something, and the table."""
        started = time.monotonic()
        stages = self.stage(names)
        planned = plan({name: stage.points for name, stage in stages.items()}, total, seed)
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
        text = table(tried)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(f"{len(tried)} faults in {seconds:.0f} seconds, seed {seed}.\n\n{text}", encoding="utf-8")
        broken = [one for one in tried if one.wrong]
        _say(f"\n{text}\n{len(tried)} faults in {seconds:.0f} seconds, {len(broken)} violated an invariant; {report}")
        left_out = len(planned) - len(tried)
        if left_out:
            _say(f"time was up: {left_out} faults were not tried")
        return 1 if broken else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
