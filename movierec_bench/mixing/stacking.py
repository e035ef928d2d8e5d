"""Stacking: a learned second stage over the union of the members' lists.

Every movie that a member lists for a user is a pair with a few features: where each member puts it and how sure it is,
how many members list it, how popular it is, how well its year and genres fit the user's history. A learner is fitted to
tell the held-out pairs from the others, and its scores rank them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from movierec_bench.data.atomic import AtomicData
from movierec_bench.errors import ConfigError
from movierec_bench.mixing.rules import MINMAX, ZSCORE, Rule, mix, points
from movierec_bench.mixing.search import Validation
from movierec_bench.schema import GENRE, ITEM, STORED_K, USER, YEAR, K

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LINEAR_STACK, LAMBDAMART = "logistic", "lambdamart"
LEARNERS = (LINEAR_STACK, LAMBDAMART)
STACK_DEPTH = 50  # ranks of each member whose movies are pairs
STRENGTH = 0.01  # inverse of the logistic learner's L2 penalty, on standardised features

_HEAD = 10.0  # a rank counts as 1 / (rank + _HEAD - 1), times _HEAD: 1 for the first, a half for the eleventh
_YEARS = 10.0  # years from the user's mean year at which a movie's affinity is halved
_ROUNDS, _LEAVES, _LEARNING_RATE, _LEAF_PAIRS = 150, 15, 0.05, 200

Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StackSettings:
    """What a stack depends on beside its members' rankings.

    Args:
        learner: one of ``LEARNERS``.
        strength: inverse of the logistic learner's L2 penalty.
        depth: ranks of each member whose movies are pairs.
        seed: of the draw of users, of the folds and of LambdaMART.

    Raises:
        ConfigError: an unknown learner, or a number out of range.
    """

    learner: str
    strength: float
    depth: int
    seed: int

    def __post_init__(self) -> None:
        if self.learner not in LEARNERS:
            raise ConfigError(f"learner is {self.learner!r}; expected one of {', '.join(LEARNERS)}")
        if not 0 < self.strength < np.inf:
            raise ConfigError(f"strength is {self.strength}; expected a number above 0, such as {STRENGTH}")
        if not K <= self.depth <= STORED_K:
            raise ConfigError(f"depth is {self.depth}; expected {K} to {STORED_K} for a stack")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected an integer from 0")


@dataclass(frozen=True)
class Facts:
    """What is known of users and movies from the rows seen when a part is ranked.

    Args:
        popularity: float32 [n_item_ix], log(1 + rows of the movie).
        length: float32 [U], log(1 + rows of the user).
        taste: float32 [U], mean popularity of what the user watched.
        year: float32 [n_item_ix], NaN where unknown.
        own_year: float32 [U], mean year of what the user watched, NaN where unknown.
        genre: float32 [n_item_ix, G], a movie's genres in equal shares.
        own_genre: float32 [U, G], the user's genres, in shares.
    """

    popularity: np.ndarray
    length: np.ndarray
    taste: np.ndarray
    year: np.ndarray
    own_year: np.ndarray
    genre: np.ndarray
    own_genre: np.ndarray

    @classmethod
    def of(cls, data: AtomicData, seen: pd.DataFrame, users: np.ndarray) -> Facts:
        """The facts for ``users``, the data's ids, from the rows ``seen``: [user, item, ...]."""
        vocabulary = data.vocabulary
        item_ix = vocabulary.item_ix(seen[ITEM].to_numpy())
        counts = np.bincount(item_ix, minlength=vocabulary.n_item_ix)
        popularity = np.log1p(counts).astype(np.float32)
        place = pd.Index(users).get_indexer(seen[USER])
        known = place >= 0
        watched = csr_matrix(
            (np.ones(int(known.sum()), dtype=np.float32), (place[known], item_ix[known])),
            shape=(len(users), vocabulary.n_item_ix),
        )
        rows = np.asarray(watched.sum(axis=1)).ravel()
        movie_ix = vocabulary.item_ix(data.movies[ITEM].to_numpy())
        year = np.full(vocabulary.n_item_ix, np.nan, dtype=np.float32)
        year[movie_ix] = data.movies[YEAR].astype("float32").to_numpy()
        dated = (~np.isnan(year)).astype(np.float32)
        genre = _genres(data, movie_ix)
        own_genre = np.asarray(watched @ genre)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: a user without rows, years or genres
            own_year = (watched @ np.nan_to_num(year)) / (watched @ dated)
            own_genre = np.nan_to_num(own_genre / own_genre.sum(axis=1, keepdims=True))
            taste = np.nan_to_num((watched @ popularity) / rows)
        return cls(popularity, np.log1p(rows), taste, year, own_year, genre, own_genre.astype(np.float32))

    def of_users(self, users: slice) -> Facts:
        """The facts of some of the users."""
        return replace(
            self,
            length=self.length[users],
            taste=self.taste[users],
            own_year=self.own_year[users],
            own_genre=self.own_genre[users],
        )


