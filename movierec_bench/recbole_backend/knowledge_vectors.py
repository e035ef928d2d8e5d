"""Vectors of the knowledge graph's entities and relations, for sequence models that start from pre-trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds


@dataclass(frozen=True)
class KnowledgeVectors:
    """Vectors such that a movie plus a relation comes near its tails, as TransE wants them, without training.

    The movies' are the singular vectors of the matrix of tails by movies, each tail's row scaled so that rare
    tails weigh as much as common ones; a tail's is the mean of its movies'; a relation's is the mean
    difference of tail and head over its triples. Movies' and tails' have length 1, or 0 without triples.

    Attributes:
        entities: names, the movies first.
        relations: names.
        of_entities: float32 [1 + entities, size], row 0 padding.
        of_relations: float32 [1 + relations, size], row 0 padding.

    Source:
        ours, for the vectors that RecBole's KSR and GRU4RecKG load from files (Huang et al., SIGIR 2018, take
        TransE: Bordes et al., NIPS 2013).
    """

    entities: list[str]
    relations: list[str]
    of_entities: np.ndarray
    of_relations: np.ndarray

    @classmethod
    def from_triples(
        cls,
        head: np.ndarray,
        relation: np.ndarray,
        tail: np.ndarray,
        movies: Sequence[str],
        size: int,
        seed: int,
    ) -> KnowledgeVectors:
        """From triples of names (object [n] each), whose heads are ``movies``.

        Args:
            head: movies.
            relation: relations.
            tail: what the movies are related to.
            movies: all movies, in the order of their indices; also those without triples.
            size: length of a vector.
            seed: of the decomposition's first vector.
        """
        tails, relations = sorted(set(tail)), sorted(set(relation))
        head_ix, tail_ix, relation_ix = _indices(movies, head), _indices(tails, tail), _indices(relations, relation)
        rarity = 1 / np.sqrt(np.bincount(tail_ix, minlength=len(tails)))
        table = csr_matrix((rarity[tail_ix], (head_ix, tail_ix)), shape=(len(movies), len(tails)))
        of_movies = _unit_rows(_leading_factors(table, size, seed))
        of_tails = _unit_rows(_means(of_movies[head_ix], tail_ix, len(tails)))
        of_relations = _means(of_tails[tail_ix] - of_movies[head_ix], relation_ix, len(relations))
        return cls(
            entities=[*movies, *tails],
            relations=relations,
            of_entities=_after_padding(np.concatenate([of_movies, of_tails])),
            of_relations=_after_padding(of_relations),
        )


def _leading_factors(table: csr_matrix, size: int, seed: int) -> np.ndarray:
    """Float32 [rows, size]: left singular vectors times singular values; zeros beyond the rank of a small table."""
    factors = np.zeros((table.shape[0], size), dtype=np.float32)
    if size < min(table.shape):
        first = np.random.default_rng(seed).standard_normal(min(table.shape))
        left, strengths, _ = svds(table, k=size, v0=first)
    else:
        left, strengths, _ = np.linalg.svd(table.toarray(), full_matrices=False)
    factors[:, : len(strengths)] = left * strengths
    return factors


def _indices(names: Sequence[str], of: np.ndarray) -> np.ndarray:
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[name] for name in of], dtype=np.int64)


def _means(vectors: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Float32 [n_groups, size]: means of the rows of ``vectors`` (float32 [n, size]) by ``group`` (int64 [n])."""
    sums = np.zeros((n_groups, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, group, vectors)
    return sums / np.maximum(np.bincount(group, minlength=n_groups), 1)[:, None].astype(np.float32)


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _after_padding(vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, vectors.shape[1]), dtype=np.float32), vectors])
