"""The members of a mix: who they are, and their stored rankings as arrays."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np
import pandas as pd

from movierec_bench.data.split import read_part
from movierec_bench.data.vocabulary import Vocabulary
from movierec_bench.errors import ConfigError, DataError, did_you_mean
from movierec_bench.mixing.search import Validation
from movierec_bench.runs.folder import ModelFolder, RunFolder
from movierec_bench.runs.staleness import why_stale
from movierec_bench.schema import FAMILIES, ITEM, RANK, SCORE, STORED_K, USER, PathLike
from movierec_bench.settings.catalog import load_catalog

logger = logging.getLogger(__name__)

_ALL = "all"


@dataclass(frozen=True)
class Rankings:
    """What several models rank for the same users; the arrays are those of ``rules``.

    Args:
        users: int64 [U], the competition's ids, ascending.
        items: int32 [M, U, K].
        scores: float32 [M, U, K]; None where they were not asked for.
    """

    users: np.ndarray
    items: np.ndarray
    scores: Optional[np.ndarray]


def find_members(
    run: RunFolder, models: Union[str, Sequence[str]], configs: Optional[PathLike] = None
) -> tuple[str, ...]:
    """The members that a ``--models`` expression names.

    Args:
        run: the run they are in.
        models: models and mixes of the run by name, and groups, comma-separated or a sequence; ``-Name``
            leaves one out. Groups hold no mixes, and of their models only those that the run finished.
        configs: a user's own configuration folder, whose models may name groups.

    Returns:
        Names, each once: those named outright in the given order, those of groups by name.

    Raises:
        ConfigError: an unknown name; a model named outright that is not finished; or fewer than one left.
    """
    parts = [models] if isinstance(models, str) else list(models)
    words = [word for part in parts for word in re.split(r"[,\s]+", part) if word]
    if words and all(word.startswith("-") for word in words):
        words = [_ALL, *words]
    chosen: dict[str, None] = {}  # a set in the order of insertion
    for word in words:
        names = _named(run, word.lstrip("-"), configs)
        if word.startswith("-"):
            chosen = {name: None for name in chosen if name not in names}
        else:
            chosen.update(dict.fromkeys(names))
    if not chosen:
        raise ConfigError(
            f"--models {','.join(words)} leaves no finished model of {run.path}; expected at least one; "
            "train some with `python -m movierec_bench run`"
        )
    return tuple(chosen)


def with_refits(run: RunFolder, members: Sequence[str], models: Union[str, Sequence[str]]) -> tuple[str, ...]:
    """The members that can be submitted, where a mix could do without the others; all of them otherwise.

    A mix has a submission only if every member was refitted on every row. So members that a group brought in and that
    were not refitted are left out; where one was named outright, or none was refitted, there will be no submission, and
    a line says so before anything is searched.

    Args:
        run: the run they are in.
        members: names, from ``find_members``.
        models: the expression they were found by.
    """
    parts = [models] if isinstance(models, str) else list(models)
    named = {word for part in parts for word in re.split(r"[,\s]+", part)}
    lacking = [name for name in members if not run.find(name).has_topk("full")]
    if not lacking:
        return tuple(members)
    if named.isdisjoint(lacking) and len(lacking) < len(members):
        logger.warning("left out, because not refitted on every row: %s", ", ".join(lacking))
        return tuple(name for name in members if name not in lacking)
    logger.warning(
        "the mix will have no submission, because not refitted on every row: %s; run again without --no-refit",
        ", ".join(lacking),
    )
    return tuple(members)


def check_members(run: RunFolder, members: Sequence[str], parts: Sequence[str] = ("valid", "test")) -> None:
    """Raise ConfigError unless every member is finished and up to date and has stored its rankings for ``parts``.

    Raises:
        ConfigError: a line for each member that is not there, not finished, a stale mix, or lacks a ranking.
    """
    problems = []
    for name in members:
        folder = run.find(name)
        status = folder.finished()
        if status is None:
            problems.append(f"{name} {_what_happened(folder)}")
            continue
        stale = why_stale(run, status)
        problems += [f"{name} is stale: {stale}"] if stale else []
        absent = [folder.topk(part).name for part in parts if not folder.has_topk(part)]
        problems += [f"{name} has no ranking {file}" for file in absent]
    if problems:
        raise ConfigError(
            "\n".join(problems) + f"\nexpected finished models of {run.path}; run them again, or leave them out "
            "with --models"
        )


def read_rankings(
    run: RunFolder,
    members: Sequence[str],
    part: str,
    users: np.ndarray,
    vocabulary: Vocabulary,
    k: int = STORED_K,
    with_scores: bool = False,
    sample: Optional[np.ndarray] = None,
) -> Rankings:
    """The stored rankings of ``members``.

    Args:
        run: the run they are in.
        members: names; M of them.
        part: "valid", "test" or "full".
        users: int64, the users the part is about, ascending.
        vocabulary: every user and movie.
        k: ranks to read.
        with_scores: read scores, too?
        sample: int64 [U], the users to return, some of ``users``, ascending; None for all.

    Raises:
        ConfigError: a ranking is about users who have no rows in this part of the split.
    """
    sample = users if sample is None else sample
    items = np.zeros((len(members), len(sample), k), dtype=np.int32)
    scores = np.full(items.shape, np.nan, dtype=np.float32) if with_scores else None
    for member, name in enumerate(members):
        topk = run.find(name).read_topk(part, k)
        _check_users(run, name, part, topk[USER].to_numpy(), users)
        row, inside = _places(sample, topk[USER].to_numpy())
        place = topk[RANK].to_numpy()[inside] - 1
        items[member, row, place] = vocabulary.item_ix(topk[ITEM].to_numpy()[inside])
        if scores is not None:
            scores[member, row, place] = topk[SCORE].to_numpy()[inside]
    return Rankings(sample, items, scores)


def read_validation(
    run: RunFolder,
    members: Sequence[str],
    vocabulary: Vocabulary,
    most_users: int,
    seed: int,
    k: int = STORED_K,
    with_scores: bool = False,
) -> tuple[np.ndarray, Validation]:
    """What mixes of ``members`` are chosen on: (users, int64 [U], the competition's ids; their validation).

    Args:
        run: the run they are in.
        members: names.
        vocabulary: every user and movie.
        most_users: users to look at, drawn where there are more.
        seed: of the draw.
        k: ranks to read.
        with_scores: read scores, too?
    """
    held_out = read_part(run.split, "valid")
    users = np.unique(held_out[USER].to_numpy())
    sample = users
    if len(users) > most_users:
        sample = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
    rankings = read_rankings(run, members, "valid", users, vocabulary, k, with_scores, sample)
    held_start, held_items = _held_out(held_out, sample, vocabulary)
    return sample, Validation(rankings.items, rankings.scores, held_start, held_items)


def _named(run: RunFolder, word: str, configs: Optional[PathLike]) -> list[str]:
    """The members that one word, a name or a group, stands for."""
    there = {folder.name for folder in run.models() + run.ensembles()}
    if word in there:
        return [word]
    families = {folder.name: _family(folder) for folder in run.models()}
    if word == _ALL:
        grouped = set(families)
    elif word in FAMILIES:
        grouped = {name for name, family in families.items() if family == word}
    else:
        grouped = {name for name, entry in load_catalog(configs).items() if word in entry.groups}
        if not grouped:
            hint = did_you_mean(word, [*there, _ALL, *FAMILIES]) or f"expected one of {', '.join(sorted(there))};"
            raise ConfigError(
                f"{run.path} has no model, mix or group {word!r}; {hint} run the model first or correct the name"
            )
    usable = sorted(name for name in grouped if families.get(name))
    unusable = sorted(name for name in grouped & there if name not in usable)
    if unusable:
        logger.info("not mixed, because not finished: %s", ", ".join(unusable))
    return usable


def _family(folder: ModelFolder) -> str:
    """The family of a finished model; empty for one that is not."""
    status = folder.finished()
    return status.family if status else ""


def _what_happened(folder: ModelFolder) -> str:
    """Why a model is not finished, to go behind its name."""
    if not folder.status.exists():
        return "is not finished: it has no status.json"
    try:
        status = folder.read_status()
    except DataError as error:
        return f"cannot be read: {error}"
    return f"is {status.state}: {status.error}"


def _check_users(run: RunFolder, name: str, part: str, found: np.ndarray, users: np.ndarray) -> None:
    _, known = _places(users, found)
    if not known.all():
        raise ConfigError(
            f"{name}: {run.find(name).topk(part).name} ranks for user {found[~known][0]}, who has no {part} rows in "
            f"{run.split}; expected a model of this split; run {name} again"
        )


def _places(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positions in ``known``, ascending, of those ``wanted`` that are in it; bool, which of them are)."""
    positions = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    inside = known[positions] == wanted
    return positions[inside], inside


def _held_out(rows: pd.DataFrame, users: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [U + 1], int32): where each user's held-out movies begin, and the movies."""
    row, inside = _places(users, rows[USER].to_numpy())
    items = vocabulary.item_ix(rows[ITEM].to_numpy()[inside]).astype(np.int32)
    order = np.argsort(row, kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(users)))]), items[order]
