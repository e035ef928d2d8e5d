"""What ranking has to give, by sorting everything in plain Python."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

NAN, INF = float("nan"), float("inf")


def seen_matrix(n_user_ix, n_item_ix, pairs):
    rows, columns = zip(*pairs) if pairs else ((), ())
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n_user_ix, n_item_ix))


def reference_row(scores, seen, k, item_key=None, limit=None, at_least=10):
    """(items, scores) of one user by sorting everything in plain Python."""
    free = [i for i in range(1, len(scores)) if i not in seen and scores[i] > -INF]
    inside = [i for i in free if item_key is None or item_key[i] <= limit]
    outside = sorted(set(free) - set(inside))
    order = [sorted(part, key=lambda i: (-scores[i], i)) for part in (inside, outside)]
    best = order[0][:k]
    best += order[1][: max(0, min(at_least, k) - len(best))]
    return best + [0] * (k - len(best)), [scores[i] for i in best] + [NAN] * (k - len(best))


def assert_equal_to_reference(topk, scores, seen, k, allowed=None):
    for row, user in enumerate(topk.user_ix):
        limits = (allowed.item_key, allowed.user_key[user], allowed.at_least) if allowed else ()
        items, values = reference_row(scores[user - 1], set(seen[user].indices), k, *limits)
        assert topk.item_ix[row].tolist() == items
        np.testing.assert_array_equal(topk.scores[row], np.array(values, dtype=np.float32))
