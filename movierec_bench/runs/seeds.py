"""Where the results of further seeds are: of training, in the run's own folder; of the split, in a run's folder each.

A model trained once more with the seed 43 is the model ``Model@seed43`` of the same run. What another draw of the split
gives rests on other rows, so it is a run of its own, in the folder ``<run>@split43`` beside the first one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from movierec_bench.errors import DataError
from movierec_bench.runs.folder import RunFolder

_SEED = "@seed"
_SPLIT = "@split"
_OF_A_SEED = re.compile(rf"(.+){_SEED}\d+")
_OF_A_SPLIT = re.compile(rf".+{_SPLIT}(\d+)")


def with_seed(model: str, seed: int) -> str:
    """The name of ``model`` trained with a further seed."""
    return f"{model}{_SEED}{seed}"


def without_seed(name: str) -> str:
    """The model that ``name`` is a further seed of; ``name`` itself where it is none."""
    found = _OF_A_SEED.fullmatch(name)
    return name if found is None else found[1]


def is_further_seed(name: str) -> bool:
    """Whether ``name`` is that of a model's further seed."""
    return _OF_A_SEED.fullmatch(name) is not None


def split_run(run: RunFolder, seed: int) -> RunFolder:
    """The folder, there or not, of ``run`` under the draw of the split with that seed."""
    path = Path(os.path.abspath(run.path))  # links stay: the splits are beside the link
    return RunFolder(path.with_name(f"{path.name}{_SPLIT}{seed}"))


def split_runs(run: RunFolder) -> list[RunFolder]:
    """The runs beside ``run`` that rest on the same data under other draws of the same protocol, by seed."""
    path = Path(os.path.abspath(run.path))
    if not path.parent.is_dir():
        return []
    seeds = [
        int(found[1])
        for there in path.parent.iterdir()
        if there.name.startswith(f"{path.name}{_SPLIT}") and (found := _OF_A_SPLIT.fullmatch(there.name))
    ]
    own = run.read_manifest()
    there = []
    for other in (split_run(run, seed) for seed in sorted(seeds)):
        try:
            manifest = other.read_manifest()
        except DataError:  # begun and killed, or no run: nothing there to show yet
            continue
        same = (manifest.data_hash, manifest.protocol) == (own.data_hash, own.protocol)
        if same and manifest.protocol_hash != own.protocol_hash:
            there.append(other)
    return there