@dataclass(frozen=True)
class Pairs:
    """The pairs of users and movies that any member lists.

    Args:
        user: int64 [P], users by number, ascending.
        item: int32 [P], ``item_ix``, ascending within a user.
        features: float32 [P, F].
        n_users: users, listed or not.
    """

    user: np.ndarray
    item: np.ndarray
    features: np.ndarray
    n_users: int

    def of_users(self, users: np.ndarray) -> np.ndarray:
        """Bool [P]: the pairs of ``users``, bool [U]."""
        return users[self.user]

    def held(self, validation: Validation) -> np.ndarray:
        """Bool [P]: the pairs that are held-out rows."""
        counts = np.diff(validation.held_start)
        n_items = int(max(self.item.max(initial=0), validation.held_items.max(initial=0))) + 1
        wanted = np.repeat(np.arange(len(counts)), counts) * n_items + validation.held_items
        return np.isin(self.user * n_items + self.item, wanted)

    def ranked(self, scores: np.ndarray, k: int = STORED_K) -> tuple[np.ndarray, np.ndarray]:
        """Each user's ``k`` best pairs: (int32 [U, k], 0 for none; float32 [U, k], NaN there). Ties by movie id.

        Args:
            scores: float [P]; NaN for pairs to leave out.
            k: movies a user.
        """
        order = np.lexsort((self.item, -scores, self.user))
        order = order[~np.isnan(scores[order])]
        user = self.user[order]
        starts = np.searchsorted(user, np.arange(self.n_users))
        place = np.arange(len(user)) - starts[user]
        kept = place < k
        items = np.zeros((self.n_users, k), dtype=np.int32)
        found = np.full((self.n_users, k), np.nan, dtype=np.float32)
        items[user[kept], place[kept]] = self.item[order[kept]]
        found[user[kept], place[kept]] = scores[order[kept]]
        return items, found


def pairs_of(items: np.ndarray, scores: np.ndarray, facts: Facts, depth: int = STACK_DEPTH) -> Pairs:
    """The pairs that any of M members lists among its first ``depth``, with their features.

    Features, in order: for each member the rank's points and the score between the lowest listed one, 0, and the
    highest, 1, both 0 where it does not list the movie; the share of members that do; log popularity, and how far it is
    from the user's usual; log history length; affinity of year and of genres.

    Args:
        items: int32 [M, U, K].
        scores: float32 [M, U, K].
        facts: what is known of users and movies.
        depth: ranks of each member.
    """
    items, n_members, n_users = items[:, :, :depth], items.shape[0], items.shape[1]
    spread = points(Rule.of(MINMAX, items.shape[2]), items, scores[:, :, :depth])
    n_items = len(facts.popularity)
    listed = items > 0
    users = np.broadcast_to(np.arange(n_users)[:, None], items.shape[1:])
    keys = users * n_items + items.astype(np.int64)
    known = np.unique(keys[listed])
    user, item = known // n_items, (known % n_items).astype(np.int32)
    features = np.zeros((len(known), 2 * n_members + 6), dtype=np.float32)
    worth = (_HEAD / (np.arange(items.shape[2]) + _HEAD)).astype(np.float32)
    for member in range(n_members):
        own = listed[member]
        place = np.searchsorted(known, keys[member][own])
        features[place, 2 * member] = np.broadcast_to(worth, own.shape)[own]
        features[place, 2 * member + 1] = spread[member][own]
    rest = 2 * n_members
    features[:, rest] = (features[:, 0:rest:2] > 0).mean(axis=1)
    features[:, rest + 1] = facts.popularity[item]
    features[:, rest + 2] = -np.abs(facts.popularity[item] - facts.taste[user])
    features[:, rest + 3] = facts.length[user]
    features[:, rest + 4] = np.nan_to_num(1 / (1 + np.abs(facts.year[item] - facts.own_year[user]) / _YEARS))
    features[:, rest + 5] = np.einsum("pg,pg->p", facts.genre[item], facts.own_genre[user])
    return Pairs(user, item, features, n_users)


