"""BPRSGD: matrix factorisation by BPR's own stochastic gradient descent, one drawn triple a step."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType
from torch import nn

from movierec_bench.data.seen_pairs import is_seen, seen_pairs
from movierec_bench.recbole_backend.model_contract import EmbeddingModel, ModelConfig, TrainDataset

_FIRST_SIZE = 0.1  # standard deviation of the vectors a fit begins with
_MOST_BLOCKS, _MOVIES_A_BLOCK = 16, 64  # as many blocks of movies as 64 movies each allow, up to 16
_SLOTS_A_MOVIE = 16  # of the table negatives are drawn from, on average
_REDRAWS = 100  # a negative that still hits a seen movie after so many draws is given up, and the step with it


class BPRSGD(EmbeddingModel, GeneralRecommender):
    """Scores ``b_i + x_u y_i`` that put a movie i a user has watched above a movie j the user has not.

    A step draws a training row (u, i) and a j, and with ``s = 1 / (1 + exp(score_ui - score_uj))`` moves

        x_u by learning_rate (s (y_i - y_j) - reg_weight x_u),
        y_i by learning_rate (s x_u - reg_weight y_i),    b_i by learning_rate (s - reg_weight b_i),
        y_j by learning_rate (-s x_u - reg_weight y_j),   b_j by learning_rate (-s - reg_weight b_j).

    An epoch takes as many steps as there are rows. Its threads never meet: users and movies are cut into blocks,
    the movies at random in each epoch, and a task takes the steps of one block of users whose i and j both lie in one
    block of movies; tasks that share neither run at once. So a fit is the same whatever the number of threads.

    Source:
        Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, figure 4 and section
        4.3.1; blocks as in Gemulla et al., "Large-scale matrix factorization with distributed stochastic gradient
        descent", KDD 2011. The biases, and negatives drawn by popularity to a power, are additions.
    """

    type = ModelType.GENERAL
    input_type = InputType.PAIRWISE

    def __init__(self, config: ModelConfig, dataset: TrainDataset) -> None:
        super().__init__(config, dataset)
        n_factors = config["n_factors"]
        self.learning_rate = config["learning_rate"]
        self.reg_weight = config["reg_weight"]
        rows = dataset.interactions
        counts = np.bincount(rows.item_ix, minlength=self.n_items)
        self._rows = BlockedRows(rows, np.maximum(counts, 1) ** config["negative_power"])
        self.user_vectors = nn.Parameter(_FIRST_SIZE * torch.randn(self.n_users, n_factors))
        self.item_vectors = nn.Parameter(_FIRST_SIZE * torch.randn(self.n_items, n_factors))
        self.item_biases = nn.Parameter(torch.zeros(self.n_items))

    def descend(self, rng: np.random.Generator) -> float:
        """Take one epoch of steps; the mean of ``-log(1 - s)`` over them."""
        parameters = (self.user_vectors, self.item_vectors, self.item_biases)
        users, items, biases = (parameter.detach().cpu().numpy() for parameter in parameters)
        loss = self._rows.descend(users, items, biases, self.learning_rate, self.reg_weight, rng)
        for parameter, array in zip(parameters, (users, items, biases)):
            parameter.data.copy_(torch.from_numpy(array))  # a view of the parameter, but for a model on a GPU
        return loss

    def user_embeddings(self, interaction: Any) -> torch.Tensor:
        """Float32 [B, n_factors] of a batch of users."""
        return self.user_vectors[interaction[self.USER_ID]]

    def item_embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The movies' vectors and biases."""
        return self.item_vectors, self.item_biases


