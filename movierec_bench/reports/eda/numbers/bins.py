"""Histograms as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
import pandas as pd

from movierec_bench.reports.eda.numbers.columns import HIGH, LOW, SHARE, SO_FAR


def histogram(values: np.ndarray, edges: Union[Sequence[float], np.ndarray], counted: str) -> pd.DataFrame:
    """How many of ``values`` lie in each interval, the lower edge belonging to it and the upper one not.

    Args:
        values: numbers, any shape [n]; those outside the edges are in no interval but count in the shares.
        edges: ascending, one more than there are intervals; the last may be infinite.
        counted: name of the column of counts.

    Returns:
        DataFrame [from, below, <counted> int64, share, share_so_far], one row an interval; shares are of all n.
    """
    ends = np.asarray(edges, dtype=float)
    place = np.searchsorted(ends, values, side="right") - 1
    inside = (place >= 0) & (place < len(ends) - 1)
    counts = np.bincount(place[inside], minlength=len(ends) - 1)
    share = counts / max(1, len(values))
    if np.isfinite(ends).all() and np.array_equal(ends, np.rint(ends)):
        ends = ends.astype(np.int64)  # as people write them: 20 and not 20.0
    return pd.DataFrame({LOW: ends[:-1], HIGH: ends[1:], counted: counts, SHARE: share, SO_FAR: np.cumsum(share)})


def named_histogram(values: np.ndarray, ends: Mapping[str, float], counted: str, named: str) -> pd.DataFrame:
    """`histogram` of a few intervals that have names.

    Args:
        values: numbers of at least 0.
        ends: name -> where the interval ends, not included; each begins where the one before ends, the first at 0.
        counted: name of the column of counts.
        named: name of the column of names.

    Returns:
        DataFrame [<named>, <counted>, share, share_so_far].
    """
    table = histogram(values, [0, *ends.values()], counted).drop(columns=[LOW, HIGH])
    table.insert(0, named, list(ends))
    return table


def equal_steps(highest: float, step: float) -> np.ndarray:
    """Edges 0, ``step``, 2 ``step``, ... of as many intervals as it takes to hold ``highest``."""
    return step * np.arange(int(highest // step) + 2, dtype=float)


def growing_steps(lowest: int, highest: int, a_tenfold: int = 10) -> np.ndarray:
    """Whole-numbered edges that grow by a steady factor, for counts that run from tens to thousands.

    Args:
        lowest: the smallest value, at least 1.
        highest: the largest value.
        a_tenfold: intervals between a number and ten times it; fewer where they would hold no whole number.
    """
    exponents = np.arange(np.floor(np.log10(lowest) * a_tenfold), np.ceil(np.log10(highest + 1) * a_tenfold) + 1)
    edges = np.unique(np.round(10 ** (exponents / a_tenfold)))
    first, last = np.searchsorted(edges, [lowest, highest], side="right")
    return edges[first - 1 : last + 1]