def fitted_scores(pairs: Pairs, held: np.ndarray, users: np.ndarray, settings: StackSettings) -> Score:
    """A function from features, float32 [P, F], to scores, float64 [P], fitted on the pairs of some users.

    Args:
        pairs: the pairs.
        held: bool [P], the held-out ones.
        users: bool [U], the users to learn from.
        settings: the learner's.

    Raises:
        ConfigError: there is nothing to learn from.

    Source:
        logistic: stacking with a linear learner, Breiman 1996; lambdamart: Burges 2010, as LightGBM has it.
    """
    inside = pairs.of_users(users)
    features, target = pairs.features[inside], held[inside]
    if not target.any() or target.all():
        raise ConfigError(
            "no held-out movie is on any member's list, or nothing else is; expected both kinds; use another method"
        )
    if settings.learner == LINEAR_STACK:
        return _logistic(features, target, settings.strength).decision_function
    return _lambdamart(features, target, pairs.user[inside], settings.seed)


def left_out_scores(pairs: Pairs, held: np.ndarray, fold: np.ndarray, settings: StackSettings) -> np.ndarray:
    """Scores of every pair, float64 [P], by a learner that was fitted on the other folds' users.

    Args:
        pairs: the pairs.
        held: bool [P], the held-out ones.
        fold: integers [U], each user's fold, from 0.
        settings: the learner's.
    """
    scores = np.zeros(len(pairs.user))
    for number in range(int(fold.max()) + 1):
        judged = pairs.of_users(fold == number)
        score = fitted_scores(pairs, held, fold != number, settings)
        if judged.any():
            scores[judged] = score(pairs.features[judged])
    return scores


def beside(
    stack: tuple[np.ndarray, np.ndarray], single: tuple[np.ndarray, np.ndarray], share: float
) -> tuple[np.ndarray, np.ndarray]:
    """``share`` of a stack and the rest of it one member: their scores in standard deviations, added up.

    Args:
        stack: int32 [U, K] and float32 [U, K], movies and scores.
        single: the same of the member.
        share: above 0, to 1.

    Returns:
        Movies and scores, as ``rules.mix`` returns them.
    """
    if share == 1:
        return stack
    items, scores = (np.stack(both) for both in zip(stack, single))
    return mix(Rule.of(ZSCORE), items, np.array([share, 1 - share]), scores)


def recall_of(items: np.ndarray, validation: Validation) -> np.ndarray:
    """Recall@10 of each user, float64 [U], of one ranking, int32 [U, at least K]."""
    from movierec_bench.mixing.routing import recalls

    alone = Validation(items[None], None, validation.held_start, validation.held_items)
    return recalls(alone)[0]


def _logistic(features: np.ndarray, target: np.ndarray, strength: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = LogisticRegression(C=strength, max_iter=300, tol=1e-4)
    return make_pipeline(StandardScaler(), learner).fit(features.astype(np.float64), target)


def _lambdamart(features: np.ndarray, target: np.ndarray, user: np.ndarray, seed: int) -> Score:
    import lightgbm
    import numba

    _, groups = np.unique(user, return_counts=True)
    settings: dict[str, Any] = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 2 * K,
        "num_leaves": _LEAVES,
        "learning_rate": _LEARNING_RATE,
        "min_data_in_leaf": min(_LEAF_PAIRS, max(1, len(target) // 20)),
        "lambda_l2": 10.0,
        "feature_fraction": 0.7,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": numba.get_num_threads(),
        "verbosity": -1,
    }
    rows = lightgbm.Dataset(features, target.astype(np.int8), group=groups)
    booster = lightgbm.train(settings, rows, num_boost_round=_ROUNDS)
    return lambda wanted: np.asarray(booster.predict(wanted), dtype=np.float64)


def _genres(data: AtomicData, movie_ix: np.ndarray) -> np.ndarray:
    """float32 [n_item_ix, at least 1]: a movie's genres in equal shares."""
    lists: Sequence[tuple[str, ...]] = data.movies[GENRE].tolist()
    number = {name: place for place, name in enumerate(sorted({name for names in lists for name in names}))}
    genre = np.zeros((data.vocabulary.n_item_ix, max(1, len(number))), dtype=np.float32)
    for row, names in zip(movie_ix, lists):
        for name in names:
            genre[row, number[name]] = 1 / len(names)
    return genre