class BlockedRows:
    """Training rows by blocks of users and movies, and the steps of BPR on them.

    Args:
        rows: `data.interactions.Interactions`.
        weights: float [n_items], > 0; a negative is drawn in proportion to them, of the movies its user has not seen.
    """

    def __init__(self, rows: Any, weights: np.ndarray) -> None:
        self._user_ix, self._item_ix = rows.user_ix.astype(np.int32), rows.item_ix.astype(np.int32)
        self._weights = weights
        self._seen = seen_pairs(rows)
        self._n_blocks = int(np.clip(rows.n_items // _MOVIES_A_BLOCK, 1, _MOST_BLOCKS))
        cuts = np.searchsorted(rows.indptr, np.linspace(0, len(rows), self._n_blocks + 1)[1:-1])
        self._cuts = np.concatenate([[0], rows.indptr[cuts], [len(rows)]])

    def descend(
        self,
        users: np.ndarray,
        items: np.ndarray,
        biases: np.ndarray,
        rate: float,
        reg_weight: float,
        rng: np.random.Generator,
    ) -> float:
        """As many steps as there are rows, in place; their mean loss.

        Args:
            users: float32 [n_users, f].
            items: float32 [n_items, f].
            biases: float32 [n_items].
            rate: learning rate.
            reg_weight: L2 penalty.
            rng: draws the blocks, and seeds what the tasks draw.
        """
        blocks = np.array_split(1 + rng.permutation(len(items) - 1), self._n_blocks)
        block_of = np.zeros(len(items), dtype=np.int32)
        for number_of_block, block in enumerate(blocks):
            block_of[block] = number_of_block
        negatives = np.stack([self._slots(block, len(blocks[0]), rng) for block in blocks])
        grouped = _group(self._user_ix, self._item_ix, self._cuts, block_of, self._n_blocks)
        seeds = rng.integers(1, 2**63, (self._n_blocks, self._n_blocks)).astype(np.uint64)
        settings = np.float32(rate), np.float32(reg_weight)
        loss, steps = _descend(*grouped, negatives, self._seen, seeds, users, items, biases, *settings)
        return loss / max(steps, 1)

    def _slots(self, block: np.ndarray, n_movies: int, rng: np.random.Generator) -> np.ndarray:
        """Int32 [S] movies of a block, each as often as its weight says: rounded up or down by chance."""
        edges = np.cumsum(self._weights[block])
        places = (np.arange(_SLOTS_A_MOVIE * n_movies) + rng.random()) / (_SLOTS_A_MOVIE * n_movies) * edges[-1]
        return block[np.searchsorted(edges, places, side="right").clip(max=len(block) - 1)].astype(np.int32)


@numba.njit(cache=True, parallel=True)
def _group(
    user_ix: np.ndarray, item_ix: np.ndarray, cuts: np.ndarray, block_of: np.ndarray, n_blocks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of each block of users, ordered by block of movies: users, movies, and int64 [blocks, blocks + 1] where.

    Rows of users ``b`` and movies ``c`` are ``start[b, c]`` to ``start[b, c + 1]``.
    """
    users, items = np.empty_like(user_ix), np.empty_like(item_ix)
    start = np.zeros((n_blocks, n_blocks + 1), dtype=np.int64)
    for block in numba.prange(n_blocks):
        _group_block(user_ix, item_ix, cuts[block], cuts[block + 1], block_of, start[block], users, items)
    return users, items, start


@numba.njit(cache=True)
def _group_block(
    user_ix: np.ndarray,
    item_ix: np.ndarray,
    first: int,
    last: int,
    block_of: np.ndarray,
    start: np.ndarray,
    users: np.ndarray,
    items: np.ndarray,
) -> None:
    """A counting sort of the rows from ``first`` to ``last`` by block of movies; fills the other three."""
    for row in range(first, last):
        start[block_of[item_ix[row]] + 1] += 1
    start[0] = first
    start[:] = np.cumsum(start)
    slot = start.copy()
    for row in range(first, last):
        block = block_of[item_ix[row]]
        users[slot[block]], items[slot[block]] = user_ix[row], item_ix[row]
        slot[block] += 1


@numba.njit(cache=True, parallel=True)
def _descend(
    user_ix: np.ndarray,
    item_ix: np.ndarray,
    start: np.ndarray,
    negatives: np.ndarray,
    seen: np.ndarray,
    seeds: np.ndarray,
    users: np.ndarray,
    items: np.ndarray,
    biases: np.ndarray,
    rate: np.float32,
    reg_weight: np.float32,
) -> tuple[float, int]:
    """All blocks' steps; the sum of their losses, and how many were taken."""
    n_blocks = len(negatives)
    losses = np.zeros((n_blocks, n_blocks))
    steps = np.zeros((n_blocks, n_blocks), dtype=np.int64)
    for shift in range(n_blocks):
        for block in numba.prange(n_blocks):
            movies = (block + shift) % n_blocks
            first, last = start[block, movies], start[block, movies + 1]
            losses[block, movies], steps[block, movies] = _block_steps(
                user_ix[first:last],
                item_ix[first:last],
                negatives[movies],
                seen,
                seeds[block, movies],
                users,
                items,
                biases,
                rate,
                reg_weight,
            )
    return losses.sum(), steps.sum()


@numba.njit(cache=True)
def _block_steps(
    user_ix: np.ndarray,
    item_ix: np.ndarray,
    negatives: np.ndarray,
    seen: np.ndarray,
    state: np.uint64,
    users: np.ndarray,
    items: np.ndarray,
    biases: np.ndarray,
    rate: np.float32,
    reg_weight: np.float32,
) -> tuple[float, int]:
    """As many steps as there are rows, each on a row drawn with replacement; the sum of their losses, and how many."""
    triples = np.empty((len(user_ix), 3), dtype=np.uint32)
    steps = _draw(user_ix, item_ix, negatives, seen, state, triples)  # apart, so that reads from memory overlap
    loss = 0.0
    for user, liked, other in triples[:steps]:
        loss += _step(users[user], items[liked], items[other], biases, liked, other, rate, reg_weight)
    return loss, steps


@numba.njit(cache=True)
def _draw(
    user_ix: np.ndarray,
    item_ix: np.ndarray,
    negatives: np.ndarray,
    seen: np.ndarray,
    state: np.uint64,
    triples: np.ndarray,
) -> int:
    """Fill ``triples`` with drawn users, movies they watched, and movies they did not; how many."""
    steps = 0
    for _ in range(len(triples)):
        state = _next(state)
        row = _below(len(user_ix), state)
        user = user_ix[row]
        for _ in range(_REDRAWS):
            state = _next(state)
            other = negatives[_below(len(negatives), state)]
            if not is_seen(seen, user, other):
                triples[steps, 0], triples[steps, 1], triples[steps, 2] = user, item_ix[row], other
                steps += 1
                break
    return steps


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _step(
    user: np.ndarray,
    liked: np.ndarray,
    other: np.ndarray,
    biases: np.ndarray,
    liked_ix: int,
    other_ix: int,
    rate: np.float32,
    reg_weight: np.float32,
) -> float:
    """One step on float32 vectors [f] and the movies' biases, in place; the loss before it."""
    margin = biases[liked_ix] - biases[other_ix]
    for factor in range(len(user)):
        margin += user[factor] * (liked[factor] - other[factor])
    share = np.float32(1) / (np.float32(1) + np.exp(margin))
    for factor in range(len(user)):
        x, y, z = user[factor], liked[factor], other[factor]
        user[factor] = x + rate * (share * (y - z) - reg_weight * x)
        liked[factor] = y + rate * (share * x - reg_weight * y)
        other[factor] = z + rate * (-share * x - reg_weight * z)
    biases[liked_ix] += rate * (share - reg_weight * biases[liked_ix])
    biases[other_ix] += rate * (-share - reg_weight * biases[other_ix])
    return np.log1p(np.exp(-margin))


@numba.njit(cache=True)
def _next(state: np.uint64) -> np.uint64:
    """The next state of a 64-bit xorshift generator; Marsaglia, J. Stat. Software 2003."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(cache=True)
def _below(bound: int, state: np.uint64) -> np.uint64:
    """A number from 0 to ``bound - 1``, of the upper half of the state."""
    return ((state >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)
