"""GRU4Rec trained on whole windows."""

from __future__ import annotations

import torch
from recbole.model.sequential_recommender.gru4rec import GRU4Rec

from movierec_bench.models.parts.gru_cpu import recurrent_states
from movierec_bench.models.parts.window_model import WindowModel


class WindowGRU4Rec(WindowModel, GRU4Rec):
    """A gated recurrent network predicts the next movie at every position of a window.

    Source:
        Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, whose
        training on whole sessions this is; layers and ranking are RecBole's GRU4Rec (Tan et al., DLRS 2016).
    """

    def hidden_states(self, item_seq: torch.Tensor) -> torch.Tensor:
        """Float32 [B, W, H] of windows int64 [B, W]."""
        embedded = self.emb_dropout(self.item_embedding(item_seq))
        if embedded.device.type == "cpu":
            states = recurrent_states(self.gru_layers, embedded)
        else:
            states, _ = self.gru_layers(embedded)
        hidden: torch.Tensor = self.dense(states)
        return hidden
