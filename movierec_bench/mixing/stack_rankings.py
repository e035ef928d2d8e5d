"""A stack of a run's models: fitted on its validation rows, ranking for any part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from movierec_bench.data.atomic import AtomicData
from movierec_bench.data.split import read_known, read_part
from movierec_bench.mixing.members import read_rankings, read_validation
from movierec_bench.mixing.search import Validation, folds_of
from movierec_bench.mixing.stacking import Facts, Pairs, Score, StackSettings, fitted_scores, left_out_scores, pairs_of
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import STORED_K

STACK_USERS = 4000  # users that a learner is fitted on at most, drawn where there are more
STACK_FOLDS = 5
_BLOCK_USERS = 2000  # users whose pairs are held at once


@dataclass(frozen=True)
class Stack:
    """A fitted stack.

    Args:
        run, data, members, settings: what it was made of.
        users: the users it was fitted on.
        pairs: their pairs.
        left_out: float64 [P], the score of each pair by a learner that was fitted on the other folds' users.
        score: the learner fitted on all of them.
    """

    run: RunFolder
    data: AtomicData
    members: tuple[str, ...]
    settings: StackSettings
    users: np.ndarray
    pairs: Pairs
    left_out: np.ndarray
    score: Score

    @classmethod
    def of(cls, run: RunFolder, data: AtomicData, members: Sequence[str], settings: StackSettings) -> Stack:
        """The stack fitted on the run's validation rows.

        Raises:
            ConfigError: nothing to learn from, or an unknown learner.
        """
        users, _, pairs, held = training_pairs(run, data, members, settings)
        fold = folds_of(len(users), min(STACK_FOLDS, len(users)), settings.seed)
        left_out = left_out_scores(pairs, held, fold, settings)
        score = fitted_scores(pairs, held, np.ones(len(users), dtype=bool), settings)
        return cls(run, data, tuple(members), settings, users, pairs, left_out, score)

    def rank(self, part: str, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int32 [U, K], float32 [U, K]): each user's movies and their scores, as ``rules.mix`` returns them.

        On validation rows, users that the learner was fitted on are ranked by one that was fitted without them.

        Args:
            part: "valid", "test" or "full".
            users: the users that the part is about, ascending.
        """
        there = read_rankings(self.run, self.members, part, users, self.data.vocabulary, with_scores=True)
        assert there.scores is not None
        facts = Facts.of(self.data, _seen(self.run, self.data, part), users)
        items = np.zeros((len(users), STORED_K), dtype=np.int32)
        scores = np.full(items.shape, np.nan, dtype=np.float32)
        for start in range(0, len(users), _BLOCK_USERS):
            block = slice(start, start + _BLOCK_USERS)
            pairs = pairs_of(there.items[:, block], there.scores[:, block], facts.of_users(block), self.settings.depth)
            found = self.score(pairs.features) if len(pairs.user) else np.zeros(0)
            items[block], scores[block] = pairs.ranked(found)
        if part == "valid":
            row = np.searchsorted(users, self.users)
            items[row], scores[row] = self.pairs.ranked(self.left_out)
        return items, scores


def training_pairs(
    run: RunFolder, data: AtomicData, members: Sequence[str], settings: StackSettings
) -> tuple[np.ndarray, Validation, Pairs, np.ndarray]:
    """What a stack is fitted on: (users, their validation with scores, their pairs, bool [P], which are held out)."""
    users, validation = read_validation(run, members, data.vocabulary, STACK_USERS, settings.seed, with_scores=True)
    assert validation.scores is not None
    facts = Facts.of(data, _seen(run, data, "valid"), users)
    pairs = pairs_of(validation.items, validation.scores, facts, settings.depth)
    return users, validation, pairs, pairs.held(validation)


def _seen(run: RunFolder, data: AtomicData, part: str) -> pd.DataFrame:
    """The rows that models may read when ``part`` is ranked; none of the test rows before the refit."""
    if part == "full":
        return data.interactions
    known = read_known(run.split)
    return known if part == "valid" else pd.concat([known, read_part(run.split, "valid")], ignore_index=True)
