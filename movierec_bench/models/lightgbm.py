"""Gradient-boosted trees by LightGBM on features of (user, movie) pairs."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import torch

from movierec_bench.models.parts.boosted_trees import BoostedTrees
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset


class PairLightGBM(BoostedTrees):
    """Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NIPS 2017, for `BoostedTrees`."""

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        repeatable = {"seed": self._seed, "deterministic": True, "force_row_wise": True, "verbosity": -1}
        self._settings = {**config["lgb_params"], **repeatable, "num_threads": torch.get_num_threads()}
        self._rounds = config["lgb_num_boost_round"]

    def _add_trees(self, features: np.ndarray, labels: np.ndarray) -> None:
        rows = lightgbm.Dataset(features, label=labels)
        self.booster = lightgbm.train(self._settings, rows, num_boost_round=self._rounds, init_model=self.booster)

    def _as_text(self, booster: Any) -> str:
        text: str = booster.model_to_string()
        return text

    def _from_text(self, text: str) -> Any:
        return lightgbm.Booster(model_str=text, params={"verbosity": -1})

    def _rate(self, features: np.ndarray) -> np.ndarray:
        assert self.booster is not None
        rates: np.ndarray = self.booster.predict(features)
        return rates
