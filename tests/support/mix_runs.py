"""A finished run of made-up models, for the tests of everything that is made from a run.

The models are no models: each ranks by noise, and to a known degree by the held-out rows themselves, so that a
test knows who is good at what.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.data.atomic import AtomicData, read_atomic, write_atomic
from movierec_bench.data.source_data import SourceData
from movierec_bench.data.split import Split, make_split, write_split
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.evaluation.metrics import per_user, summarize
from movierec_bench.ranking.top_k import top_k, topk_frame
from movierec_bench.runs.files import write_parquet, write_yaml
from movierec_bench.runs.folder import RunFolder
from movierec_bench.runs.records import DONE, RunManifest, Status
from movierec_bench.settings.protocol import load_protocol
from movierec_bench.settings.yaml_files import packaged_configs
from support.planted import planted_competition


@dataclass(frozen=True)
class Oracle:
    """A made-up model: the standard deviation of its noise is 1.

    Args:
        strength: what a held-out movie's score gains.
        knows: the held-out movies that gain: "all", or those with an "even" or "odd" index.
        family: as in a status.
    """

    strength: float
    knows: str = "all"
    family: str = "general"


ORACLES = {
    "Even": Oracle(4.0, "even"),
    "Odd": Oracle(1.5, "odd", family="sequential"),
    "Weak": Oracle(0.5),
    "Noise": Oracle(0.0, family="rule"),
}


def write_run(
    folder: Path,
    oracles: Optional[dict[str, Oracle]] = None,
    users: int = 150,
    refit: bool = True,
    source: Optional[SourceData] = None,
) -> RunFolder:
    """A run in ``folder/runs/planted`` on data in ``folder/atomic``: ``source``, or planted data of so many users."""
    atomic = folder / "atomic"
    data = read_atomic(write_atomic(source or planted_competition(users, 60), atomic, "planted"))
    protocol = load_protocol(packaged_configs() / "protocol.yaml")
    split = make_split(data.interactions, protocol)
    run = RunFolder(folder / "runs" / "planted")
    write_split(split, run.split)
    run.write_manifest(
        RunManifest("planted", str(atomic), data.data_hash, protocol.name, protocol.hash, 42, {}, "made up")
    )
    for seed, (name, oracle) in enumerate((ORACLES if oracles is None else oracles).items()):
        _write_model(run, name, oracle, data, split, refit, np.random.default_rng(seed))
    return run


def _write_model(
    run: RunFolder, name: str, oracle: Oracle, data: AtomicData, split: Split, refit: bool, rng: np.random.Generator
) -> None:
    folder, everything = run.model(name), pd.concat([split.train, split.valid, split.test])
    parts = {
        "valid": (split.train, split.valid),
        "test": (pd.concat([split.train, split.valid]), split.test),
        "full": (everything, everything),
    }
    for part, (seen, wanted) in parts.items():
        if refit or part != "full":
            folder.write_topk(part, _ranking(oracle, data.vocabulary, seen, wanted, rng))
    write_yaml(folder.params, {"strength": oracle.strength})
    scored = per_user(folder.read_topk("test"), split.test)
    write_parquet(folder.per_user, scored)
    summary = summarize(scored, folder.read_topk("test"), len(data.vocabulary.items), 42)
    counts = {"users": summary.users, "missing_users": summary.missing_users}
    folder.write_status(Status(name, DONE, oracle.family, "ours", metrics=summary.metrics, **counts))


def _ranking(
    oracle: Oracle, vocabulary: Vocabulary, seen: pd.DataFrame, wanted: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    scores = rng.normal(size=(vocabulary.n_user_ix, vocabulary.n_item_ix)).astype(np.float32)
    known = _matrix(wanted, vocabulary).toarray()
    if oracle.knows != "all":
        known[:, (np.arange(vocabulary.n_item_ix) % 2 == 0) == (oracle.knows == "odd")] = 0
    scores += oracle.strength * known
    user_ix = np.unique(vocabulary.user_ix(wanted["user"].to_numpy()))
    return topk_frame(top_k(lambda block: scores[block], user_ix, _matrix(seen, vocabulary), 100), vocabulary)


def _matrix(rows: pd.DataFrame, vocabulary: Vocabulary) -> csr_matrix:
    places = vocabulary.user_ix(rows["user"].to_numpy()), vocabulary.item_ix(rows["item"].to_numpy())
    shape = (vocabulary.n_user_ix, vocabulary.n_item_ix)
    return csr_matrix((np.ones(len(rows), dtype=np.float32), places), shape=shape)
