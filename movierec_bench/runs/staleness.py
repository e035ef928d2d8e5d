"""Which mixes no longer stand for what their members are now."""

from __future__ import annotations

from collections.abc import Mapping

from movierec_bench.errors import DataError
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import BUDGET, DONE, Status


def why_stale(run: RunFolder, status: Status) -> str:
    """Why a mix is not what it would be if it were made now, and what to do; empty where it is, or is no mix.

    Args:
        run: the run it is in.
        status: its status. One without ``members``, of a model or of an older version's folder, is never stale.
    """
    reasons = _reasons(run, status.members, (status.model,))
    if not reasons:
        return ""
    recipe = run.ensemble(status.model).params
    return f"{'; '.join(reasons)}; make it again with `ensemble {run.path} --recipe {recipe}`, or search anew"


def redone_since(run: RunFolder, results: Mapping[str, str]) -> tuple[str, ...]:
    """Those of ``results``, a hash by model, whose result is another one now."""
    return tuple(name for name, known in results.items() if _result(run, name) not in ("", known))


def _reasons(run: RunFolder, members: Mapping[str, str], above: tuple[str, ...]) -> list[str]:
    reasons = []
    for name, known in members.items():
        found = _result(run, name)
        if not found:
            reasons.append(f"{name} is not finished")
        elif found != known:
            reasons.append(f"{name} was redone")
        elif name not in above and _reasons(run, run.find(name).read_status().members, (*above, name)):
            reasons.append(f"{name} is stale itself")
    return reasons


def _result(run: RunFolder, name: str) -> str:
    """The hash of a model's or mix's result; empty where it is not finished."""
    there = {folder.name: folder for folder in run.ensembles() + run.models()}
    if name not in there:
        return ""
    try:
        status = there[name].read_status()
    except DataError:
        return ""
    return status.result_hash if status.state in (DONE, BUDGET) and status.metrics else ""
