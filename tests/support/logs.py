"""Made-up logs for the tests of splits, and the protocol as it is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from movierec_bench.settings.protocol import load_protocol

PROTOCOL_FILE = Path(__file__).parents[2] / "recbole_configs" / "protocol.yaml"

DEFAULT = load_protocol(PROTOCOL_FILE)

PARTS = ("train", "valid", "test")


def logs_of(lengths, seed=0, times=50):
    """Interactions whose rows are in random order and whose item is the row's place in the file."""
    rng = np.random.default_rng(seed)
    user = rng.permutation(np.repeat(np.arange(len(lengths)) * 3 + 2, lengths))
    return pd.DataFrame(
        {"user": user, "item": np.arange(len(user)), "time": rng.integers(0, times, size=len(user))}
    ).astype("int64")


def one_log(length):
    """A user whose row i has item i and time 100 + i."""
    return pd.DataFrame({"user": 1, "item": np.arange(length), "time": 100 + np.arange(length)}, dtype="int64")
