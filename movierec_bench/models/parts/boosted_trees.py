"""What the gradient-boosted trees share: rows of pair features to grow on, and a ranking."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch

from movierec_bench.data.interactions import Interactions
from movierec_bench.models.parts.pair_features import PairFeatures
from movierec_bench.recbole_backend.model_contract import HistoryModel, ModelConfig, TrainDataset

_PAIRS_A_STEP = 400_000


class BoostedTrees(HistoryModel):
    """Trees that tell watched from unwatched pairs by `PairFeatures`.

    RecBole gives its tree models the numbers of users and movies as they are, which order nothing; these get
    features counted from the rows the protocol allows. An epoch grows a few more trees on freshly drawn rows.

    Attributes:
        booster: the library's trained booster; None before the first epoch.
    """

    booster: Optional[Any]

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self._movies = dataset.movies
        self._features = PairFeatures(self.interactions, self._movies)
        self._seed = int(config["seed"])
        self.booster = None

    def set_history(self, rows: Interactions) -> None:
        """Count the features anew from these rows."""
        if rows is not self.interactions:
            self._features = PairFeatures(rows, self._movies)
        super().set_history(rows)

    def other_parameter(self) -> dict[str, Any]:
        """The booster as the library's own text, which is read without running anything."""
        return {"booster": None if self.booster is None else self._as_text(self.booster)}

    def load_other_parameter(self, para: Optional[dict[str, Any]]) -> None:
        """Take a booster from `other_parameter`."""
        text = (para or {}).get("booster")
        self.booster = None if text is None else self._from_text(text)

    def grow(self, user_ix: np.ndarray, item_ix: np.ndarray, labels: np.ndarray) -> float:
        """Add trees.

        Args:
            user_ix: int64 [n].
            item_ix: int64 [n].
            labels: float32 [n], 1 for the rows the features were counted from, 0 for others.

        Returns:
            The mean log loss on these pairs after growing.
        """
        features = self._features.of_pairs(user_ix, item_ix, own=labels > 0)
        self._add_trees(features, labels)
        chance = np.clip(self._rate(features), 1e-7, 1 - 1e-7)
        return float(-np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance)))

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_items], the chance that the pair is a watched one."""
        steps = interaction[self.USER_ID].cpu().split(max(1, _PAIRS_A_STEP // self.n_items))
        return torch.from_numpy(np.concatenate([self._rate_all(users.numpy()) for users in steps]))

    def _rate_all(self, users: np.ndarray) -> np.ndarray:
        items = np.tile(np.arange(self.n_items), len(users))
        pairs = np.repeat(users, self.n_items)
        features = self._features.of_pairs(pairs, items, own=np.zeros(len(pairs), dtype=bool))
        return self._rate(features).astype(np.float32).reshape(len(users), self.n_items)

    def _add_trees(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Replace `booster` by one with more trees."""
        raise NotImplementedError

    def _as_text(self, booster: Any) -> str:
        """A booster as text that gives the same rates."""
        raise NotImplementedError

    def _from_text(self, text: str) -> Any:
        """The booster of `_as_text`."""
        raise NotImplementedError

    def _rate(self, features: np.ndarray) -> np.ndarray:
        """Float [n] chances from float32 [n, F] features."""
        raise NotImplementedError
