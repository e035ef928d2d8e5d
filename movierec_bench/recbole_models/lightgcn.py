"""LightGCN as RecBole has it, on a fast graph."""

from __future__ import annotations

from recbole.model.general_recommender.lightgcn import LightGCN

from movierec_bench.models.parts.sparse_graph import FastGraph


class FastLightGCN(FastGraph, LightGCN):
    """RecBole's LightGCN.

    Source:
        He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020.
    """
