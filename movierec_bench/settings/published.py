"""What others report for the catalogue's models, on their own data."""

from __future__ import annotations

from collections.abc import Mapping

from movierec_bench.settings.yaml_files import load_yaml, packaged_configs

WHERE = {
    "cohort": "Recall@10 on the competition's hidden rows, as teams reported it",
    "gowalla": "Recall@20 / NDCG@20 on LightGCN's split of Gowalla, from BARS",
    "beauty": "Recall@10 / NDCG@10 on Amazon Beauty, last item held out",
}


def published_scores() -> Mapping[str, Mapping[str, list[str]]]:
    """The reported scores of each model, by name and then by one of ``WHERE``; never to be compared with our boards."""
    return load_yaml(packaged_configs() / "published.yaml")
