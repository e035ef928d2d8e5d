"""Our models, one catalogued model a file. What several share stands in ``parts``, which is never catalogued.

`HistoryModel` and `EmbeddingModel` are what a model of your own builds on.
"""

from __future__ import annotations

from movierec_bench.recbole_backend.model_contract import EmbeddingModel, HistoryModel

__all__ = ["EmbeddingModel", "HistoryModel"]
