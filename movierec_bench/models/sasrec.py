"""SASRec trained on whole windows."""

from __future__ import annotations

import torch
from recbole.model.sequential_recommender.sasrec import SASRec

from movierec_bench.models.windows import WindowModel, causal_mask


class WindowSASRec(WindowModel, SASRec):
    """Causal self-attention predicts the next movie at every position of a window.

    Source:
        Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, whose training this is (with
        a softmax over all movies in the place of one negative); layers and ranking are RecBole's SASRec.
    """

    def hidden_states(self, item_seq: torch.Tensor) -> torch.Tensor:
        """Float32 [B, W, H] of windows int64 [B, W]."""
        width = item_seq.shape[1]
        embedded = self.item_embedding(item_seq) + self.position_embedding.weight[:width]
        embedded = self.dropout(self.LayerNorm(embedded))
        layers: list[torch.Tensor] = self.trm_encoder(embedded, causal_mask(width, item_seq.device), False)
        return layers[-1]
