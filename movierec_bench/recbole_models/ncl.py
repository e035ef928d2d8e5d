"""NCL as RecBole has it, with its clusters from scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from recbole.model.general_recommender.ncl import NCL
from sklearn.cluster import MiniBatchKMeans
from torch.nn.functional import normalize

from movierec_bench.models.parts.sparse_graph import FastGraph
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class KMeansNCL(FastGraph, NCL):
    """RecBole's NCL. Its e-step wants the package faiss and a GPU; scikit-learn's k-means does the same.

    Source:
        Lin et al., "Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive
        Learning", WWW 2022.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.seed = config["seed"]

    def ProtoNCE_loss(self, node_embedding: torch.Tensor, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """RecBole's loss against the clusters; 0 before there are any."""
        if self.user_centroids is None:
            return node_embedding.new_zeros(())
        loss: torch.Tensor = super().ProtoNCE_loss(node_embedding, user, item)
        return loss

    def run_kmeans(self, x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Clusters of vectors.

        Args:
            x: float32 [n, d].

        Returns:
            Unit-length centres float32 [k, d], k at most half of n, and the cluster int64 [n] of each vector.
        """
        clusters = MiniBatchKMeans(min(self.k, len(x) // 2), batch_size=4096, n_init=1, random_state=self.seed)
        labels = clusters.fit_predict(x)
        centres = torch.from_numpy(clusters.cluster_centers_.astype(np.float32)).to(self.device)
        return normalize(centres, dim=1), torch.from_numpy(labels.astype(np.int64)).to(self.device)
