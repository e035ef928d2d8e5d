"""SASRec trained on whole windows."""

from __future__ import annotations

from recbole.model.sequential_recommender.sasrec import SASRec

from movierec_bench.models.parts.window_model import CausalAttention


class WindowSASRec(CausalAttention, SASRec):
    """Causal self-attention predicts the next movie at every position of a window.

    Source:
        Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, whose training this is (with
        a softmax over all movies in the place of one negative); layers and ranking are RecBole's SASRec.
    """
