"""NGCF as RecBole has it, on a fast graph."""

from __future__ import annotations

from typing import Any

from recbole.model.general_recommender.ngcf import NGCF

from movierec_bench.models.parts.sparse_graph import FastGraph


class FastNGCF(FastGraph, NGCF):
    """RecBole's NGCF.

    Source:
        Wang et al., "Neural Graph Collaborative Filtering", SIGIR 2019.
    """

    node_dropout: float

    def get_norm_adj_mat(self) -> Any:
        """The fast graph, or RecBole's when edges are left out of it at random (``node_dropout``)."""
        return NGCF.get_norm_adj_mat(self) if self.node_dropout else super().get_norm_adj_mat()
