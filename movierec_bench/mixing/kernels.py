"""The compiled loops behind ``rules``: they fill arrays that their callers made, for some of the users.

Each call has arrays by movie of its own, so that calls for different users may run in different threads.
Between two users these arrays are all 0; a rank of 0 marks a movie that no model has listed. Shapes are
those of ``rules``.
"""

from __future__ import annotations

import numba
import numpy as np

# Totals are counted in these units. A multiple of many small numbers, so that weights in tenths or
# percents, and ranks divided by 10, 15, 20 or 100, come out whole; sums of whole numbers are exact.
UNIT = 3.6e9


@numba.njit(cache=True, nogil=True)
def fill_mix(first, last, items, rule_points, weights, n_items, best_rank_first, best_items, best_totals):  # type: ignore[no-untyped-def]
    """Fill the rows of users ``first`` to ``last`` of ``best_items`` int32 and ``best_totals`` int64, [U, k] of 0."""
    n_members, _, depth = rule_points.shape
    totals = np.zeros(n_items, dtype=np.int64)
    ranks = np.zeros(n_items, dtype=np.int32)
    listed = np.empty(n_members * depth, dtype=np.int32)
    for user in range(first, last):
        n_listed = 0
        for member in range(n_members):
            own, worth, weight = items[member, user], rule_points[member, user], weights[member, user]
            n_listed = _add(own, worth, weight, totals, ranks, listed, n_listed)
        kept = _keep_best(listed[:n_listed], totals, ranks, best_rank_first, best_items[user])
        for place in range(kept):
            best_totals[user, place] = totals[best_items[user, place]]
        _clear(listed[:n_listed], totals, ranks)


@numba.njit(cache=True, nogil=True)
def fill_hits(  # type: ignore[no-untyped-def]
    first, last, items, rule_points, weights, members, extra, n_items, best_rank_first, held_start, held_items, k, hits
):
    """Fill the columns of users ``first`` to ``last`` of ``hits`` int16 [C, U]."""
    n_members, _, depth = rule_points.shape
    totals = np.zeros(n_items, dtype=np.int64)
    ranks = np.zeros(n_items, dtype=np.int32)
    ranks_before = np.zeros(n_items, dtype=np.int32)
    listed = np.empty((n_members + 1) * depth, dtype=np.int32)
    before = np.empty(k, dtype=np.int32)
    best = np.empty(k, dtype=np.int32)
    candidates = np.empty(k + depth, dtype=np.int32)
    for user in range(first, last):
        held = held_items[held_start[user] : held_start[user + 1]]
        n_listed = 0
        for member in range(n_members):
            own, worth = items[member, user], rule_points[member, user]
            n_listed = _add(own, worth, weights[member], totals, ranks, listed, n_listed)
        n_before = _keep_best(listed[:n_listed], totals, ranks, best_rank_first, before)
        for change in range(len(members)):
            own, worth = items[members[change], user, :depth], rule_points[members[change], user]
            for item in own:
                ranks_before[item] = ranks[item]
            _add(own, worth, extra[change], totals, ranks, listed, n_listed)
            n_candidates = _union(before[:n_before], own, extra[change], candidates)
            kept = _keep_best(candidates[:n_candidates], totals, ranks, best_rank_first, best)
            hits[change, user] = _common(best[:kept], held)
            _add(own, worth, -extra[change], totals, ranks, listed, n_listed)
            for item in own:
                ranks[item] = ranks_before[item]
        _clear(listed[:n_listed], totals, ranks)


@numba.njit(cache=True, nogil=True)
def fill_concatenation(first, last, items, order, firsts, n_items, best_items):  # type: ignore[no-untyped-def]
    """Fill the rows of users ``first`` to ``last`` of ``best_items`` int32 [U, k] of 0.

    A limited round over the models, then one without limit.
    """
    n_members, _, depth = items.shape
    k = best_items.shape[1]
    given_to = np.full(n_items, -1, dtype=np.int64)
    for user in range(first, last):
        kept = 0
        for turn in range(2 * n_members):
            member = order[turn % n_members, user]
            limit = min(k, kept + firsts[turn]) if turn < n_members else k
            for place in range(depth):
                item = items[member, user, place]
                if item == 0 or kept >= limit:
                    break
                if given_to[item] != user:
                    given_to[item] = user
                    best_items[user, kept] = item
                    kept += 1


