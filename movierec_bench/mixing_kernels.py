"""The compiled loops behind ``mixing``: they fill arrays that their callers made.

Users are dealt to chunks, so that the arrays by movie are made once a chunk. Between two users these
are all 0; a rank of 0 marks a movie that no model has listed. Shapes are those of ``mixing``.
"""

from __future__ import annotations

import numba
import numpy as np

# Totals are counted in these units. A multiple of many small numbers, so that weights in tenths or
# percents, and ranks divided by 10, 15, 20 or 100, come out whole; sums of whole numbers are exact.
UNIT = 3.6e9


@numba.njit(cache=True, nogil=True, parallel=True)
def fill_mix(items, rule_points, weights, n_items, best_rank_first, best_items, best_totals, chunks):  # type: ignore[no-untyped-def]
    """Fills ``best_items`` int32 and ``best_totals`` int64, both [U, k] of zeros."""
    n_members, n_users, depth = rule_points.shape
    for chunk in numba.prange(chunks):
        totals = np.zeros(n_items, dtype=np.int64)
        ranks = np.zeros(n_items, dtype=np.int32)
        listed = np.empty(n_members * depth, dtype=np.int32)
        for user in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
            n_listed = 0
            for member in range(n_members):
                weight = weights[member, user]
                n_listed = _add(items[member, user], rule_points[member, user], weight, totals, ranks, listed, n_listed)
            kept = _keep_best(listed[:n_listed], totals, ranks, best_rank_first, best_items[user])
            for place in range(kept):
                best_totals[user, place] = totals[best_items[user, place]]
            _clear(listed[:n_listed], totals, ranks)


@numba.njit(cache=True, nogil=True, parallel=True)
def fill_hits(  # type: ignore[no-untyped-def]
    items,
    rule_points,
    weights,
    members,
    extra,
    n_items,
    best_rank_first,
    held_start,
    held_items,
    k,
    hits,
    chunks,
):
    """Fills ``hits`` int16 [C, U] of zeros."""
    n_members, n_users, depth = rule_points.shape
    for chunk in numba.prange(chunks):
        totals = np.zeros(n_items, dtype=np.int64)
        ranks = np.zeros(n_items, dtype=np.int32)
        ranks_before = np.zeros(n_items, dtype=np.int32)
        listed = np.empty((n_members + 1) * depth, dtype=np.int32)
        before = np.empty(k, dtype=np.int32)
        best = np.empty(k, dtype=np.int32)
        candidates = np.empty(k + depth, dtype=np.int32)
        for user in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
            n_listed = 0
            for member in range(n_members):
                n_listed = _add(
                    items[member, user],
                    rule_points[member, user],
                    weights[member],
                    totals,
                    ranks,
                    listed,
                    n_listed,
                )
            n_before = _keep_best(listed[:n_listed], totals, ranks, best_rank_first, before)
            for change in range(len(members)):
                own, worth = items[members[change], user], rule_points[members[change], user]
                for place in range(depth):
                    ranks_before[own[place]] = ranks[own[place]]
                _add(own, worth, extra[change], totals, ranks, listed, n_listed)
                n_candidates = _union(before[:n_before], own[:depth], extra[change], candidates)
                kept = _keep_best(candidates[:n_candidates], totals, ranks, best_rank_first, best)
                hits[change, user] = _common(best[:kept], held_items[held_start[user] : held_start[user + 1]])
                _add(own, worth, -extra[change], totals, ranks, listed, n_listed)
                for place in range(depth):
                    ranks[own[place]] = ranks_before[own[place]]
            _clear(listed[:n_listed], totals, ranks)


@numba.njit(cache=True, nogil=True)
def _add(own, worth, weight, totals, ranks, listed, n_listed):  # type: ignore[no-untyped-def]
    """Adds one model's points to one user's totals; returns how many movies ``listed`` then holds."""
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
    """Sorts the best of ``listed`` into ``best``; returns how many there are."""
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
    """Does the first movie go before the other?"""
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
    """Fills ``candidates`` with ``before`` and, where it has weight, ``own``; returns how many there are."""
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
def _common(first, second):  # type: ignore[no-untyped-def]
    """How many movies are in both."""
    common = 0
    for item in first:
        common += _contains(second, item)
    return common


@numba.njit(cache=True, nogil=True)
def _contains(array, wanted):  # type: ignore[no-untyped-def]
    found = False
    for value in array:
        found |= value == wanted
    return found


@numba.njit(cache=True, nogil=True, parallel=True)
def fill_concatenation(items, order, firsts, n_items, best_items, chunks):  # type: ignore[no-untyped-def]
    """Fills ``best_items`` int32 [U, k] of zeros: a limited round over the models, then one without limit."""
    n_members, n_users, depth = items.shape
    k = best_items.shape[1]
    for chunk in numba.prange(chunks):
        given_to = np.full(n_items, -1, dtype=np.int64)
        for user in range(chunk * n_users // chunks, (chunk + 1) * n_users // chunks):
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


@numba.njit(cache=True, nogil=True, parallel=True)
def fill_spread(items, scores, by_deviation, spread):  # type: ignore[no-untyped-def]
    """Fills ``spread`` float32 [M, U, depth]: (score - lowest) / range, or / standard deviation.

    A score above one of a better rank counts like that one: a candidate filter puts movies that it lets in
    only to fill up below all others, whatever their scores.
    """
    n_members, n_users, depth = items.shape
    for user in numba.prange(n_users):
        for member in range(n_members):
            n_listed, total = 0, 0.0
            value = np.float64(np.inf)
            while n_listed < depth and items[member, user, n_listed] != 0:
                value = min(value, np.float64(scores[member, user, n_listed]))
                spread[member, user, n_listed] = value
                total += value
                n_listed += 1
            lowest = value
            scale = np.float64(spread[member, user, 0]) - lowest
            if by_deviation and n_listed:
                mean, squares = total / n_listed, 0.0
                for place in range(n_listed):
                    squares += (spread[member, user, place] - mean) ** 2
                scale = np.sqrt(squares / n_listed)
            for place in range(n_listed):
                value = spread[member, user, place] - lowest
                spread[member, user, place] = value / scale if scale > 0 else 0.0
