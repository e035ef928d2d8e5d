"""Metrics against trec_eval, by whose figures the field has measured rankings since 1992."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from movierec_bench.evaluation.metrics import per_user

pytrec_eval = pytest.importorskip(
    "pytrec_eval", reason="pytrec-eval-terrier is of the development dependencies: pip install -e .[dev]"
)

# Ours, theirs, and whether theirs divides by all held-out rows where ours divides by at most ten.
MEASURES = [
    ("ndcg@10", "ndcg_cut_10", False),
    ("recall_plain@10", "recall_10", False),
    ("recall@10", "recall_10", True),
    ("precision@10", "P_10", False),
    ("hit@10", "success_10", False),
    ("mrr@10", "recip_rank", False),
    ("map@10", "map_cut_10", True),
]


@pytest.mark.parametrize(("ours", "theirs", "over_all"), MEASURES, ids=[ours for ours, _, _ in MEASURES])
def test_a_metric_equals_trec_eval_s(ours: str, theirs: str, over_all: bool) -> None:
    rng = np.random.default_rng(7)
    qrel, run, held_rows, topk_rows = {}, {}, [], []
    for user in range(300):
        held = rng.choice(60, rng.integers(1, 25), replace=False)
        shown = rng.permutation(60)[: rng.integers(0, 11)]  # some users get fewer than ten, some nothing
        qrel[str(user)] = {str(item): 1 for item in held}
        run[str(user)] = {str(item): 100.0 - place for place, item in enumerate(shown)}
        held_rows += [(user, int(item)) for item in held]
        topk_rows += [(user, int(item), place + 1) for place, item in enumerate(shown)]
    found = per_user(
        pd.DataFrame(topk_rows, columns=["user", "item", "rank"]), pd.DataFrame(held_rows, columns=["user", "item"])
    ).set_index("user")
    measured = pytrec_eval.RelevanceEvaluator(qrel, {theirs.replace("_10", ".10")})
    expected = measured.evaluate(run)
    for user in range(300):
        value = expected.get(str(user), {}).get(theirs, 0.0)
        n_held = len(qrel[str(user)])
        wanted = value * n_held / min(10, n_held) if over_all else value
        assert found.loc[user, ours] == pytest.approx(wanted, abs=1e-9)
    assert 0.05 < found[ours].mean() < 0.95
