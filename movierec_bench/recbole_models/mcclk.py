"""MCCLK as RecBole has it, ranking from the whole graph and keeping what it ranks from."""

from __future__ import annotations

from recbole.model.knowledge_aware_recommender.mcclk import MCCLK

from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class WholeGraphMCCLK(MCCLK):
    """RecBole's MCCLK, which drops edges of the graph in evaluation too, and forgets to save its propagated vectors."""

    other_parameter_name = ["restore_user_e", "restore_entity_e"]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        self.node_dropout_rate = config["node_dropout_rate"]
        super().__init__(config, dataset)
        self.restore_entity_e = None  # RecBole sets it when it first ranks, and reads it before

    def train(self, mode: bool = True) -> WholeGraphMCCLK:
        """Drop edges while training only."""
        self.gcn.node_dropout_rate = self.node_dropout_rate if mode else 0.0
        return super().train(mode)
