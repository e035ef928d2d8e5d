"""KGIN as RecBole has it, ranking from the whole graph and keeping what it ranks from."""

from __future__ import annotations

from recbole.model.knowledge_aware_recommender.kgin import KGIN


class WholeGraphKGIN(KGIN):
    """RecBole's KGIN, which drops edges of the graph in evaluation too, and forgets to save its propagated vectors."""

    other_parameter_name = ["restore_user_e", "restore_entity_e"]

    def train(self, mode: bool = True) -> WholeGraphKGIN:
        """Drop edges while training only."""
        self.gcn.node_dropout_rate = self.node_dropout_rate if mode else 0.0
        return super().train(mode)
