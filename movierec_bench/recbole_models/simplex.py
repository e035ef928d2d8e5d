"""SimpleX as RecBole has it, able to rank from a longer history."""

from __future__ import annotations

from recbole.model.general_recommender.simplex import SimpleX

from movierec_bench.data.interactions import Interactions
from movierec_bench.recbole_backend.datasets import padded_history
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class LatestSimpleX(SimpleX):
    """RecBole's SimpleX. Of a long history it reads the latest ``history_len`` rows; RecBole reads a random choice.

    Source:
        Mao et al., "SimpleX: A Simple and Strong Baseline for Collaborative Filtering", CIKM 2021.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.rows_read = config["history_len"]

    def set_history(self, rows: Interactions) -> None:
        """Take the rows to rank from."""
        items, _, lengths = padded_history(rows.indptr, rows.item_ix, self.rows_read)
        self.history_item_id = items.to(self.device)
        self.history_item_len = lengths.to(self.device)
