"""How time grows with the rows: a quarter, half, all and twice the competition's users, with exponents and a plot."""

from __future__ import annotations

import numpy as np

from benchmarks.compare import RESULTS, measure, record
from benchmarks.plan import ours
from benchmarks.workloads import ML_100K, SCALES, Workload, draw, prepare

MODELS = (
    *("EASE", "SideEASE", "UserEASE", "ItemUserEASE", "EASER", "SLIM"),
    *("ItemKNN", "UserKNN", "AsymKNN", "RP3beta", "PureSVD", "SVD", "NCEPLRec", "ALS", "FISMProfile"),
)
_CONVERT = "convert"


def measure_growth() -> None:
    """Measure, fit the exponents, draw ``results/growth.svg`` and write ``results/growth.json``."""
    rows: list[float] = []
    seconds: dict[str, list[float]] = {}
    small = prepare(ML_100K)
    for model in MODELS:
        measure(ours(model=model), small)  # compiles the kernels
    for scale in SCALES:
        draw(scale)
        converted = measure(ours("converting"), Workload(scale))
        seconds.setdefault(_CONVERT, []).append(converted["convert"])
        work = prepare(scale)
        rows.append(measure(ours("further_load"), work)["rows"])
        for model in MODELS:
            figures = measure(ours(model=model), work)
            for phase in ("fit", "rank"):
                seconds.setdefault(f"{model}, {phase}", []).append(figures[phase])
            print(f"   {scale}: {model}: fit {figures['fit']:.2f}, rank {figures['rank']:.2f}", flush=True)
    exponents = {name: float(np.polyfit(np.log(rows), np.log(values), 1)[0]) for name, values in seconds.items()}
    record("growth", rows=rows, curves=seconds, exponents=exponents)
    _draw(np.array(rows), seconds, exponents)


def _draw(rows: np.ndarray, seconds: dict[str, list[float]], exponents: dict[str, float]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, phase in zip(figure.subplots(1, 2, sharey=True), ("fit", "rank")):
        for name, values in seconds.items():
            if name == _CONVERT or name.endswith(phase):
                axes.loglog(rows, values, marker="o", label=f"{name.split(',')[0]}: {exponents[name]:.2f}")
        axes.set(title=f"{phase}: seconds, and exponent of the rows", xlabel="training rows")
        axes.legend(fontsize=7)
    figure.savefig(RESULTS / "growth.svg")
