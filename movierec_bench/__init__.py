"""One protocol, every model, Recall@10 for a movie-recommendation competition.

    >>> import movierec_bench as mb
    >>> mb.convert()                      # RecBole's packaged ml-100k; or mb.convert("competition_files/")
    >>> board = mb.run(models="fast")
    >>> board.to_frame()

Everything here is also a command: ``python -m movierec_bench --help``. Importing this package is
quick; a function imports what it needs when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from movierec_bench.kernel_cache import settle_kernel_cache
from movierec_bench.notebook import show_log

if TYPE_CHECKING:
    from movierec_bench.data.convert import convert
    from movierec_bench.errors import BenchError, ConfigError, DataError, ModelError
    from movierec_bench.execution.run import run
    from movierec_bench.kept.recommending import load, recommend
    from movierec_bench.mixing.ensemble import ensemble
    from movierec_bench.reports.eda.command import eda
    from movierec_bench.reports.leaderboard import leaderboard
    from movierec_bench.reports.public_private import score_boards
    from movierec_bench.reports.report.build import report
    from movierec_bench.reports.score import score
    from movierec_bench.reports.submission import submit
    from movierec_bench.settings.catalog import load_catalog
    from movierec_bench.tracking.tracker import track
    from movierec_bench.tuning.tune import tune

__version__ = "0.1.0"
__all__ = [
    "BenchError",
    "ConfigError",
    "DataError",
    "ModelError",
    "convert",
    "eda",
    "ensemble",
    "leaderboard",
    "load",
    "load_catalog",
    "recommend",
    "report",
    "run",
    "score",
    "score_boards",
    "submit",
    "track",
    "tune",
]

_HOMES = {
    "BenchError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "ModelError": "errors",
    "convert": "data.convert",
    "eda": "reports.eda.command",
    "ensemble": "mixing.ensemble",
    "leaderboard": "reports.leaderboard",
    "load": "kept.recommending",
    "load_catalog": "settings.catalog",
    "recommend": "kept.recommending",
    "report": "reports.report.build",
    "run": "execution.run",
    "score": "reports.score",
    "score_boards": "reports.public_private",
    "submit": "reports.submission",
    "track": "tracking.tracker",
    "tune": "tuning.tune",
}

settle_kernel_cache()  # before any module that holds kernels is imported


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'movierec_bench' has no attribute {name!r}")
    show_log()
    return getattr(importlib.import_module(f"movierec_bench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