@numba.njit(cache=True, nogil=True)
def fill_spread(first, last, items, scores, by_deviation, spread):  # type: ignore[no-untyped-def]
    """Fill users ``first`` to ``last`` of ``spread`` float32 [M, U, depth] of 0.

    (score - lowest) / range, or / standard deviation. A score above one of a better rank counts like that
    one: a candidate filter puts movies that it lets in only to fill up below all others, whatever their scores.
    """
    n_members, _, depth = items.shape
    for user in range(first, last):
        for member in range(n_members):
            own, given, filled = items[member, user], scores[member, user], spread[member, user]
            n_listed, lowest, total = 0, np.inf, 0.0
            while n_listed < depth and own[n_listed] != 0:
                lowest = min(lowest, np.float64(given[n_listed]))
                filled[n_listed] = lowest
                total += lowest
                n_listed += 1
            if n_listed == 0:
                continue
            scale = filled[0] - lowest
            if by_deviation:
                mean, squares = total / n_listed, 0.0
                for place in range(n_listed):
                    squares += (filled[place] - mean) ** 2
                scale = np.sqrt(squares / n_listed)
            for place in range(n_listed):
                filled[place] = (filled[place] - lowest) / scale if scale > 0 else 0.0


@numba.njit(cache=True, nogil=True)
def _add(own, worth, weight, totals, ranks, listed, n_listed):  # type: ignore[no-untyped-def]
    """Add one model's points to one user's totals; return how many movies ``listed`` then holds."""
    if weight == 0:
        return n_listed
    for place in range(len(worth)):
        item = own[place]
        if item == 0:
            break
        if ranks[item] == 0:
            listed[n_listed] = item
            n_listed += 1
            ranks[item] = place + 1
        elif ranks[item] > place + 1:
            ranks[item] = place + 1
        totals[item] += np.int64(np.rint(weight * np.rint(worth[place] * UNIT)))
    return n_listed


@numba.njit(cache=True, nogil=True)
def _keep_best(listed, totals, ranks, best_rank_first, best):  # type: ignore[no-untyped-def]
    """Sort the best of ``listed`` into ``best``; return how many there are."""
    kept = 0
    for item in listed:
        place = kept
        while place > 0 and _better(item, best[place - 1], totals, ranks, best_rank_first):
            if place < len(best):
                best[place] = best[place - 1]
            place -= 1
        if place < len(best):
            best[place] = item
            kept = min(kept + 1, len(best))
    return kept


@numba.njit(cache=True, nogil=True)
def _better(item, other, totals, ranks, best_rank_first):  # type: ignore[no-untyped-def]
    """Whether the first movie goes before the other."""
    if totals[item] != totals[other]:
        return totals[item] > totals[other]
    if best_rank_first and ranks[item] != ranks[other]:
        return ranks[item] < ranks[other]
    return item < other


@numba.njit(cache=True, nogil=True)
def _clear(listed, totals, ranks):  # type: ignore[no-untyped-def]
    for item in listed:
        totals[item] = 0
        ranks[item] = 0


@numba.njit(cache=True, nogil=True)
def _union(before, own, weight, candidates):  # type: ignore[no-untyped-def]
    """Fill ``candidates`` with ``before`` and, where it has weight, ``own``; return how many there are."""
    found = len(before)
    candidates[:found] = before
    if weight == 0:
        return found
    for item in own:
        if item == 0:
            break
        if not _contains(before, item):
            candidates[found] = item
            found += 1
    return found


@numba.njit(cache=True, nogil=True)
def _common(some, others):  # type: ignore[no-untyped-def]
    """How many movies are in both."""
    common = 0
    for item in some:
        common += _contains(others, item)
    return common


@numba.njit(cache=True, nogil=True)
def _contains(array, wanted):  # type: ignore[no-untyped-def]
    found = False
    for value in array:
        found |= value == wanted
    return found
