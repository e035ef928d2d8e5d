"""Exact scores of context-aware models for every movie, the work of a pair shared with the other pairs.

RecBole embeds every field of every (user, movie) pair and takes it through the whole network. Here what
depends on the user alone or on the movie alone is computed once: first-order terms add up, products of two
fields become one matrix product, and the first layer of a network is a user's part plus a movie's part,
W [u; i] = W_u u + W_i i. Models that mix all fields layer by layer get their fields embedded once, and
RecBole's own ``predict`` does the rest. All in blocks of bounded memory, equal to ``predict`` on every pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from recbole.data.interaction import Interaction
from recbole.model.context_aware_recommender import (
    AFM,
    DCN,
    DCNV2,
    DSSM,
    FFM,
    FM,
    FNN,
    KD_DAGFM,
    LR,
    NFM,
    PNN,
    AutoInt,
    DeepFM,
    EulerNet,
    FiGNN,
    FwFM,
    WideDeep,
    xDeepFM,
)
from torch import Tensor

from movierec_bench.recbole_backend.context_blocks import Block
from movierec_bench.recbole_backend.context_embedded import from_embedded, kd_dagfm, predicted
from movierec_bench.recbole_backend.context_networks import (
    dcn_logits,
    deepfm_logits,
    fnn_logits,
    nfm_logits,
    pnn_logits,
    widedeep_logits,
)
from movierec_bench.recbole_backend.context_products import (
    dssm_logits,
    ffm_logits,
    fm_logits,
    fwfm_logits,
    linear_logits,
)

Logits = Callable[[Any, Block], Tensor]


def scores_at_once(model: Any) -> bool:
    """Whether `context_scores` knows this very class; a subclass may have changed the forward pass."""
    return type(model) in _LOGITS or type(model) in _MIXING


def context_scores(model: Any, users: Interaction, items: Interaction) -> Tensor:
    """What ``model.predict`` says of every pair, before its sigmoid.

    Args:
        model: one that `scores_at_once`, trained and in evaluation mode.
        users: the users' columns, B rows.
        items: the movies' columns, I rows, the padding movie first.

    Returns:
        Float32 [B, I], whose sigmoid is ``predict`` up to rounding.
    """
    block = Block.of(users, items)
    if type(model) in _MIXING:
        return from_embedded(model, _MIXING[type(model)], block)
    return _LOGITS[type(model)](model, block)


_LOGITS: Mapping[type, Logits] = {
    DCN: dcn_logits,
    DSSM: dssm_logits,
    DeepFM: deepfm_logits,
    FFM: ffm_logits,
    FM: fm_logits,
    FNN: fnn_logits,
    FwFM: fwfm_logits,
    LR: linear_logits,
    NFM: nfm_logits,
    PNN: pnn_logits,
    WideDeep: widedeep_logits,
}
_MIXING: Mapping[type, Callable[[Any, Any], Tensor]] = {
    **dict.fromkeys((AFM, AutoInt, DCNV2, EulerNet, FiGNN, xDeepFM), predicted),
    KD_DAGFM: kd_dagfm,
}
