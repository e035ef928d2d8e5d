"""Gradient-boosted trees by XGBoost on features of (user, movie) pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xgboost

from movierec_bench.models.parts.boosted_trees import BoostedTrees
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class PairXGBoost(BoostedTrees):
    """Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016, for `BoostedTrees`."""

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self._settings = {**config["xgb_params"], "seed": self._seed, "nthread": torch.get_num_threads()}
        self._rounds = config["xgb_num_boost_round"]

    def _add_trees(self, features: np.ndarray, labels: np.ndarray) -> None:
        rows = xgboost.QuantileDMatrix(features, label=labels)
        self.booster = xgboost.train(self._settings, rows, num_boost_round=self._rounds, xgb_model=self.booster)

    def _as_text(self, booster: Any) -> str:
        return bytes(booster.save_raw("json")).decode("utf-8")

    def _from_text(self, text: str) -> Any:
        booster = xgboost.Booster({"nthread": self._settings["nthread"]})
        booster.load_model(bytearray(text, "utf-8"))
        return booster

    def _rate(self, features: np.ndarray) -> np.ndarray:
        assert self.booster is not None
        rates: np.ndarray = self.booster.inplace_predict(features)
        return rates
