"""SideEASE: EASE that also learns from which movies share a genre, a director, a writer, a year or a title word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.models.ease import ease_weights
from movierec_bench.models.parts.gram_matrix import item_gram
from movierec_bench.models.parts.linear_model import LinearModel
from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.schema import DIRECTOR, GENRE, TITLE, WRITER, YEAR

FEATURES = (GENRE, DIRECTOR, WRITER, YEAR, TITLE)

_WORD = re.compile(r"\w+")


class SideEASE(LinearModel):
    """EASE on the interactions with one more row for every feature value, which "watched" the movies that have it.

    A row of weight w counts as w users, so that the Gram matrix becomes ``X.T X + sum_f w_f F_f F_f.T``
    where F_f (movies by values) says which movie has which value of feature f: genres, directors,
    writers, the year, the words of the title. Without weights it is EASE.

    Source:
        Jeunen et al., "Closed-form models for collaborative filtering with side-information", RecSys 2020
        (collective EASE), with a weight a feature as t8-03 has it.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        self.reg_weight = config["reg_weight"]
        self.feature_weights = {feature: config[f"{feature}_weight"] for feature in FEATURES}
        self.movies = dataset.movies

    def item_weights(self) -> np.ndarray:
        """Float32 [n_items, n_items]: B."""
        gram = item_gram(self.history)
        for feature, weight in self.feature_weights.items():
            if weight > 0:
                gram += np.float32(weight) * item_gram(feature_rows(self.movies, feature))
        return ease_weights(gram, self.reg_weight, overwrite=True)


def feature_rows(movies: pd.DataFrame, feature: str) -> csr_matrix:
    """Which movies have each value of a feature.

    Args:
        movies: a row a movie, indexed by item_ix from 1; left as it is.
        feature: one of `FEATURES`.

    Returns:
        Float32 csr [values, n_items] of 0 and 1; column 0 (padding) and movies without a value are empty.
    """
    values = [sorted(_values_of(feature, entry)) for entry in movies[feature]]
    item = np.repeat(movies.index.to_numpy(), [len(of_movie) for of_movie in values])
    code, names = pd.factorize(np.array([value for of_movie in values for value in of_movie], dtype=object))
    ones = np.ones(len(item), dtype=np.float32)
    return csr_matrix((ones, (code, item)), shape=(len(names), len(movies) + 1))


def _values_of(feature: str, entry: Any) -> Iterable[str]:
    """The different values in a cell of the movies table."""
    if feature == TITLE:
        return set(_WORD.findall(entry.lower()))
    if feature == YEAR:
        return () if np.isnan(entry) else (str(entry),)
    return set(entry)
