"""FEARec without RecBole's table of all prefixes."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch
from recbole.model.sequential_recommender.fearec import FEARec

from movierec_bench.recbole_backend.model_contract import ModelConfig, TrainDataset
from movierec_bench.recbole_backend.prefixes import LENGTH_FIELD, Prefixes
from movierec_bench.schema import ITEM_FIELD


class GroupedFEARec(FEARec):
    """RecBole's FEARec, whose contrast asks for other prefixes with the same next movie.

    RecBole keeps every prefix, padded, and searches the whole table once for each of its rows: hours at the
    competition's size. Here the rows are grouped by their next movie in one sort, and a prefix is made when it
    is drawn.

    Source:
        Du et al., "Frequency Enhanced Hybrid Attention Network for Sequential Recommendation", SIGIR 2023.
    """

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # RecBole prints the frequencies of every layer
            super().__init__(config, dataset)
        self.dataset = _PrefixTable(Prefixes(dataset.interactions, self.max_seq_length))

    def get_same_item_index(self, dataset: TrainDataset) -> dict[int, np.ndarray]:
        """Row numbers (int64) of the prefixes that each movie follows; called by RecBole's constructor."""
        rows = dataset.interactions
        targets = np.flatnonzero(np.arange(len(rows)) > rows.indptr[rows.user_ix])
        targets = targets[np.argsort(rows.item_ix[targets], kind="stable")]
        movies, starts = np.unique(rows.item_ix[targets], return_index=True)
        return dict(zip(movies.tolist(), np.split(targets, starts[1:])))


class _PrefixTable:
    """What RecBole's FEARec asks of a data set: ``inter_feat[column][row]``."""

    def __init__(self, prefixes: Prefixes) -> None:
        self.inter_feat = {column: _Column(prefixes, column) for column in (ITEM_FIELD + "_list", LENGTH_FIELD)}


class _Column:
    def __init__(self, prefixes: Prefixes, column: str) -> None:
        self._prefixes = prefixes
        self._column = column

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self._prefixes.columns(np.array([row]))[self._column])[0]
