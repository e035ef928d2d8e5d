"""DGCF as RecBole has it, for data of any size."""

from __future__ import annotations

from typing import Any

from recbole.model.general_recommender.dgcf import DGCF


class AnySizeDGCF(DGCF):
    """RecBole's DGCF. Its penalty on correlated factors samples users and movies for every batch; RecBole asks
    for more of them than there are when an epoch has few batches.

    Source:
        Wang et al., "Disentangled Graph Collaborative Filtering", SIGIR 2020.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.cor_batch_size: int = min(self.cor_batch_size, self.n_users, self.n_items)
