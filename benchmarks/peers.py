"""Peers: ``python peers.py TASK ROWS.npz OPTIONS``, in an environment without us; prints one JSON line."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from stopwatch import Stopwatch

_K = 10


class Rows:
    """Training and validation rows as integers from 0.

    Attributes:
        train: csr [users, movies] of ones.
        users: int [U], users with validation rows; the first so many where the option ``users`` says so.
        held: csr [users, movies], validation rows.
    """

    def __init__(self, path: str) -> None:
        stored = np.load(path)
        shape = tuple(stored["shape"])
        self.user, self.item, self.time = stored["train_user"], stored["train_item"], stored["train_time"]
        self.train = csr_matrix((np.ones(len(self.user), dtype=np.float32), (self.user, self.item)), shape=shape)
        held = stored["valid_user"], stored["valid_item"]
        self.held = csr_matrix((np.ones(len(held[0]), dtype=np.float32), held), shape=shape)
        self.users = np.unique(held[0])

    def frame(self, user: str, item: str) -> pd.DataFrame:
        """The training rows as a table."""
        return pd.DataFrame({user: self.user, item: self.item})

    def recall_plain(self, best: np.ndarray) -> float:
        """Mean over ``users`` of hits / held-out rows, of int [U, 10] movies."""
        held = self.held[self.users]
        hits = np.asarray(held[np.arange(len(best))[:, None], best].todense()).sum(axis=1)
        return float(np.mean(hits / np.diff(held.indptr)))


def implicit_itemknn(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from implicit.nearest_neighbours import CosineRecommender

    return _implicit(CosineRecommender(K=options["k"]), rows, watch)


def implicit_als(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from implicit.als import AlternatingLeastSquares

    return _implicit(AlternatingLeastSquares(**_factors(options)), rows, watch)


def implicit_bpr(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from implicit.bpr import BayesianPersonalizedRanking

    return _implicit(BayesianPersonalizedRanking(**_factors(options)), rows, watch)


def _factors(options: dict[str, Any]) -> dict[str, Any]:
    return {"factors": options["factors"], "iterations": options["iterations"], "random_state": options["seed"]}


def _implicit(model: Any, rows: Rows, watch: Stopwatch) -> np.ndarray:
    with watch.phase("fit"):
        model.fit(rows.train, show_progress=False)
    with watch.phase("rank"):
        best, _ = model.recommend(rows.users, rows.train[rows.users], N=_K, filter_already_liked_items=True)
    return best


def rectools_ease(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from rectools.models import EASEModel

    return _rectools(EASEModel(regularization=options["reg_weight"]), rows, watch)


def rectools_sasrec(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from rectools.models import SASRecModel

    return _rectools(SASRecModel(session_max_len=50, epochs=options.get("epochs", 20), verbose=0), rows, watch)


def _rectools(model: Any, rows: Rows, watch: Stopwatch) -> np.ndarray:
    from rectools import Columns
    from rectools.dataset import Dataset

    table = rows.frame(Columns.User, Columns.Item)
    table[Columns.Weight], table[Columns.Datetime] = 1.0, pd.to_datetime(rows.time, unit="s")
    with watch.phase("load"):
        dataset = Dataset.construct(table)
    with watch.phase("fit"):
        model.fit(dataset)
    with watch.phase("rank"):
        shown = model.recommend(users=rows.users, dataset=dataset, k=_K, filter_viewed=True)
    return _by_user(shown[Columns.User].to_numpy(), shown[Columns.Item].to_numpy(), rows)


def lenskit_ease(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from lenskit.knn import EASEScorer

    return _lenskit(EASEScorer(regularization=options["reg_weight"]), rows, watch)


def lenskit_itemknn(rows: Rows, options: dict[str, Any], watch: Stopwatch) -> np.ndarray:
    from lenskit.knn import ItemKNNScorer

    return _lenskit(ItemKNNScorer(max_nbrs=options["k"], feedback="implicit"), rows, watch)


def _lenskit(scorer: Any, rows: Rows, watch: Stopwatch) -> np.ndarray:
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import topn_pipeline

    with watch.phase("load"):
        dataset = from_interactions_df(rows.frame("user_id", "item_id"))
    pipeline = topn_pipeline(scorer, n=_K)
    with watch.phase("fit"):
        pipeline.train(dataset)
    with watch.phase("rank"):
        lists = recommend(pipeline, rows.users.tolist(), _K, n_jobs=1)
    best = [(key.user_id, item) for key, shown in lists for item in shown.ids()]
    user, item = np.array(best).T
    return _by_user(user, item, rows)


def _by_user(user: np.ndarray, item: np.ndarray, rows: Rows) -> np.ndarray:
    """Int [U, 10] from best-first pairs grouped by user."""
    order = np.argsort(user, kind="stable")
    counts = np.bincount(np.searchsorted(rows.users, user), minlength=len(rows.users))
    if not (counts == _K).all():
        sys.exit(f"{int((counts != _K).sum())} users did not get {_K} movies")
    return item[order].reshape(len(rows.users), _K)


TASKS = {
    task.__name__: task
    for task in (
        implicit_itemknn,
        implicit_als,
        implicit_bpr,
        rectools_ease,
        rectools_sasrec,
        lenskit_ease,
        lenskit_itemknn,
    )
}

if __name__ == "__main__":
    stopwatch = Stopwatch()
    given, asked = Rows(sys.argv[2]), json.loads(sys.argv[3])
    given.users = given.users[: asked.pop("users", None)]
    ten = TASKS[sys.argv[1]](given, asked, stopwatch)
    stopwatch.report(recall_plain=given.recall_plain(ten), users=len(given.users))
