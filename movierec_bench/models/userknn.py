"""UserKNN: what the most similar users watched."""

from __future__ import annotations

from scipy.sparse import csr_matrix

from movierec_bench.models.parts.nearest import UserNeighbourModel, nearest_users


class UserKNN(UserNeighbourModel):
    """Votes of the ``k`` users whose watched movies have the highest cosine with the user's own.

    Source:
        Herlocker et al., "An algorithmic framework for performing collaborative filtering", SIGIR 1999;
        cosine, 50 neighbours and voting as in t3-07.
    """

    def find_neighbours(self) -> csr_matrix:
        """Float32 csr [n_users, n_users] of cosines."""
        return nearest_users(self.history, self.k)
